"""What a new channel with signed webhooks takes: one file of under 150 lines (`kiosk.py`). It passes every check of
the shared contract, and runs in the daemon beside a second of its kind."""

from __future__ import annotations

import hmac
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from adapters import PLATFORMS
from daemon.app.daemon import Daemon, serve
from daemon.config import read_config
from daemon.domain.exchange import Reply, Request, Response
from daemon.domain.instants import SECOND_US
from daemon.notify import Notifier
from tests.adapters import contract, kiosk, test_contract
from tests.adapters.contract import Fixture
from tests.storage_faults.lives import Around

LINES_MAX = 150
AT, TOKEN, SECRET = 1_750_000_000, "token-of-the-kiosk", "hook-secret-1"
AT_US = f"{AT * SECOND_US}"


def test_a_channel_with_signed_webhooks_takes_one_file_of_under_150_lines() -> None:
    source = Path(kiosk.__file__).read_text("utf-8")
    assert len(source.splitlines()) < LINES_MAX
    assert "tests" not in source  # it stands on nothing but what adapters stand on


# --- the shared contract ------------------------------------------------------------------------------------


def order(units: Any = 2, version: int = 1) -> dict[str, Any]:
    return {
        "id": "O-1", "version": version, "changed": AT, "buyer": {"name": "Zaphod Beeblebrox"},
        "lines": {"1": {"sku": "A", "ordered": units}},
    }  # fmt: skip


def span() -> str:
    return "2025-06-15T15:06:40Z/2025-06-15T15:06:40.999999Z"


SEEN = {
    "order": "O-1", "version": 1, "updated": span(),
    "lines": [{"line": "1", "listing": "A", "seller_sku": "A", "ordered": 2}],
}  # fmt: skip
LEVEL = {"listing": "A", "level": 5, "own": span(), "seller_sku": "A"}
STOCK = {"units": {"A": 5}, "at": AT}


def signed(body: bytes, secret: str = SECRET, at: int = AT) -> dict[str, str]:
    digest = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    return {"x-kiosk-time": str(at), "x-kiosk-signature": digest}


def step(path: str, said: Any, status: int = 200, *, asked: Any = None, **query: str) -> dict[str, Any]:
    request = {"method": "PUT" if asked else "GET", "path": f"/{path}", "query": {k: [v] for k, v in query.items()}}
    if asked:
        request["body"] = asked
    headers = {"retry-after": "7"} if status == 429 else {}
    return {"request": request, "response": {"status": status, "headers": headers, "body": said}}


def made(kind: str) -> list[Fixture]:
    """The fixtures that a platform's folder would hold."""
    return [Fixture("kiosk", Path(kind) / f"{name}.json", content) for name, content in CONTENT[kind].items()]


def told(message: Any, *, secret: str = SECRET, **facts: Any) -> dict[str, Any]:
    body = message if isinstance(message, str) else json.dumps(message)
    return {"headers": signed(body.encode(), secret), "secret": SECRET, "body": body,
            "facts": {"topic": "order", "identity": "", **facts}}  # fmt: skip


def read(call: str, args: list[Any], *steps: Any, **found: Any) -> dict[str, Any]:
    return {"call": call, "args": args, "steps": list(steps), **found}


def pushed(said: Any, status: int = 200, **outcome: Any) -> dict[str, Any]:
    asked = {"key": "k-1", "sku": "A", "units": 3}
    batch = [{"listing": "A", "level": 3, "believed": 5, "generation": 7}]
    return {"batch": batch, "key": "k-1", "steps": [step("stock", said, status, asked=asked)], "outcomes": [outcome]}


