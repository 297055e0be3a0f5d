"""The verdict over the play, without a server: it condemns what is wrong, and nothing else."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from adapters.stamps import rfc3339
from daemon.theatre.truth import Book, Entry, Movement, Write
from tests.vendure import install as installing
from tests.vendure.install import NotInstalledError, install
from tests.vendure.play import BOUTIQUE, NORTH, ORDERS, SKUS, SOUTH, STOCK, Tally, tickets
from tests.vendure.verdict import Verdict, judge

AT = 1_795_000_000_000_000
SKU = "SKU-0001"


def sale(store: str, order: str, after_ms: int, units: int) -> Movement:
    return Movement(AT + after_ms * 1_000, store, order, "1", SKU, -units)


def event(seq: int, after_ms: int, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "at": rfc3339(AT + after_ms * 1_000), "sku": SKU, "after": None, "cause": {}, **more}


def heard(seq: int, after_ms: int, store: str, order: str, left: int) -> dict[str, Any]:
    cause = {"order": order, "line": "1", "by": "webhook"}
    return event(seq, after_ms, kind="order", channel=store, after=left, cause=cause)


def scene(shown: dict[str, int], sold: list[Movement], writes: dict[str, list[Write]]) -> list[Book]:
    return [
        Book(
            store, {SKU: Entry(4, -sum(each.units for each in sold if each.store == store), 0, shown[store])},
            [each for each in sold if each.store == store], writes.get(store, []),
        )
        for store in ORDERS
    ]  # fmt: skip


def verdict(books: list[Book], events: list[dict[str, Any]], **changes: Any) -> Verdict:
    tally = Tally(asked=50, cancelled=1, handed_over=1, still_wanted=[9, 3])
    tally.placed.update(dict.fromkeys(ORDERS, 1))
    left = 4 - sum(book.skus[SKU].sold for book in books)
    said: dict[str, Any] = {
        "shelf": {SKU: (3, 2)},
        "held": {SKU: 2},
        "known": {SKU: left},
        "dead_letters": 0,
        "tally": tally,
    }
    return judge(books, events, **{**said, **changes})


SOLD = [sale(BOUTIQUE, "1", 0, 2), sale(NORTH, "O-1", 50, 1)]
TOLD = {store: [Write(AT + 60_000, SKU, 4, 1, late=False)] for store in ORDERS}
SHOWN = {BOUTIQUE: 1, NORTH: 1, SOUTH: 1}
EVENTS = [heard(1, 10, BOUTIQUE, "1", 2), heard(2, 55, NORTH, "O-1", 1)] + [
    event(number, 56, kind="push_sent", channel=store, level=1) for number, store in enumerate(ORDERS, 3)
]


def failing(found: Verdict) -> list[str]:
    return [sentence for sentence, holds in found.musts if not holds]


def test_a_day_on_which_all_was_right_is_good() -> None:
    found = verdict(scene(SHOWN, SOLD, TOLD), EVENTS)
    assert failing(found) == []
    assert found.good


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"known": {SKU: 2}}, "every shop shows"),
        ({"held": {SKU: 1}}, "Vendure holds"),
        ({"dead_letters": 1}, "dead letter"),
        ({"tally": Tally(asked=49, cancelled=1, handed_over=1, still_wanted=[9, 3])}, "50 orders"),
        ({"tally": Tally(asked=50, cancelled=1, still_wanted=[9, 0])}, "still to come"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], sentence: str) -> None:
    found = verdict(scene(SHOWN, SOLD, TOLD), EVENTS, **changes)
    assert not found.good
    assert any(sentence in each for each in failing(found))


def test_a_shop_that_shows_another_number_is_condemned() -> None:
    found = verdict(scene(evolve_shown(south=2), SOLD, TOLD), EVENTS)
    assert failing(found) == ["every shop shows the true number"]


def evolve_shown(**changes: int) -> dict[str, int]:
    return {**SHOWN, **changes}


def test_a_unit_sold_twice_is_forgiven_only_while_its_news_was_under_way() -> None:
    soon, late = sale(SOUTH, "O-2", 58, 3), sale(SOUTH, "O-2", 90, 3)
    shown = dict.fromkeys(ORDERS, 0)
    for each, forgiven in ((soon, True), (late, False)):
        books = scene(shown, [*SOLD, each], TOLD)
        found = verdict(books, [*EVENTS, heard(9, 95, SOUTH, "O-2", -2)])
        assert [some.oversale.units for some in found.oversold] == [2]
        assert (failing(found) == []) is forgiven, failing(found)


def test_news_of_a_minute_ago_forgives_nothing() -> None:
    books = scene(dict.fromkeys(ORDERS, 0), [*SOLD, sale(SOUTH, "O-2", 61_000, 3)], {})
    found = verdict(books, [*EVENTS, heard(9, 61_005, SOUTH, "O-2", -2)])
    assert failing(found) == ["nothing was sold twice but what no news could have prevented"]


def test_the_wishes_are_fifty_and_sell_out_two_variants() -> None:
    wanted = tickets(random.Random(20_261_123))
    assert {store: len(each) for store, each in wanted.items()} == ORDERS
    units = {sku: sum(each.units for some in wanted.values() for each in some if each.sku == sku) for sku in SKUS}
    assert sum(count > STOCK for count in units.values()) == 2


# --- the installation -----------------------------------------------------------------------------------------


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path with nothing but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(installing.shutil, "which", lambda name: (folder / name).exists() or None)
    return folder


def test_without_node_or_npm_it_says_what_is_missing(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="node is not installed: Vendure needs Node 20"):
        install(tmp_path / "v")
    tool(tools, "node", "exit 0")
    with pytest.raises(NotInstalledError, match="npm is not installed"):
        install(tmp_path / "v")


def test_without_the_registry_it_says_so_and_leaves_nothing_behind(tools: Path, tmp_path: Path) -> None:
    tool(tools, "node", "exit 0")
    tool(tools, "npm", "echo 'npm error network getaddrinfo ENOTFOUND'; exit 1")
    with pytest.raises(
        NotInstalledError, match=r"npm could not install Vendure; is its registry in reach\? .*ENOTFOUND"
    ):
        install(tmp_path / "v")
    assert not (tmp_path / "v" / "installed").exists()


def test_what_is_installed_is_taken_again(tools: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    tool(tools, "npm", f"echo npm >> {log}")
    tool(tools, "node", f"echo compile >> {log}; mkdir -p dist")
    shop = install(tmp_path / "v")
    assert (shop / "src" / "onhand-plugin.ts").exists()
    assert install(tmp_path / "v") == shop
    assert log.read_text().split() == ["npm", "compile"]
    (shop / "compiled").write_text("older")
    install(tmp_path / "v")
    assert log.read_text().split() == ["npm", "compile", "compile"]


def test_an_installation_without_end_is_ended(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tools, "node", "exit 0")
    tool(tools, "npm", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(installing, "NPM_MAX_S", 2.0)
    with pytest.raises(NotInstalledError, match="more than 2 s"):
        install(tmp_path / "v")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
