"""A deliberately naive inventory sync, to show what the theatre sees: it takes every webhook for a change, subtracts
it from a number in memory, and pushes that number at once. No signature, no order feed, no retry, nothing on disk.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Rival:
    """One number per SKU, and where it is listed."""

    def __init__(self, stage: dict[str, Any]) -> None:
        self.stores = {each["name"]: each["base_url"] for each in stage["storefronts"]}
        self.patience_s = stage["timing"]["timeout_s"]
        self.stock: dict[str, int] = {}
        self.listings: dict[tuple[str, str], str] = {}
        self.seen: set[str] = set()
        self.lock = threading.Lock()
        for store, url in self.stores.items():
            for item in self.call("GET", f"{url}/listings")["items"]:
                self.listings[store, item["sku"]] = item["listing"]
                self.stock.setdefault(item["sku"], item["quantity"])

    def call(self, method: str, url: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=self.patience_s) as answer:
            return json.loads(answer.read())

    def webhook(self, delivery: str, message: dict[str, Any]) -> None:
        """An order: what was sold goes, what was cancelled or taken back comes."""
        if delivery in self.seen or "order" not in message:
            return
        self.seen.add(delivery)
        order = message["order"]
        for line in order["lines"]:
            if order["version"] == 1:
                self.move(line["sku"], -line["ordered"])
            elif line["cancelled"] or line["restocked"]:
                self.move(line["sku"], line["cancelled"] + line["restocked"])

    def move(self, sku: str, units: int) -> None:
        with self.lock:
            self.stock[sku] = level = max(0, self.stock[sku] + units)
        items = [
            (url, self.listings[store, sku]) for store, url in self.stores.items() if (store, sku) in self.listings
        ]
        for url, listing in items:
            try:
                self.call("PUT", f"{url}/levels", {"items": [{"listing": listing, "quantity": level}]})
            except (OSError, urllib.error.URLError, ValueError):
                continue  # the next sale will push again


class Handler(BaseHTTPRequestHandler):
    rival: ClassVar[Rival]

    def do_GET(self) -> None:
        self.answer(200)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/facts":
            self.rival.move(body["sku"], body["adjust"])
        else:
            self.rival.webhook(self.headers["X-Sandbox-Delivery"], body)
        self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing is worth a line."""


def main(make: type[Rival] = Rival) -> None:
    stage = json.loads(Path(os.environ["ONHAND_STAGE"]).read_text())
    Handler.rival = make(stage)
    host, port = stage["listen"].rsplit(":", 1)
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
