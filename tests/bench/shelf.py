"""Storefronts that do nothing but take levels and remember when: one process for all channels, cheap enough not to be
what is measured. Orders at them are told by the load generator.

    python -m tests.bench.shelf PORT SKUS STOCK CHANNEL ...

Channel C's base URL is http://127.0.0.1:PORT/C. Every channel lists SKUS SKUs at STOCK units, each under `L-` and its
SKU. Beside the sandbox protocol:
POST /journal -> what was written since the last call: {"calls": [[ns, channel, items] ...], "levels": [[ns, channel,
listing, quantity] ...]}, ns of CLOCK_MONOTONIC · POST /shown {"channel"} -> its levels by listing ·
POST /slow {"channel", "seconds"} delays its answers · POST /down {"channel", "down"} makes it answer 503
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote

import msgspec
import trio
from attrs import define, field

from daemon.ingress.listeners import tcp_listeners
from daemon.ingress.server import HttpRequest, HttpResponse, HttpServer, Limits, RequestHead
from tests.bench.orders import sku_names

PAGE = 5_000
BODY_MAX = 8 << 20

Said = Mapping[str, object]


@define
class Shelf:
    """One channel's levels."""

    levels: dict[str, int]
    delay_s: float = 0
    down: bool = False


@define(eq=False)
class Shelves:
    """The handler of all channels."""

    shelves: dict[str, Shelf]
    calls: list[tuple[int, str, int]] = field(factory=list)
    written: list[tuple[int, str, str, int]] = field(factory=list)

    def admit(self, head: RequestHead) -> HttpResponse | int:
        return BODY_MAX

    async def respond(self, request: HttpRequest) -> HttpResponse:
        first, _, rest = request.path[1:].partition("/")
        shelf = self.shelves.get(first)
        if shelf is None:
            return _json(self._command(first, msgspec.json.decode(request.body or b"{}")))
        await trio.sleep(shelf.delay_s)
        if shelf.down:
            return HttpResponse(503, b"down\n")
        if rest == "levels" and request.method == "PUT":
            return _json(self._put(first, shelf, msgspec.json.decode(request.body)))
        if rest == "listings":
            return _json(_listings(shelf, parse_qs(request.query)))
        if rest == "orders":
            return _json({"items": [], "next": None, "as_of": _stamp()})
        return HttpResponse(404, b'{"error": {"code": "unknown_order", "message": "there is no such order"}}')

    def _command(self, command: str, said: dict[str, object]) -> object:
        shelf = self.shelves.get(str(said.get("channel")))
        match command:
            case "journal":
                taken = {"calls": self.calls, "levels": self.written}
                self.calls, self.written = [], []
                return taken
            case "shown" if shelf:
                return shelf.levels
            case "slow" if shelf:
                shelf.delay_s = float(str(said["seconds"]))
            case "down" if shelf:
                shelf.down = bool(said["down"])
            case _:
                return {"error": f"nobody knows {command}"}
        return {}

    def _put(self, channel: str, shelf: Shelf, said: dict[str, list[dict[str, object]]]) -> object:
        now = time.monotonic_ns()
        items = said["items"]
        self.calls.append((now, channel, len(items)))
        answers: list[Said] = []
        for item in items:
            listing, quantity, expected = str(item["listing"]), int(str(item["quantity"])), item.get("if_quantity")
            shown = shelf.levels.get(listing)
            if shown is None:
                answers.append({"listing": listing, "result": "unknown_listing"})
            elif expected is not None and expected != shown:
                answers.append({"listing": listing, "result": "conflict", "quantity": shown})
            else:
                shelf.levels[listing] = quantity
                self.written.append((now, channel, listing, quantity))
                answers.append({"listing": listing, "result": "ok", "quantity": quantity})
        return {"items": answers, "as_of": _stamp()}


def _listings(shelf: Shelf, query: Mapping[str, list[str]]) -> object:
    start = int(query.get("cursor", ["0"])[0])
    names = [unquote(name) for name in query["listing"]] if "listing" in query else list(shelf.levels)
    items = [
        {"listing": name, "sku": name.removeprefix("L-"), "quantity": shelf.levels[name]}
        for name in names[start : start + PAGE]
        if name in shelf.levels
    ]
    end = start + PAGE
    return {"items": items, "next": str(end) if end < len(names) else None, "as_of": _stamp()}


def _stamp() -> str:
    return datetime.now(UTC).isoformat()


def _json(content: object) -> HttpResponse:
    return HttpResponse(200, msgspec.json.encode(content), content_type="application/json")


def _complain(error: Exception) -> None:
    raise error


async def main(port: int, skus: int, stock: int, channels: list[str]) -> None:
    """Serve until killed."""
    names = [f"L-{sku}" for sku in sku_names(skus)]
    handler = Shelves({channel: Shelf(dict.fromkeys(names, stock)) for channel in channels})
    limits = Limits(max_body_bytes=BODY_MAX, idle_timeout_s=600)
    server = HttpServer(handler, limits, on_error=_complain, wall_clock=time.time)
    await server.serve(await tcp_listeners("127.0.0.1", port))


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
