"""The verification: its frame with checks of our own making, the quick ones for real, and that they see faults."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
import trio

from daemon.theatre.check_books import trail
from daemon.theatre.checks import Check, Findings, look_at_numbers
from daemon.theatre.stage import Stage, staged, storefront
from daemon.theatre.verify import CHECKS, _verify


async def good(directory: Path, found: Findings) -> None:
    await trio.lowlevel.checkpoint()
    assert os.path.isdir(directory)  # noqa: ASYNC240 - one look at a local directory
    found.measured("it took 3 ms", took_ms=3)


async def bad(directory: Path, found: Findings) -> None:
    await good(directory, found)
    found.demand(False, "it took too long")


async def broken(directory: Path, found: Findings) -> None:
    async with trio.open_nursery():
        raise ZeroDivisionError("so it goes")


def check(name: str) -> Check:
    return Check(name, f"the {name} one", "under 5 ms", {"good": good, "bad": bad, "broken": broken}[name])


async def test_the_verification_passes_if_every_check_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _verify([check("good")], False, tmp_path) == 0
    out = capsys.readouterr()
    assert "1 of 1 passed" in out.out
    assert "1 of 1: the good one" in out.err
    assert "passed in" in out.err


async def test_a_check_that_fails_or_breaks_off_fails_the_verification_and_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _verify([check("broken"), check("bad"), check("good")], True, tmp_path) == 1
    out = capsys.readouterr()
    assert out.err == ""
    document = json.loads(out.out)
    assert not document["ok"]
    assert [each["ok"] for each in document["checks"]] == [False, False, True]
    assert [each["problems"] for each in document["checks"]] == [
        ["it broke off: ZeroDivisionError('so it goes')"], ["it took too long"], [],
    ]  # fmt: skip
    assert document["checks"][2]["figures"] == {"took_ms": 3}
    assert all(each["limit"] == "under 5 ms" for each in document["checks"])


async def test_the_table_shows_what_was_measured_and_what_was_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _verify([check("bad")], False, tmp_path)
    out = capsys.readouterr().out
    for said in ("it took 3 ms", "it took too long", "under 5 ms", "FAILED", "0 of 1 passed"):
        assert said in out


def test_the_five_acceptance_tests_are_verified() -> None:
    assert [each.name for each in CHECKS] == ["burst", "at_once", "failures", "bulk", "trail"]


# --- for real ------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_trail_of_one_change_is_complete(tmp_path: Path) -> None:
    found = Findings()
    await trail(tmp_path, found)
    assert found.problems == []
    assert found.figures["sale"]["cause"]["line"] == "1"


@pytest.mark.slow
async def test_a_sale_reaches_the_stage_and_numbers_meddled_with_are_seen(tmp_path: Path) -> None:
    shops = [storefront(name, {"TEE": 9, "MUG": 4}, 1) for name in ("market", "boutique")]
    async with staged(shops, tmp_path) as stage:
        await stage.order("market", [("TEE", 2)])
        assert await stage.until(stage.converged, 10)
        clean = Findings()
        await look_at_numbers(stage, clean)
        assert clean.problems == []
        assert await stage.until(partial(_shows, stage, "TEE", 7), 1)
        shops[1].shop.by_sku["MUG"].quantity = 3
        assert not stage.converged()
        found = Findings()
        await look_at_numbers(stage, found)
        assert found.problems == [
            "MUG: 4 are left, the daemon says 4 (debt 0), on show are 4 at market, 3 at boutique"
        ]


def _shows(stage: Stage, sku: str, units: int) -> bool:
    return set(stage.shown(sku).values()) == {units}


@pytest.mark.slow
async def test_a_storefront_that_shows_too_few_refuses_the_order(tmp_path: Path) -> None:
    async with staged([storefront("market", {"TEE": 1}, 1)], tmp_path) as stage:
        assert await stage.order("market", [("TEE", 1)])
        assert await stage.order("market", [("TEE", 1)]) == ""
