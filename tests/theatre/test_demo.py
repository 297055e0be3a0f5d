"""The demo: a short one for real, its plan, its tables, and what makes it fail."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from daemon.storage.files import StoreError
from daemon.theatre.curtain import raise_curtain
from daemon.theatre.demo import run_demo
from daemon.theatre.demo_report import sku_row
from daemon.theatre.demo_tables import Moment, Row, closing_view, live_view, ms
from daemon.theatre.shoppers import Trade, plan
from daemon.theatre.truth import Book, Entry, Truth

STORES = ("market", "boutique")


def drawn(view: Any) -> str:
    console = Console(file=io.StringIO(), width=110, markup=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.slow
def test_a_short_demo_ends_with_every_storefront_equal_to_the_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(20, 2.0, True) == 0
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert out.err == ""
    assert document["ok"]
    assert document["orders"]["asked"] == 20
    assert all(set(row["shown"].values()) == {row["should_show"]} for row in document["skus"])
    assert all(each["explained"] for each in document["oversales"])
    assert document["daemon"]["open_listings"] == 0
    assert document["daemon"]["errors"] == []
    assert "Every storefront shows the right number" in drawn(closing_view(document))


# --- the plan ------------------------------------------------------------------------------------------------


def test_the_same_seed_plans_the_same_orders_and_exactly_as_many_as_asked() -> None:
    plans = [plan(STORES, {"A": 1.0, "B": 2.0}, 70, 9.0, random.Random(7)) for _ in range(2)]
    assert plans[0] == plans[1]
    assert len(plans[0]) == 70


def test_every_order_and_its_sequel_fall_into_the_burst() -> None:
    wishes = plan(STORES, {"A": 1.0, "B": 2.0}, 200, 9.0, random.Random(7))
    assert [wish.at_s for wish in wishes] == sorted(wish.at_s for wish in wishes)
    assert all(0 <= wish.at_s <= wish.at_s + wish.sequel_s <= 9.0 for wish in wishes)
    assert {wish.sequel for wish in wishes} == {None, "cancel", "refund", "fulfil"}


def test_some_shoppers_want_the_same_in_the_same_moment_at_two_storefronts() -> None:
    wishes = plan(STORES, {"A": 1.0, "B": 2.0}, 200, 9.0, random.Random(7))
    rivals = [
        (one, two) for one, two in itertools.pairwise(wishes)
        if one.at_s == two.at_s and one.store != two.store and one.lines[0] == two.lines[0]
    ]  # fmt: skip
    assert rivals


# --- right or wrong ------------------------------------------------------------------------------------------


def row(shown: dict[str, int], available: int, *, truth: int) -> dict[str, Any]:
    books = [Book(store, {"TEE": Entry(9, 0, 0, units)}) for store, units in shown.items()]
    known = {"available": available, "debt": max(0, -available)}
    return sku_row(Truth("TEE", 9, 9 - truth, 0), books, known)


def test_a_row_is_equal_only_if_every_storefront_and_the_daemons_books_are() -> None:
    assert row({"market": 4, "boutique": 4}, 4, truth=4)["equal"]
    assert row({"market": 0, "boutique": 0}, -2, truth=-2)["equal"]
    assert not row({"market": 4, "boutique": 5}, 4, truth=4)["equal"]
    assert not row({"market": 4, "boutique": 4}, 5, truth=4)["equal"]
    assert not row({"market": 0, "boutique": 0}, 0, truth=-2)["equal"]


# --- the tables ----------------------------------------------------------------------------------------------


def document(*rows: dict[str, Any], ok: bool, oversales: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    spread = {"p50": 12.0, "p99": 950.0, "slowest": 1_500.0, "reaction": {"p50": None}}
    return {
        "ok": ok, "skus": list(rows), "oversold": len(oversales), "debt": 0, "oversales": list(oversales),
        "orders": {"placed": 5, "refused_sold_out": 1, "cancelled": 1, "refunded": 0, "fulfilled": 2},
        "webhooks": {"sent": 9, "duplicated": 2, "dropped": 1}, "propagation_ms": spread,
        "daemon": {"acked": 9, "duplicates": 2, "pushes": 10, "pushes_confirmed": 9},
        "burst": {"took_s": 5.0}, "convergence": {"took_s": 2.0, "deadline_s": 30.0},
    }  # fmt: skip


def test_the_closing_table_names_what_is_wrong() -> None:
    wrong = row({"market": 4, "boutique": 5}, 4, truth=4)
    said = drawn(closing_view(document(wrong, ok=False)))
    assert "DIFFERENT" in said
    assert "Not right within 30 s: TEE." in said


def test_a_unit_sold_twice_without_a_reason_is_said_to_be_a_failure() -> None:
    right = row({"market": 4, "boutique": 4}, 4, truth=4)
    said = drawn(closing_view(document(right, ok=False, oversales=({"sentence": "1 of TEE sold twice"},))))
    assert "1 of TEE sold twice" in said
    assert "nobody can say why" in said


def test_the_live_table_shows_what_is_on_its_way() -> None:
    rows = [Row("TEE", 4, {"market": 4, "boutique": 5}), Row("MUG", -1, {"market": 0, "boutique": 0})]
    moment = Moment(
        STORES, rows, Trade(), 50, left_s=3.0, waiting_s=None, deadline_s=30.0,
        hooks=4, dropped=1, duplicates=2, pushes=3, open_listings=1,
    )  # fmt: skip
    said = drawn(live_view(moment))
    assert "1 being told" in said
    assert "1 owed" in said
    assert moment.differing() == 1
    assert "numbers still on their way: 1" in moment.line()


def test_milliseconds_are_written_for_people() -> None:
    assert [ms(None), ms(12.4), ms(2_340.0)] == ["-", "12 ms", "2.3 s"]


# --- the curtain ---------------------------------------------------------------------------------------------


def test_the_exit_code_is_the_plays_own_and_its_directory_is_gone_afterwards() -> None:
    seen: list[Path] = []

    async def play(directory: Path) -> int:
        await trio.lowlevel.checkpoint()
        assert os.path.isdir(directory)  # noqa: ASYNC240 - one look at a local directory
        seen.append(directory)
        return 7

    assert raise_curtain(play) == 7
    assert not seen[0].exists()


@pytest.mark.parametrize("grouped", [False, True])
def test_trouble_nobody_can_help_is_one_sentence(grouped: bool, capsys: pytest.CaptureFixture[str]) -> None:
    async def play(directory: Path) -> int:
        await trio.lowlevel.checkpoint()
        error = StoreError("the disk is full")
        raise ExceptionGroup("several", [error]) if grouped else error

    assert raise_curtain(play) == 1
    assert capsys.readouterr().err == "the disk is full\n"


def test_a_bug_is_raised() -> None:
    async def play(directory: Path) -> int:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        raise_curtain(play)


def test_an_interruption_ends_the_play_at_once() -> None:
    async def play(directory: Path) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep_forever()
        raise AssertionError

    assert raise_curtain(play) == 130
