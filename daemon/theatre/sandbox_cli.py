"""`onhand sandbox`: one storefront, stand-alone, until it is told to stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Final

import trio

from adapters.storefront import Storefront
from daemon.domain.instants import SECOND_US
from daemon.ingress.listeners import port_objection, tcp_listeners
from daemon.outbound.http import open_http_client
from daemon.ports import wall_us
from daemon.theatre.store_host import WEBHOOKS_MAX
from daemon.theatre.storefront_server import serve_storefront, webhook_policy

LOOPBACK: Final = "127.0.0.1"


def run_sandbox(
    port: int, name: str, webhook_url: str, secret: str, skus: int = 20, stock: int = 10, seed: int = 0
) -> int:
    """Serve one storefront on loopback until SIGTERM or SIGINT; prints its URL when it takes calls. The exit code.

    `port` 0 takes a free one; `webhook_url` "" sends no webhooks.
    """
    # The ids of each life are its own: a daemon that outlives this shop must not take new orders for old ones.
    store = Storefront(name, skus, stock, secret, seed, epoch=f"{wall_us() // SECOND_US:x}-")
    return trio.run(_serve, store, port, webhook_url, _say)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _serve(store: Storefront, port: int, webhook_url: str, say: Callable[[str], None]) -> int:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        try:
            listeners = await tcp_listeners(LOOPBACK, port)
        except OSError as error:
            sys.stderr.write(port_objection(LOOPBACK, port, error, "--port") + "\n")
            return 1
        http = open_http_client(
            "httpx", policy=webhook_policy(webhook_url), max_connections=WEBHOOKS_MAX, clock_us=wall_us
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: serve_storefront(
                    store, listeners, webhook_url, http, wall_us, on_error=_complain, task_status=task_status
                )
            )
            say(f"storefront {store.name} at http://{LOOPBACK}:{listeners[0].socket.getsockname()[1]}")
            async for _ in signals:
                break
            await http.aclose()
            nursery.cancel_scope.cancel()
    return 0


def _complain(error: Exception) -> None:
    sys.stderr.write(f"the storefront failed to answer a call: {type(error).__name__}: {error}\n")