CONTENT: dict[str, dict[str, Any]] = {
    "webhooks": {
        "order": told({"id": "n-1", "order": order()}, identity="n-1", orders=[SEEN]),
        "no_order": told({"id": "n-2"}, identity="n-2", puzzle="no order"),
        "no_json": told("{", puzzle=""),
        "a_key_twice": told('{"id": "a", "id": "b"}', puzzle="twice"),
        "units_in_words": told({"id": "n-3", "order": order("two")}, puzzle="int"),
    },
    "refusals": {"of_a_stranger": told({"id": "n-1", "order": order()}, secret="another")},
    "quantities": {
        "zero": read("levels", [["A"]], step("stock", {**STOCK, "units": {"A": 0}}), levels=[0]),
        "null": read("levels", [["A"]], step("stock", {**STOCK, "units": {"A": None}}), levels=[None]),
        "absent": read("levels", [["A"]], step("stock", {**STOCK, "units": {}})),
        "error": read("levels", [["A"]], step("stock", {}, 500), puzzle="500"),
    },
    "reads": {
        "orders": read("orders", [int(AT_US), ""], step("orders", [order()], since=f"{AT}"),
                       value={"orders": [SEEN], "next_page": "", "high_water_us": int(AT_US)}),
        "orders_throttled": read("orders", [0, ""], step("orders", {}, 429, since="0"),
                                 failure={"kind": "throttled", "retry_after_s": 7.0}),
        "orders_garbled": read("orders", [0, ""], step("orders", {}, since="0"), failure={"kind": "transient"}),
        "order": read("order", ["O-1"], step("orders", [order()], id="O-1"), value=SEEN),
        "order_unknown": read("order", ["O-2"], step("orders", [], id="O-2"), value=None),
        "listings": read("listings", [""], step("stock", STOCK), value={"levels": [LEVEL], "next_page": ""}),
        "levels": read("levels", [["A", "B"]], step("stock", STOCK), value=[LEVEL]),
        "webhooks": read("webhooks", [], value=[]),
        "register": read("register", ["order", contract.URL, None], failure={"kind": "permanent"}),
    },
    "pushes": {
        "done": pushed({"units": {"A": 3}, "at": AT}, kind="ok", level=3, own=span()),
        "throttled": pushed({}, 429, kind="throttled", retry_after_s=7.0),
        "refused": pushed({}, 404, kind="permanent"),
        "broken": pushed({}, 500, kind="unknown"),
        "it_shows_something_else": pushed(STOCK, kind="unknown"),
    },
}  # fmt: skip
SETUP = {
    "base_url": "https://stand.example", "secrets": {"token": TOKEN}, "webhook_secrets": [SECRET],
    "canaries": ["Zaphod Beeblebrox"],
}  # fmt: skip


def checks() -> list[Any]:
    """Every check of the shared contract, as a case for the fictitious channel: (name, the fixtures it is for)."""
    found = []
    for name, check in vars(test_contract).items():
        if name.startswith("test_"):
            marks = getattr(check, "pytestmark", [])
            (case,) = [mark for mark in marks if mark.name == "parametrize"]
            kind = "" if case.args[0] == "platform" else case.args[1][0].path.parent.name
            if kind and kind not in CONTENT:
                continue  # a kiosk greets nobody
            slow = [pytest.mark.slow] if any(mark.name == "slow" for mark in marks) else []
            found.append(pytest.param(name, kind, id=name.removeprefix("test_"), marks=slow))
    return found


@pytest.mark.parametrize(("name", "kind"), checks())
def test_the_fictitious_channel_passes_the_shared_contract(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLATFORMS, "kiosk", kiosk.PLATFORM)
    monkeypatch.setattr(contract, "setup_of", lambda platform: SETUP)
    monkeypatch.setattr(test_contract, "fixtures", made)
    for constant, folder in (("WEBHOOKS", "webhooks"), ("READS", "reads"), ("PUSHES", "pushes")):
        monkeypatch.setattr(test_contract, constant, made(folder))
    check = getattr(test_contract, name)
    for subject in made(kind) if kind else ["kiosk"]:
        check(subject)


def test_the_contracts_checks_are_all_there() -> None:
    assert len(checks()) >= 19
    assert {case.values[1] for case in checks()} >= {"webhooks", "refusals", "reads", "pushes", ""}


# --- in the daemon ------------------------------------------------------------------------------------------


