"""What a person may change over the admin socket; every answer comes after the change is durable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio

from daemon.actors.actor import Part
from daemon.admin.inside import RebuildReport, ReconcileReport
from daemon.domain.channel import Webhook
from daemon.domain.sku import Failed
from daemon.storage.codec import Cause
from tests.harness import AdminSocket, House, housed, until

ME = f"uid {os.getuid()}"
"""Who asks over the socket, as the kernel tells."""


async def test_a_count_of_a_new_sku_creates_it_and_is_durable(house: House, admin: AdminSocket) -> None:
    answer = await admin.post("/v1/counts", {"sku": "A/B C", "quantity": 9, "reference": "R1", "reason": "yearly"})
    document = answer.json()
    assert answer.status == 200
    assert (document["before"], document["after"], document["available"]) == (None, 9, 9)
    assert (document["verdict"], document["kind"]) == ("applied", "on_hand")
    record = house.store.record(document["seq"])
    assert record is not None
    assert record.cause.by == ME
    history = (await admin.get(f"/v1/skus/{quote('A/B C', safe='')}/history")).json()["history"]
    assert history[0]["note"] == "person counted 9 on hand (R1 (yearly))"
    assert admin.witnessed == [(ME, "/v1/counts", "")]


async def test_an_on_hand_count_holds_what_is_sold_but_still_there(house: House, admin: AdminSocket) -> None:
    await house.sold("A", 2)
    on_hand = (await admin.post("/v1/counts", {"sku": "A", "quantity": 9})).json()
    assert (on_hand["available"], on_hand["on_hand"], on_hand["held"]) == (7, 9, 2)
    available = (await admin.post("/v1/counts", {"sku": "A", "quantity": 9, "kind": "available"})).json()
    assert (available["available"], available["on_hand"]) == (9, 11)


async def test_a_whole_number_may_be_written_with_a_point(house: House, admin: AdminSocket) -> None:
    answer = await admin.ask("POST", "/v1/counts", b'{"sku": "A", "quantity": 4.0}')
    assert (answer.status, answer.json()["counted"]) == (200, 4)
    for quantity in (b"4.5", b"-4.0", b"1e300", b"[4.0]", b"true"):
        refused = await admin.ask("POST", "/v1/counts", b'{"sku": "A", "quantity": ' + quantity + b"}")
        assert (refused.status, refused.code) == (400, "bad_body"), quantity


async def test_an_adjustment_without_reference_gets_one(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    first = (await admin.post("/v1/adjustments", {"sku": "A", "quantity": -2, "reason": "broken"})).json()
    second = (await admin.post("/v1/adjustments", {"sku": "A", "quantity": -2})).json()
    assert (first["reference"], second["reference"]) == ("id-1", "id-2")
    assert (first["before"], first["after"], second["after"]) == (5, 3, 1)


async def test_a_repeated_reference_changes_nothing_and_says_so(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    body = {"sku": "A", "quantity": 3, "reference": "PO-1"}
    await admin.post("/v1/adjustments", body)
    again = (await admin.post("/v1/adjustments", body)).json()
    assert (again["verdict"], again["available"], again["adjusted"]) == ("known", 8, 0)
    assert "nothing changed" in again["note"]
    other = await admin.post("/v1/adjustments", body | {"quantity": 4})
    assert (other.status, other.code) == (409, "reference_used")


async def test_a_reference_is_remembered_after_a_newer_count_and_many_events(
    house: House, admin: AdminSocket
) -> None:
    body = {"sku": "A", "quantity": 3, "reference": "PO-1"}
    await admin.post("/v1/adjustments", body)
    await house.tell(*[Counted("A", quantity, house) for quantity in range(300)])
    again = (await admin.post("/v1/adjustments", body)).json()
    assert (again["verdict"], again["available"]) == ("known", 299)


def Counted(sku: str, quantity: int, house: House) -> Any:  # noqa: N802 - reads like the fact it makes
    from daemon.domain.observations import StockCount

    return StockCount("person", sku, quantity, at=house.now())


async def test_an_older_count_than_the_one_in_force_is_refused(house: House, admin: AdminSocket) -> None:
    house.clock.us += 1_000_000_000
    await house.counted("A", 5)
    house.clock.us -= 1_000_000_000
    answer = await admin.post("/v1/counts", {"sku": "A", "quantity": 9})
    assert (answer.status, answer.code) == (409, "superseded")
    assert (await admin.get("/v1/skus/A")).json()["available"] == 5


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/counts", {"sku": "A"}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": -1}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": 1.5}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": "5"}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": None}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": 10**10}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": 1, "kind": "total"}, "bad_body"),
        ("/v1/counts", {"sku": "A", "quantity": 1, "colour": "red"}, "bad_body"),
        ("/v1/counts", {"sku": 5, "quantity": 1}, "bad_body"),
        ("/v1/counts", {"sku": "", "quantity": 1}, "bad_sku"),
        ("/v1/counts", {"sku": "a\nb", "quantity": 1}, "bad_sku"),
        ("/v1/counts", {"sku": "x" * 201, "quantity": 1}, "bad_sku"),
        ("/v1/counts", [], "bad_body"),
        ("/v1/adjustments", {"sku": "A", "quantity": 0}, "bad_body"),
        ("/v1/adjustments", {"sku": "A", "quantity": 1, "reference": "x" * 201}, "bad_body"),
        ("/v1/backup", {"directory": "relative"}, "bad_body"),
        ("/v1/backup", {}, "bad_body"),
        ("/v1/rebuild", {"verify": "yes"}, "bad_body"),
        ("/v1/skus/A/push", {"force": True}, "bad_body"),
    ],
)
async def test_a_body_that_is_not_as_expected_is_refused(
    path: str, body: object, code: str, house: House, admin: AdminSocket
) -> None:  # fmt: skip
    answer = await admin.post(path, body)
    assert (answer.status, answer.code) == (400, code)
    assert house.store.head.seq == 0
    assert admin.witnessed == [(ME, path, code)]


@pytest.mark.parametrize("body", [b"{", b"\xff", b'"\xff"', b"[" * 5_000, b'{"sku": "\\ud800", "quantity": 1}'])
async def test_a_body_that_is_no_json_is_refused(body: bytes, admin: AdminSocket) -> None:
    answer = await admin.ask("POST", "/v1/counts", body)
    assert answer.status == 400
    assert admin.errors == []


async def test_a_body_that_is_too_large_is_refused(admin: AdminSocket) -> None:
    answer = await admin.ask("POST", "/v1/counts", b"x" * (64 * 1024 + 1))
    assert (answer.status, answer.code) == (413, "too_large")


async def test_what_the_store_cannot_take_now_is_503_and_nothing_is_written(
    house: House, admin: AdminSocket
) -> None:  # fmt: skip
    house.store.trouble = "the disk is full"
    answer = await admin.post("/v1/counts", {"sku": "A", "quantity": 1})
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "overloaded", "5")
    assert "the disk is full" in answer.json()["error"]["message"]
    assert house.store.head.seq == 0


async def test_a_quarantined_sku_takes_no_facts_and_says_why(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 1)
    house.registry.quarantined["A"] = "quarantined after 3 crashes"
    answer = await admin.post("/v1/counts", {"sku": "A", "quantity": 1})
    assert (answer.status, answer.code) == (409, "quarantined")
    assert (await admin.get("/v1/skus/A")).json()["quarantined"] == "quarantined after 3 crashes"
    assert (await admin.post("/v1/skus/A/freeze", {"reason": "wait"})).json()["verdict"] == "frozen"
    assert (await admin.post("/v1/skus/A/unfreeze")).json()["verdict"] == "thawed"
    assert house.dead_letters.count == 0


# --- freezing ------------------------------------------------------------------------------------------------


async def test_a_frozen_sku_keeps_its_wish_until_it_is_unfrozen(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 5, "shop")
    await house.counted("A", 5)
    frozen = await admin.post("/v1/skus/A/freeze", {"reason": "recall"})
    assert frozen.json()["verdict"] == "frozen"
    await house.counted("A", 2)
    document = (await admin.get("/v1/skus/A")).json()
    assert document["frozen"] == {"by": ME, "reason": "recall"}
    assert (document["listings"][0]["state"], document["listings"][0]["desired"]) == ("held", 5)
    said = (await admin.get("/v1/skus/A/explain")).json()["listings"][0]["why"]
    assert "it keeps 5 because the SKU is frozen; else it would be 2: available 2" in said
    assert (await admin.post("/v1/skus/A/unfreeze")).json()["verdict"] == "thawed"
    assert (await admin.get("/v1/skus/A")).json()["listings"][0]["desired"] == 2
    kinds = [each["kind"] for each in (await admin.get("/v1/skus/A/history")).json()["history"]]
    assert kinds[:3] == ["unfreeze", "count", "freeze"]


async def test_unfreezing_what_is_not_frozen_changes_nothing(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    answer = (await admin.post("/v1/skus/A/unfreeze")).json()
    assert (answer["verdict"], answer["seq"]) == ("known", None)
    assert (await admin.post("/v1/skus/B/freeze")).status == 404


# --- push and pull -------------------------------------------------------------------------------------------


async def stopped_by_a_letter(house: House) -> int:
    """Listing L-A of shop, dead; returns the letter's id."""
    await house.listed("A", 5)
    await house.counted("A", 2)
    sent = house.outbox.claim(house.slot("A"))
    letter = house.dead_letters.add(
        "push", house.clock(), channel="shop", sku="A", cause="gone", subject="L-A", content=b"", delivery=0
    )
    failed = Failed("shop", "L-A", sent.generation, "gone", retry_us=0, dead_letter=letter.letter)
    await house.registry.deliver([Part("A", failed, Cause("push", "shop"))])
    return letter.letter


