"""HTTP on loopback: the storefronts, the daemon's public port, and webhooks signed by hand."""

from __future__ import annotations

import hmac
import http.client
import json
import socket
import threading
import time
from base64 import b64encode
from collections import Counter
from typing import Any

from .places import ADMIN_SOCKET, PUBLIC_PORT, STOREFRONT_PORTS

PATIENCE_S = 60.0
PACE_S = 0.05


def exchange(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:  # fmt: skip
    """One request on a connection of its own: (status, body). Raises `OSError` or `http.client.HTTPException`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class _AdminConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ADMIN_SOCKET)


def asked(*segments: str) -> Any:
    """The daemon's answer to a query of the admin socket; the command takes seconds to start in an emulator."""
    connection = _AdminConnection("onhand", timeout=PATIENCE_S)
    try:
        connection.request("GET", "/v1/" + "/".join(segments))
        answer = connection.getresponse()
        document = json.load(answer)
    finally:
        connection.close()
    assert answer.status == 200, f"{'/'.join(segments)}: {answer.status} {document}"
    return document


def storefront(name: str, method: str, path: str, document: object = None) -> Any:
    """What a storefront answers; it must be a success."""
    body = b"" if document is None else json.dumps(document).encode()
    status, said = exchange(STOREFRONT_PORTS[name], method, path, body)
    assert status < 300, f"the storefront {name} answers {method} {path} with {status}"
    return json.loads(said)


def sell(name: str, sku: str, units: int = 1) -> dict[str, Any]:
    """Sell there; the order."""
    order = storefront(name, "POST", "/orders", {"lines": [{"sku": sku, "quantity": units}]})
    assert isinstance(order, dict)
    return order


def shown(name: str, sku: str) -> int:
    """What the storefront truly shows."""
    return int(storefront(name, "GET", "/ledger")["skus"][sku]["quantity"])


def health() -> int:
    """The status of /healthz; 0 where nobody answers."""
    try:
        return exchange(PUBLIC_PORT, "GET", "/healthz")[0]
    except (OSError, http.client.HTTPException):
        return 0


def secret(name: str) -> str:
    """A channel's webhook secret, as the storefront has it."""
    with open(f"/etc/onhand/secrets/{name}-webhook", encoding="ascii") as file:
        return file.read().strip()


def webhook(name: str, order: dict[str, Any], delivery: str, key: str) -> tuple[int, str]:
    """Tell the daemon of an order once more, under a signature of our own: (status, text)."""
    body = json.dumps({"topic": "order.updated", "order": order}).encode()
    stamp = str(int(time.time()))
    digest = hmac.digest(key.encode(), f"{stamp}.".encode() + body, "sha256")
    headers = {
        "X-Sandbox-Delivery": delivery,
        "X-Sandbox-Timestamp": stamp,
        "X-Sandbox-Signature": b64encode(digest).decode(),
    }
    status, said = exchange(PUBLIC_PORT, "POST", f"/webhooks/{name}", body, headers)
    return status, said.decode().strip()


class Load:
    """Senders of webhooks who never stop while it is entered; `outcomes` counts what became of each."""

    def __init__(self, name: str, order: dict[str, Any], senders: int = 3) -> None:
        self.outcomes: Counter[str] = Counter()
        self.longest_s = 0.0
        self._order, self._name, self._key = order, name, secret(name)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(sender,)) for sender in range(senders)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            began = time.monotonic()
            try:
                status, _ = webhook(self._name, self._order, f"load-{id(self)}-{sender}-{number}", self._key)
                outcome = str(status)
            except ConnectionRefusedError:
                outcome = "refused"
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
            self.outcomes[outcome] += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            time.sleep(PACE_S)
