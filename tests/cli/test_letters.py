"""Dead letters on the command line: by cause with what to do, and worked on one by one, some, or all."""

from __future__ import annotations

import sys
from typing import Any

import click
import pytest

from daemon.cli.letter_groups import Wanted, grouped, likeness
from daemon.cli.pace import Pace
from tests.cli.conftest import Onhand
from tests.harness import House


def letter(
    number: int, cause: str, *, kind: str = "push", channel: str | None = "shop", sku: str | None = "A"
) -> Any:
    at = f"2025-06-15T15:{number:02d}:00Z"
    return {
        "id": number,
        "cause": cause,
        "kind": kind,
        "channel": channel,
        "sku": sku,
        "at": at,
        "next_action": "mend",
    }


def test_letters_that_differ_in_names_and_numbers_alone_have_one_cause() -> None:
    assert likeness("listing 'L-1' of order 1001 is gone (id deadbeef12)") == "listing … of order … is gone (id …)"
    letters = [letter(place, f"listing {place} is gone") for place in range(1, 8)]
    letters += [letter(8, "listing 8 is gone", channel="site"), letter(9, "another", kind="late", channel=None)]
    groups = grouped(letters)
    assert [(each.count, each.channel, each.cause) for each in groups] == [
        (7, "shop", "listing … is gone"), (1, "site", "listing 8 is gone"), (1, None, "another"),
    ]  # fmt: skip
    assert groups[0].shown_ids() == "1, 2, 3, 4, 5 and 2 more"
    assert (groups[0].oldest, groups[0].newest) == ("2025-06-15T15:01:00Z", "2025-06-15T15:07:00Z")


def test_every_filter_that_is_given_must_hold() -> None:
    one = letter(1, "The Listing is gone", kind="push", channel="shop", sku="A")
    assert not Wanted()
    assert Wanted().takes(one)
    assert Wanted("shop", "push", "A", "listing IS").takes(one)
    for wrong in (Wanted(channel="site"), Wanted(kind="late"), Wanted(sku="B"), Wanted(cause="closed")):
        assert wrong
        assert not wrong.takes(one)


def test_a_pace_spreads_its_turns_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("daemon.cli.pace.time.monotonic", lambda: now[0])
    monkeypatch.setattr("daemon.cli.pace.time.sleep", sleep)
    pace = Pace(4.0)
    for _ in range(5):
        pace.wait()
    assert slept == [0.25] * 4
    now[0] += 60.0
    pace.wait()
    assert len(slept) == 4, "whoever was slow himself need not wait"


async def furnish(house: House) -> None:
    for kind, channel, sku, cause in (
        ("puzzle", "shop", "", "it has no field 17"), ("push", "shop", "A", "listing 1 is closed"),
        ("push", "shop", "B", "listing 2 is closed"), ("push", "site", "A", "listing 9 is closed"),
    ):  # fmt: skip
        house.dead_letters.add(kind, 1, channel=channel, sku=sku, cause=cause, subject="what", content=cause.encode())  # type: ignore[arg-type]  # two of the kinds
    await house.store.flush()


async def test_on_a_terminal_letters_are_grouped_and_elsewhere_each_has_its_line(
    house: House, onhand: Onhand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(house)
    grouped_out = " ".join((await onhand("dead-letters", "--by-cause")).out.split())
    assert "2 push shop listing … is closed A, B" in grouped_out
    assert "2, 3 mend the listing at the channel, then retry" in grouped_out
    assert "4 dead letters of 3 causes" in grouped_out
    each = (await onhand("dead-letters", "list")).out
    assert "listing 1 is closed" in each
    assert "causes" not in each
    document = (await onhand("dead-letters", "list", "--by-cause", "--json")).json()
    assert [each["id"] for each in document["dead_letters"]] == [1, 2, 3, 4]
    assert (await onhand("dead-letters", "--by-cause", "--kind", "late")).out == "there are no dead letters\n"


async def test_letters_are_chosen_by_channel_kind_sku_and_cause(house: House, onhand: Onhand) -> None:
    await furnish(house)
    for filters, ids in (
        (["--channel", "shop"], [1, 2, 3]), (["--kind", "push"], [2, 3, 4]), (["--sku", "A"], [2, 4]),
        (["--cause", "CLOSED"], [2, 3, 4]), (["--cause", "closed", "--channel", "shop", "--sku", "B"], [3]),
        (["--all"], [1, 2, 3, 4]), (["3", "1"], [1, 3]),
    ):  # fmt: skip
        tried = await onhand("dead-letters", "retry", *filters, "--dry-run", "--json")
        assert (tried.code, [each["id"] for each in tried.json()["dead_letters"]]) == (0, ids), filters
    assert house.dead_letters.count == 4
    done = await onhand("dead-letters", "retry", "--cause", "closed", "--rate", "500", "--json")
    assert done.json()["summary"] == {"done": 3, "stay": 0, "refused": 0}
    assert [each["id"] for each in done.json()["results"]] == [2, 3, 4]
    assert (await onhand("dead-letters", "list", "--json")).json()["dead_letters"][0]["id"] == 1
    missing = await onhand("dead-letters", "retry", "77", "--dry-run")
    assert (missing.code, missing.err) == (1, "there is no dead letter 77\n")


async def test_what_chooses_letters_may_not_be_lost_before_the_sub_command(house: House, onhand: Onhand) -> None:
    await furnish(house)
    refused = await onhand("dead-letters", "--kind", "late", "retry", "--all")
    assert (refused.code, "write --kind, --sku and --cause behind retry" in refused.err) == (2, True)
    both = await onhand("dead-letters", "retry", "2", "--kind", "push")
    assert (both.code, "or choose them by --channel" in both.err) == (2, True)
    assert house.dead_letters.count == 4


async def test_many_are_given_up_only_when_a_person_says_so(
    house: House, onhand: Onhand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(house)
    unasked = await onhand("dead-letters", "discard", "--kind", "push")
    assert unasked.code == 2
    assert "give 3 dead letters up for good? nobody can be asked here, so add --yes" in unasked.err
    assert "2 push at shop: listing … is closed" in unasked.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("click.confirm", no)
    assert (await onhand("dead-letters", "discard", "--all")).code == 130
    assert house.dead_letters.count == 4
    said = (await onhand("dead-letters", "discard", "--kind", "push", "--yes", "--rate", "500")).out
    assert said.splitlines()[-1].strip() == "3 letters: 3 done, 0 stay"
    assert house.dead_letters.count == 1
    assert (await onhand("dead-letters", "discard", "1")).code == 0, "one alone is not asked about"


def no(*_: object, **__: object) -> bool:
    raise click.Abort
