"""Command lines against a running daemon's socket: what they print, and their exit codes."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import trio
from rich.console import Console

from daemon.admin.inside import RebuildReport, ReconcileReport, Restored
from daemon.cli import main, tables
from daemon.domain.channel import Webhook
from daemon.domain.drift import Named
from daemon.domain.gaps import Capture
from daemon.domain.mode import ChannelMode
from daemon.domain.shadow import Sums
from daemon.ingress.masses import MassHold
from daemon.storage.floor import Floor
from tests.admin.test_commands import ME, stopped_by_a_letter
from tests.app.test_replaying import furnish
from tests.cli.conftest import Onhand
from tests.harness import START_US, House, seen_in_shadow, until


async def test_a_count_is_told_and_shown(onhand: Onhand) -> None:
    counted = await onhand("count", "A/B C", "9", "--reference", "R1")
    assert (counted.code, counted.out) == (0, "A/B C: available unknown -> 9\n")
    assert (await onhand("sku", "A/B C")).out.startswith("A/B C: 9 available (9 on the shelf, 0 of them sold)")
    assert (await onhand("sku", "A/B C", "--json")).json()["available"] == 9


@pytest.mark.parametrize(("units", "after"), [("-3", 7), ("+5", 15), ("5", 15), ("-10", 0), ("-12", -2)])
async def test_adjustments_take_signed_numbers_as_they_are(units: str, after: int, onhand: Onhand) -> None:
    await onhand("count", "A", "10")
    adjusted = await onhand("adjust", "A", units, "--reason", "counted wrong")
    assert adjusted.code == 0
    assert adjusted.out == f"A: available 10 -> {after}; reference id-1\n"


async def test_a_repeated_reference_says_that_nothing_changed(onhand: Onhand) -> None:
    await onhand("adjust", "A", "4", "--reference", "PO-1")
    again = await onhand("adjust", "A", "4", "--reference", "PO-1")
    assert again.code == 0
    assert "nothing changed" in again.out
    other = await onhand("adjust", "A", "5", "--reference", "PO-1")
    assert other.code == 1
    assert other.err.startswith("the reference 'PO-1' stands for +4 of this SKU already: ")


@pytest.mark.parametrize("sku", ["0123", "NO", "12:30", "ÄÖ", "a/b", "[red]x[/red]", "a  b", "..", ":smile:"])
async def test_a_sku_is_shown_as_it_is_written(sku: str, onhand: Onhand) -> None:
    assert (await onhand("count", sku, "1")).out == f"{sku}: available unknown -> 1\n"
    assert (await onhand("skus", "--json")).json()["skus"][0]["sku"] == sku
    assert sku in (await onhand("skus")).out
    assert (await onhand("history", sku)).code == 0


async def test_a_sku_that_begins_with_a_dash_stands_behind_two(onhand: Onhand) -> None:
    code = await trio.to_thread.run_sync(main, ["count", "--socket", onhand.socket, "--", "-x", "4"])
    assert code == 0
    code = await trio.to_thread.run_sync(main, ["adjust", "--socket", onhand.socket, "--", "-x", "-4"])
    assert code == 0
    assert onhand.house.registry.peek("-x").stock.available == 0  # type: ignore[union-attr]  # it was just told


async def test_an_unknown_sku_is_refused_in_one_sentence(onhand: Onhand) -> None:
    for command in ("sku", "history", "explain", "freeze", "push", "pull"):
        refused = await onhand(command, "NOPE")
        assert refused.code == 1
        assert refused.out == ""
        assert refused.err.startswith("nobody has told of the SKU 'NOPE' yet: check its spelling")
        assert refused.err.count("\n") == 1


async def test_status_and_channels_are_tables_and_documents(house: House, onhand: Onhand) -> None:
    house.unready = "shop was not polled yet"
    shown = await onhand("status")
    assert shown.code == 0
    assert "NOT READY: shop was not polled yet" in shown.out
    assert "shop" in shown.out
    assert set((await onhand("status", "--json")).json()) >= {"ready", "since", "events", "outbox", "channels"}
    assert (await onhand("channels", "pause", "shop")).out == "shop is paused\n"
    assert "paused" in (await onhand("channels")).out
    assert (await onhand("channels", "resume", "shop", "--json")).json()["state"] == "live"
    assert (await onhand("channels", "pause", "nowhere")).code == 1


async def test_the_status_of_nine_channels_fits_one_screen(house: House, onhand: Onhand) -> None:
    document = (await onhand("status", "--json")).json()
    one = document["channels"]["shop"] | {
        "state": "throttled", "pending": 12_345, "in_flight": 50, "dead": 1_234, "last_error": "503 " + "x" * 300,
        "push_lag_ms": {"p50": 10_000.0, "p95": 10_000.0, "p99": 123_456.7, "count": 9},
    }  # fmt: skip
    channels = {f"auction-{place}": one | {"name": f"auction-{place}"} for place in range(9)}
    console = Console(width=80, file=StringIO(), record=True)
    console.print(tables.status(document | {"channels": channels}))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert sum(line.startswith("auction-") for line in lines) == 18, "a line, and its error: none is folded"
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24


async def test_a_channel_is_switched_and_the_table_says_who_said_so(house: House, onhand: Onhand) -> None:
    assert (await onhand("channels", "shadow", "shop")).out.splitlines()[
        0
    ] == "shop is in shadow: nothing is written there"
    shown = (await onhand("channels")).out
    assert f"shop is in shadow, nothing is written there, since 2025-06-15 15:06:40Z, as {ME} said" in shown
    assert "config.yaml says live, and a person's word wins" in " ".join(shown.split())
    live = await onhand("channels", "live", "shop")
    assert (live.code, live.out) == (0, f"shop is live, because {ME} said so\n")
    assert (await onhand("channels", "live", "nowhere")).code == 1


async def test_a_replay_shows_the_difference_then_tells_it_once(house: House, onhand: Onhand) -> None:
    place = furnish(house)
    await house.counted("A", 10)
    place.reader.halves, place.reader.blind_to = True, "9"
    await place.sell("1001", A=4)
    await place.sell("9001", A=1)
    place.reader.halves = False
    tried = await onhand("replay", "--channel", "shop")
    assert tried.code == 0
    shown = " ".join(tried.out.split())
    assert "2 kept deliveries read; 1 read differently than before, 0 of them are understood now" in shown
    assert "A 8 -> 6 1" in shown
    assert "1 shop it has a field that nobody knows 2" in shown
    assert "nothing is told yet: add --apply to tell it" in shown
    assert place.available("A") == 8
    assert "1 facts were news and are told" in (await onhand("replay", "--apply")).out
    assert place.available("A") == 6
    assert "0 facts were news and are told" in (await onhand("replay", "--apply")).out
    assert (await onhand("replay", "--json")).json()["deliveries"] == 2
    wrong = await onhand("replay", "--since", "yesterday")
    assert wrong.code == 2
    assert "'yesterday' is no moment with its time zone, write it like 2026-01-31T14:05Z" in wrong.err
    none = await onhand("replay", "--since", "2026-01-31T14:05Z", "--until", "2026-01-31T14:05Z")
    assert (none.code, none.err.startswith("until is not after since: ")) == (1, True)
    assert (await onhand("replay", "--channel", "nowhere")).code == 1


async def test_a_time_in_shadow_is_reported(house: House, onhand: Onhand) -> None:
    assert (await onhand("shadow")).out.startswith("no channel is in shadow: `onhand channels shadow NAME`")
    assert "shop was never in shadow" in (await onhand("shadow", "shop")).out
    await onhand("channels", "shadow", "shop")
    house.channels["shop"].sums = Sums(START_US, 3, 2, [5_000_000], [9_000_000], [150_000])
    house.channels["shop"].seen = [seen_in_shadow("L-1"), seen_in_shadow("L-2")]
    house.clock.us = START_US + 700_000_000
    shown = " ".join((await onhand("shadow")).out.split())
    assert "shop, shadow, watched since 2025-06-15 15:06:40Z: 2 listings moved, 3 pushes would have left" in shown
    assert "2 listings showed more than there was (possible oversell), for 20.0 min to 23.3 min" in shown
    assert "no listing showed less than could be sold" in shown
    assert "2; 1 were, 2 are not yet, 0 never were" in shown
    assert "the tool that is live followed after 5.0 s to 9.0 s (p50)" in shown
    assert "onhand's push would have left after 0.1 s (p50)" in shown
    assert "3 over 5, 2025-06-15 15:06:41Z: order 7 at site" in shown
    document = (await onhand("shadow", "--json")).json()["channels"][0]
    assert document["listings"][0]["pushes"][0]["level"] == 3
    # Live since: the report ends there.
    house.channels["shop"].mode = ChannelMode("live", "ann", START_US + 650_000_000)
    house.clock.us = START_US + 9_000_000_000
    ended = (await onhand("shadow", "shop", "--json")).json()["channels"][0]["listings"][0]["over"]
    assert (ended["now"], ended["at_most_s"]) == (False, 649.0)


async def test_a_roll_back_shows_the_difference_first_and_asks(house: House, onhand: Onhand) -> None:
    refused = await onhand("channels", "rollback", "shop", "--dry-run")
    assert refused.code == 1
    assert refused.err.startswith("no levels of shop from before it went live are kept: ")
    house.channels["shop"].priors = [Restored("L-A", "A", 7, 5, "differs"), Restored("L-B", "B", 3, 3, "same")]
    tried = await onhand("channels", "rollback", "shop", "--dry-run")
    assert tried.code == 0
    assert "2 listings; 1 show the same now, 1 differ" in tried.out
    assert "L-A" in tried.out
    assert "L-B" not in tried.out
    assert house.channels["shop"].mode.mode == "live"
    unasked = await onhand("channels", "rollback", "shop")
    assert (unasked.code, "add --yes" in unasked.err) == (2, True)
    assert house.channels["shop"].mode.mode == "live"
    begun = await onhand("channels", "rollback", "shop", "--yes", "--no-wait", "--json")
    assert begun.code == 0
    assert house.channels["shop"].mode.mode == "rollback"
    busy = await onhand("channels", "live", "shop")
    assert (busy.code, busy.err.partition(":")[0]) == (1, "shop is being rolled back")


async def test_status_begins_with_the_open_alarms(house: House, onhand: Onhand) -> None:
    assert "ALARM" not in (await onhand("status")).out
    for _ in range(3):
        house.alarms.raised("webhooks_silent", "shop", "no webhook told of order 7")
    first, second, third, *rest = (await onhand("status")).out.splitlines()
    assert first.startswith("ALARM WEBHOOKS SILENT shop, since 2025-")
    assert first.strip().endswith("found 3 times")
    assert second.strip() == "no webhook told of order 7"
    assert third.startswith("  what to do: `onhand webhooks check`")
    assert any(line.startswith("ready") for line in rest)
    assert all(line.strip() != "-" for line in rest)


async def test_channels_say_what_webhooks_tell(house: House, onhand: Onhand) -> None:
    house.channels["shop"].captures = {"order.updated": (Capture(9, 1), Capture(9, 1))}
    house.channels["site"].blind_since_us = 1_750_000_000_000_000
    shown = (await onhand("channels")).out
    assert "90.0 % this hour" in shown
    assert "SILENT since 2025-06-15 15:06:40Z" in shown
    house.channels["shop"].captures = {"order.updated": (Capture(0, 0), Capture(1, 1))}
    assert "50.0 % this day" in (await onhand("channels")).out


async def test_history_and_explain_tell_the_story(house: House, onhand: Onhand) -> None:
    await house.listed("A", 5, "shop")
    await house.counted("A", 5)
    await house.sold("A", 2)
    history = (await onhand("history", "A")).out
    assert "order 1001 line 1: 2 ordered" in history
    assert "webhook (delivery 7)" in history
    explained = (await onhand("explain", "A", "--channel", "shop")).out
    assert "it should show 3: available 3" in explained
    assert "person counted 5 available at" in explained
    assert (await onhand("explain", "A", "--json")).json()["listings"][0]["should_show"] == 3


async def test_where_the_log_begins_later_history_and_status_say_so_and_no_earlier_moment_is_told(
    house: House, onhand: Onhand
) -> None:
    await house.counted("A", 5)
    assert "compacted" not in (await onhand("history", "A")).out
    assert "history since" not in (await onhand("status")).out
    house.store.floor = Floor(1, START_US)
    found = (await onhand("history", "A")).out
    assert "what was before 2025-06-15 15:06:40Z is compacted" in " ".join(found.split())
    assert "compacted" not in (await onhand("history", "A", "--limit", "1")).out, "there are more to ask for"
    assert "history since 2025-06-15 15:06:40Z" in " ".join((await onhand("status")).out.split())
    refused = await onhand("sku", "A", "--at", "2025-06-14")
    assert refused.code == 1
    assert "is not kept any more: ask for a moment since 2025-06-15T15:06:40" in refused.err


async def test_events_are_lines_for_people_and_programs(house: House, onhand: Onhand) -> None:
    await house.counted("A", 5)
    await house.counted("B", 6)
    lines = (await onhand("events")).out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("A - -> 5  person counted 5 available")
    documents = [json.loads(line) for line in (await onhand("events", "--json", "--sku", "B")).out.splitlines()]
    assert [document["after"] for document in documents] == [6]
    assert (await onhand("events", "--after", "2")).out == ""


async def test_following_events_prints_each_as_it_happens_until_the_daemon_stops(
    house: House, onhand: Onhand, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    await house.counted("A", 1)
    codes: list[int] = []

    async def follow() -> None:
        arguments = ["events", "--follow", "--json", "--socket", onhand.socket]
        codes.append(await trio.to_thread.run_sync(main, arguments))

    seen = ""

    def grown(lines: int) -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return seen.count("\n") == lines

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await until(lambda: grown(1))
        await house.counted("A", 2)
        await until(lambda: grown(2))
        assert await onhand.admin.server.close_gracefully(2)
    assert codes == [0]


async def test_a_sku_is_frozen_and_unfrozen(house: House, onhand: Onhand) -> None:
    await house.counted("A", 1)
    assert (await onhand("freeze", "A", "--reason", "recall")).out == "A is frozen\n"
    assert f"frozen by {ME}: recall" in (await onhand("sku", "A")).out
    assert (await onhand("unfreeze", "A")).out == "A is not frozen any more\n"
    assert (await onhand("unfreeze", "A")).out == "nothing changed: the SKU is not frozen\n"


async def test_push_and_pull_name_the_listings_asked(house: House, onhand: Onhand) -> None:
    await house.listed("A", 5)
    assert (await onhand("push", "A")).out.endswith("shop L-A, site L-A\n")
    assert (await onhand("pull", "A")).code == 0


async def test_reconcile_fails_where_a_channel_fails_and_still_asks_the_others(house: House, onhand: Onhand) -> None:
    assert (await onhand("reconcile", "--channel", "shop")).out == "shop: 2 listings, 1 newly linked, 0 differ\n"
    house.channels["shop"].report = ReconcileReport("shop", 0, 0, 0, "401 Unauthorized")
    failed = await onhand("reconcile")
    assert failed.code == 1
    assert "401 Unauthorized" in failed.out
    assert "site: 2 listings" in failed.out
    assert (await onhand("channels", "reconcile", "site")).code == 0
    assert (await onhand("reconcile", "--channel", "nowhere")).code == 1


async def test_drift_says_what_was_shown_why_and_what_was_done(house: House, onhand: Onhand) -> None:
    assert (await onhand("drift", "--channel", "shop")).out == "shop (correct): no drift found\n"
    await house.listed("A", 3)
    await house.counted("A", 7)
    house.drifts.add(
        house.clock(), channel="shop", listing="L-A", sku="A", shown=3, expected=7, first_us=1, first_shown=3,
        done="corrected",
        causes=(Named("double application", 0.72, "the 4 of order 1001 are gone twice", "1001"),
                Named("foreign edit", 0.45, "no order makes 3 of 7")),
    )  # fmt: skip
    await house.store.flush()
    said = (await onhand("drift")).out
    assert "A at shop (L-A): showed 3, should show 7" in said
    assert "1. double application (0.72): the 4 of order 1001 are gone twice" in said
    assert "2. foreign edit" in said
    assert "done: our level was pushed over it" in said
    assert "shop (correct): 1 double application" in said
    assert (await onhand("drift", "--channel", "site", "--json")).json()["drifts"] == []
    assert (await onhand("drift", "--json")).json()["drifts"][0]["causes"][0]["order"] == "1001"
    assert "likely a double application" in (await onhand("explain", "A")).out
    assert (await onhand("drift", "--channel", "nowhere")).code == 1


async def test_a_person_decides_of_a_channel_that_is_held(house: House, onhand: Onhand) -> None:
    refused = await onhand("drift", "accept", "shop")
    assert (refused.code, "nothing waits for a decision" in refused.err) == (1, True)
    house.channels["shop"].held = MassHold("zero", 1, 12, 60)
    said = (await onhand("drift")).out
    assert "12 of 60 listings read 0 at once where there should be more; nothing of it is taken" in said
    assert "`onhand drift accept shop`" in said
    assert (await onhand("drift", "accept", "shop")).out.startswith("shop, accepted: ")
    assert (await onhand("drift", "refuse", "shop")).out.startswith("shop, refused: ")


async def test_dead_letters_are_listed_shown_retried_and_discarded(house: House, onhand: Onhand) -> None:
    assert (await onhand("dead-letters")).out == "there are no dead letters\n"
    for kind, channel in (("puzzle", "shop"), ("poison", "shop"), ("push", "site"), ("late", "site")):
        house.dead_letters.add(kind, 1, channel=channel, sku="", cause="why", subject="what", content=b"{}")  # type: ignore[arg-type]  # four of the kinds
    await house.store.flush()
    assert len((await onhand("dead-letters", "--json")).json()["dead_letters"]) == 4
    of_site = (await onhand("dead-letters", "list", "--channel", "site", "--json")).json()
    assert [each["id"] for each in of_site["dead_letters"]] == [3, 4]
    assert (await onhand("dead-letters", "--channel", "site", "list", "--json")).json() == of_site
    assert "what to do" in (await onhand("dead-letters")).out
    assert "next action" in (await onhand("dead-letters", "show", "1")).out
    assert (await onhand("dead-letters", "show", "9")).code == 1
    dry = await onhand("dead-letters", "retry", "--all", "--channel", "shop", "--dry-run", "--json")
    assert [each["id"] for each in dry.json()["dead_letters"]] == [1, 2]
    assert house.dead_letters.count == 4
    retried = await onhand("dead-letters", "retry", "--all", "--channel", "shop")
    assert retried.code == 1
    assert "1: applied" in retried.out
    assert "2: the letter crashes its actor again" in retried.out
    assert (await onhand("dead-letters", "discard", "3")).out.startswith("3: discarded")
    assert (await onhand("dead-letters", "discard", "3")).code == 1
    assert (await onhand("dead-letters", "retry", "4")).code == 0
    for arguments in (["retry"], ["retry", "--all", "2"], ["discard"]):
        wrong = await onhand("dead-letters", *arguments)
        assert wrong.code == 2
        assert "name the letters by their ids, or say --all" in wrong.err


async def test_a_dead_listing_is_seen_and_pushed_again(house: House, onhand: Onhand) -> None:
    await stopped_by_a_letter(house)
    assert "dead" in (await onhand("sku", "A")).out
    assert (await onhand("push", "A")).code == 0
    assert (await onhand("dead-letters")).out == "there are no dead letters\n"


async def test_webhooks_are_listed_checked_and_registered(house: House, onhand: Onhand) -> None:
    house.channels["site"].topics = ()
    assert (await onhand("webhooks")).code == 0
    checked = await onhand("webhooks", "check")
    assert checked.code == 1
    assert "missing" in checked.out
    nothing = await onhand("webhooks", "check", "--channel", "site")
    assert nothing.code == 0
    assert nothing.out == "site: nothing to subscribe from here; its webhooks are set up at the channel\n"
    house.channels["shop"].subscriptions = [Webhook("orders", "https://x", "active", "1")]
    assert (await onhand("webhooks", "check")).code == 0
    house.channels["shop"].registered = ["orders subscribed"]
    registered = await onhand("webhooks", "register")
    assert registered.out == "shop: orders subscribed\nsite: nothing to do\n"
    house.channels["shop"].subscriptions = "the token is not valid"
    listed = await onhand("webhooks", "list")
    assert (listed.code, "the token is not valid" in listed.out) == (1, True)


async def test_a_rebuild_that_finds_a_difference_fails(house: House, onhand: Onhand) -> None:
    assert (await onhand("rebuild", "--verify")).out == "5 events folded, 1 SKUs compared, all equal\n"
    house.maintenance.report = RebuildReport(5, 2, ("A",), 0, repaired=False)
    assert (await onhand("rebuild", "--verify")).code == 1
    repaired = await onhand("rebuild")
    assert (repaired.code, "(repaired): A" in repaired.out) == (0, True)
    house.maintenance.report = RebuildReport(5, 2, (), 3, repaired=False)
    assert (await onhand("rebuild")).code == 1


async def test_a_backup_is_restored_into_an_empty_directory(house: House, onhand: Onhand, tmp_path: Path) -> None:
    await house.counted("A", 5)
    copy, new = tmp_path / "copy", tmp_path / "new"
    assert (await onhand("backup", str(copy))).code == 0
    assert (copy / "data.mdb").stat().st_mode & 0o777 == 0o600, "whoever may enter the folder must not read it"
    again = await onhand("backup", str(copy))
    assert (again.code, again.err) == (1, f"{copy} is not empty: name an empty directory for the backup\n")
    code = await trio.to_thread.run_sync(main, ["restore", str(copy), "--state-dir", str(new)])
    assert code == 0
    said = " ".join(onhand.capsys.readouterr().out.split())
    assert f"set state_dir to {new} in the configuration" in said
    assert (new / "initialised").read_text() == "test"
    assert (new / "data.mdb").stat().st_mode & 0o777 == 0o600


async def test_what_channels_write_cannot_steer_the_terminal(house: House, onhand: Onhand) -> None:
    house.dead_letters.add(
        "puzzle", 1, channel="shop", sku="", cause="\x1b[2J\u202eevil", subject="a\nb", content=b"\x1b[0m"
    )
    await house.store.flush()
    for arguments in (["dead-letters"], ["dead-letters", "show", "1"]):
        shown = (await onhand(*arguments)).out
        assert "\x1b" not in shown
        assert "\u202e" not in shown