@define
class Stand:
    """A kiosk with its own books, as an HTTP client sees it."""

    units: dict[str, int]
    orders: dict[str, dict[str, Any]] = field(factory=dict)
    written: list[tuple[str, int]] = field(factory=list)

    def sell(self, sku: str, units: int) -> bytes:
        """An order; what the webhook of it says."""
        self.units[sku] -= units
        name = f"O-{len(self.orders) + 1}"
        self.orders[name] = {
            **order(units),
            "id": name,
            "changed": now_s(),
            "lines": {"1": {"sku": sku, "ordered": units}},
        }
        return json.dumps({"id": f"n-{name}", "order": self.orders[name]}).encode()

    async def send(self, request: Request) -> Reply:
        await trio.sleep(0.05)
        assert request.secret_headers == {"authorization": f"Bearer {TOKEN}"}
        parts = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if request.method == "PUT":
            wish = json.loads(request.body)
            self.units[wish["sku"]] = wish["units"]
            self.written.append((wish["sku"], wish["units"]))
        said: Any = {"units": self.units, "at": now_s()}
        if parts.path == "/orders":
            since = int(query.get("since", "0"))
            rows = [each for each in self.orders.values() if each["changed"] >= since]
            said = [each for each in rows if query.get("id", each["id"]) == each["id"]]
        return Response(200, {}, json.dumps(said).encode(), now_us(), now_us())

    async def aclose(self) -> None: ...


def now_us() -> int:
    return AT * SECOND_US + int(trio.current_time() * SECOND_US)


def now_s() -> int:
    return now_us() // SECOND_US


@asynccontextmanager
async def running(folder: Path, stands: dict[str, Stand]) -> AsyncIterator[tuple[Daemon, Around]]:
    """The daemon between the stands, configured as a person would."""
    channels = {
        name: {"adapter": "kiosk", "base_url": f"https://{name}.example", "token": {"env": "TOKEN"},
               "webhook_secrets": [{"env": "HOOK"}]}
        for name in stands
    }  # fmt: skip
    text = json.dumps({"state_dir": str(folder / "state"), "channels": channels, "storage": {"disk_floor_mb": 16}})
    config = read_config(text, {}, {"kiosk": kiosk.PLATFORM})
    around = Around(random.Random(1), now_us, open_http=lambda target: stands[target.channel])
    ports = evolve(around.ports(), environ={"TOKEN": TOKEN, "HOOK": SECRET})
    async with trio.open_nursery() as nursery:
        daemon = await nursery.start(
            serve, config, {"kiosk": kiosk.PLATFORM}, ports, around.telemetry(), Notifier({})
        )  # fmt: skip
        await daemon.serving.wait()
        yield daemon, around
        daemon.stop()
        await daemon.ended.wait()


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


async def test_a_signed_webhook_counts_a_forged_one_does_not_and_the_other_channel_is_told(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    stands = {"stand": Stand({"A": 10}), "booth": Stand({"A": 10})}
    async with running(tmp_path, stands) as (daemon, around):
        await trio.sleep(5)

        def available() -> int | None:
            state = daemon.parts.registry.peek("A")
            return state.available if state else None

        assert (available(), stands["booth"].written) == (10, [])
        sold = stands["stand"].sell("A", 2)
        forged, other = sold.replace(b'"ordered": 2', b'"ordered": 9'), "/webhooks/stand"
        stamp = now_s()
        for body, headers in (
            (forged, signed(sold, at=stamp)), (sold, signed(sold, "another", stamp)), (sold, {}),
            (sold, signed(sold, at=stamp - 301)),
        ):  # fmt: skip
            assert (await around.public.ask("POST", other, body, headers))[0] == 401
        await trio.sleep(1)
        assert (available(), stands["booth"].written) == (10, [])
        for _ in range(2):  # told twice, it counts once
            assert (await around.public.ask("POST", other, sold, signed(sold, at=now_s())))[0] == 200
            await trio.sleep(2)
            assert available() == 8
        assert stands["booth"].written == [("A", 8)]
        assert [stand.units for stand in stands.values()] == [{"A": 8}, {"A": 8}]

        stands["booth"].sell("A", 3)  # nobody tells: the feed does
        await trio.sleep(40)
        assert [stand.units for stand in stands.values()] == [{"A": 5}, {"A": 5}]
        assert (daemon.parts.dead_letters.count, daemon.parts.registry.crashes) == (0, 0)
    assert TOKEN not in "".join(around.said)
    assert SECRET not in "".join(around.said)