async def test_a_push_reads_every_listing_and_starts_dead_ones_again(house: House, admin: AdminSocket) -> None:
    letter = await stopped_by_a_letter(house)
    answer = (await admin.post("/v1/skus/A/push")).json()
    assert answer["asked"] == [{"channel": "shop", "listing": "L-A"}, {"channel": "site", "listing": "L-A"}]
    slot = house.slot("A")
    assert slot.recheck_us > 0
    assert slot.dead_letter == 0
    assert house.dead_letters.get(letter) is None
    assert house.dead_letters.count == 0


async def test_a_pull_leaves_dead_listings_stopped(house: House, admin: AdminSocket) -> None:
    letter = await stopped_by_a_letter(house)
    answer = (await admin.post("/v1/skus/A/pull")).json()
    assert answer["asked"] == [{"channel": "site", "listing": "L-A"}]
    assert house.slot("A").dead_letter == letter
    assert house.slot("A", "site").recheck_us > 0


async def test_what_no_channel_lists_cannot_be_pushed(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    assert (await admin.post("/v1/skus/A/push")).code == "not_listed"
    assert (await admin.post("/v1/skus/B/pull")).status == 404


# --- channels ------------------------------------------------------------------------------------------------


async def test_a_channel_is_paused_and_resumed(house: House, admin: AdminSocket) -> None:
    assert (await admin.post("/v1/channels/shop/pause")).json()["state"] == "paused"
    assert [each["state"] for each in (await admin.get("/v1/channels")).json()["channels"]] == ["paused", "live"]
    assert (await admin.post("/v1/channels/shop/resume")).json()["state"] == "live"
    assert (await admin.post("/v1/channels/shop/explode")).status == 404
    assert (await admin.post("/v1/channels/nowhere/pause")).code == "unknown_channel"


async def test_reconciling_reports_what_was_found_or_why_it_failed(house: House, admin: AdminSocket) -> None:
    done = (await admin.post("/v1/channels/shop/reconcile")).json()
    assert done == {"channel": "shop", "listings": 2, "linked": 1, "mismatched": 0, "error": None}
    house.channels["shop"].report = ReconcileReport("shop", 0, 0, 0, "401 Unauthorized")
    failed = await admin.post("/v1/channels/shop/reconcile")
    assert (failed.status, failed.code) == (502, "channel_failed")
    assert "401 Unauthorized" in failed.json()["error"]["message"]


async def test_one_channel_is_reconciled_once_at_a_time(house: House, admin: AdminSocket) -> None:
    house.channels["shop"].hold = trio.Event()
    answers = []

    async def ask() -> None:
        answers.append(await admin.post("/v1/channels/shop/reconcile"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await until(lambda: admin.server.statistics().in_flight == 1)
        assert (await admin.post("/v1/channels/shop/reconcile")).code == "busy"
        assert (await admin.post("/v1/channels/site/reconcile")).status == 200
        house.channels["shop"].hold.set()
    assert answers[0].status == 200


async def test_webhooks_show_what_is_missing(house: House, admin: AdminSocket) -> None:
    shop = house.channels["shop"]
    shop.topics = ("orders", "levels", "refunds")
    shop.subscriptions = [
        Webhook("orders", "https://x/webhooks/shop", "active", "1"),
        Webhook("levels", "https://x/webhooks/shop", "disabled", "2"),
    ]
    document = (await admin.get("/v1/channels/shop/webhooks")).json()
    assert document["missing"] == ["levels", "refunds"]
    assert document["webhooks"][0] == {
        "topic": "orders", "url": "https://x/webhooks/shop", "state": "active", "id": "1",
    }  # fmt: skip
    shop.registered = ["levels switched on", "refunds subscribed"]
    assert (await admin.post("/v1/channels/shop/webhooks/register")).json()["done"] == shop.registered
    shop.subscriptions = shop.registered = "the token is not valid"
    assert (await admin.get("/v1/channels/shop/webhooks")).code == "channel_failed"
    assert (await admin.post("/v1/channels/shop/webhooks/register")).status == 502
    shop.hindrance = "set public_url in the configuration"
    refused = await admin.post("/v1/channels/shop/webhooks/register")
    assert (refused.status, refused.code) == (409, "refused")


# --- dead letters --------------------------------------------------------------------------------------------


async def test_dead_letters_are_retried_and_discarded(house: House, admin: AdminSocket) -> None:
    for kind in ("puzzle", "poison", "push"):
        house.dead_letters.add(kind, 1, channel="shop", sku="", cause="c", subject="s", content=b"")  # type: ignore[arg-type]  # three of the kinds
    await house.store.flush()
    retried = (await admin.post("/v1/dead-letters/1/retry")).json()
    assert retried == {"id": 1, "result": "applied: nothing was left to do", "still_there": False}
    refused = await admin.post("/v1/dead-letters/2/retry")
    assert (refused.status, refused.code) == (409, "refused")
    assert refused.json()["error"]["message"] == "the letter crashes its actor again"
    discarded = (await admin.post("/v1/dead-letters/3/discard")).json()
    assert "until its stock changes" in discarded["result"]
    assert admin.forgotten == [("shop", "s")]
    assert [each["id"] for each in (await admin.get("/v1/dead-letters")).json()["dead_letters"]] == [2]
    assert house.dead_letters.count == 1
    assert (await admin.post("/v1/dead-letters/3/discard")).code == "unknown_letter"


# --- the whole store -----------------------------------------------------------------------------------------


async def test_a_backup_is_written_while_running_and_can_be_opened(
    house: House, admin: AdminSocket, tmp_path: Path
) -> None:  # fmt: skip
    await house.counted("A", 5)
    target = tmp_path / "copy"
    answer = (await admin.post("/v1/backup", {"directory": str(target)})).json()
    assert answer["bytes"] == os.stat(target / "data.mdb").st_size
    again = await admin.post("/v1/backup", {"directory": str(target)})
    assert (again.status, again.code) == (409, "refused")
    assert "not empty" in again.json()["error"]["message"]


async def test_a_rebuild_says_whether_all_is_well(house: House, admin: AdminSocket) -> None:
    assert (await admin.post("/v1/rebuild", {"verify": True})).json()["ok"] is True
    house.maintenance.report = RebuildReport(5, 2, ("A",), 0, repaired=False)
    found = (await admin.post("/v1/rebuild", {"verify": True})).json()
    assert (found["ok"], found["different"], found["repaired"]) == (False, ["A"], False)
    assert (await admin.post("/v1/rebuild")).json()["ok"] is True


async def test_what_was_answered_is_there_after_a_restart(tmp_path: Path, nursery: trio.Nursery) -> None:
    from tests.harness import admin_socket

    async with housed(tmp_path / "x") as house, admin_socket(house, tmp_path / "s") as admin:
        await admin.post("/v1/counts", {"sku": "A", "quantity": 9})
        await admin.post("/v1/skus/A/freeze", {"reason": "recall"})
    async with housed(tmp_path / "x") as house, admin_socket(house, tmp_path / "s") as admin:
        house.registry.replay()
        document = (await admin.get("/v1/skus/A")).json()
        assert (document["available"], document["frozen"]["reason"]) == (9, "recall")
