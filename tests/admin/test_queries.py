"""What the admin socket shows, over a real Unix socket and a real store."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from daemon.domain.gaps import Capture
from daemon.domain.instants import Instant, Span
from daemon.domain.observations import OrderLine
from daemon.domain.policy import Policy
from daemon.domain.sku import Failed
from daemon.storage.codec import pack
from tests.harness import AdminSocket, House, until

ODD_SKUS = ["A/B C", "ÄÖ", "0123", "NO", "12:30", "history", "a%2Fb", "?x=1#y", "+1", "🎈", "..", "日本/語"]


async def test_a_sku_has_the_shape_of_the_contract(house: House, admin: AdminSocket) -> None:
    await house.listed("TEE", 3, "shop")
    await house.counted("TEE", 9)
    await house.sold("TEE", 2)
    answer = await admin.get("/v1/skus/TEE")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert {name: document[name] for name in ("sku", "available", "on_hand", "held", "debt")} == {
        "sku": "TEE", "available": 7, "on_hand": 9, "held": 2, "debt": 0,
    }  # fmt: skip
    assert list(document["versions"]) == ["shop"]
    assert isinstance(document["versions"]["shop"], str)
    (listing,) = document["listings"]
    wanted = {"channel", "listing", "desired", "belief", "generation", "state", "last_push_at", "last_error"}
    assert wanted <= set(listing)
    assert (listing["desired"], listing["belief"], listing["state"]) == (7, 1, "pending")
    assert listing["last_push_at"] is None
    assert listing["last_error"] is None


@pytest.mark.parametrize("sku", ODD_SKUS)
async def test_any_sku_works_percent_encoded(sku: str, house: House, admin: AdminSocket) -> None:
    await house.counted(sku, 4)
    path = f"/v1/skus/{quote(sku, safe='')}"
    assert (await admin.get(path)).json()["sku"] == sku
    assert (await admin.get(f"{path}/history")).json()["sku"] == sku
    assert (await admin.get(f"{path}/explain")).json()["available"] == 4
    lines = (await admin.get(f"/v1/events?sku={quote(sku, safe='')}")).body.splitlines()
    assert len(lines) == 1
    listed = (await admin.get(f"/v1/skus?prefix={quote(sku, safe='')}")).json()
    assert [row["sku"] for row in listed["skus"]] == [sku]


async def test_an_unknown_sku_is_404_with_a_hint(admin: AdminSocket) -> None:
    for path in ("/v1/skus/NOPE", "/v1/skus/NOPE/history", "/v1/skus/NOPE/explain"):
        answer = await admin.get(path)
        assert (answer.status, answer.code) == (404, "unknown_sku")
        assert set(answer.json()["error"]) == {"code", "message", "hint"}
        assert "onhand count" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/", 404, "unknown_path"),
        ("/v1", 404, "unknown_path"),
        ("/v1/status/", 404, "unknown_path"),
        ("/v1/skus/A/B", 404, "unknown_path"),
        ("/v1/counts", 405, "wrong_method"),
        ("/v1/skus/", 400, "bad_sku"),
        ("/v1/skus/%FF", 400, "bad_path"),
        ("/v1/skus/%00", 400, "bad_sku"),
        ("/v1/skus/" + "x" * 201, 400, "bad_sku"),
        ("/v1/skus/" + "x" * 600, 400, "bad_sku"),
        ("/v1/skus?limit=0", 400, "bad_query"),
        ("/v1/skus?limit=many", 400, "bad_query"),
        ("/v1/skus?limit=99999999999999999999999", 400, "bad_query"),
        ("/v1/skus?what=1", 400, "bad_query"),
        ("/v1/skus?limit=1&limit=2", 400, "bad_query"),
        ("/v1/skus?prefix=%FF", 400, "bad_query"),
        ("/v1/skus/A?at=2026-01-01T00:00:00Z", 400, "bad_moment"),  # still to come
        ("/v1/skus/A?at=yesterday", 400, "bad_moment"),
        ("/v1/skus/A/explain?at=2025-02-30", 400, "bad_moment"),
        ("/v1/skus/nothing?at=2025-01-01", 404, "unknown_sku"),
        ("/v1/skus/A/history?before=0", 400, "bad_query"),
        ("/v1/events?follow=yes", 400, "bad_query"),
        ("/v1/events?after=-1", 400, "bad_query"),
        ("/v1/skus/A/explain?channel=nowhere", 404, "unknown_channel"),
        ("/v1/channels/nowhere/webhooks", 404, "unknown_channel"),
        ("/v1/dead-letters/77", 404, "unknown_letter"),
        ("/v1/dead-letters/x", 404, "unknown_letter"),
        ("/v1/status?" + "&".join(f"a{n}=1" for n in range(40)), 400, "bad_query"),
    ],
)
async def test_a_wrong_request_says_what_is_wrong_with_it(
    path: str, status: int, code: str, admin: AdminSocket
) -> None:  # fmt: skip
    answer = await admin.get(path)
    assert (answer.status, answer.code) == (status, code)
    assert admin.errors == []


async def test_a_wrong_method_names_the_right_one(admin: AdminSocket) -> None:
    answer = await admin.ask("DELETE", "/v1/status")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (await admin.ask("HEAD", "/v1/status")).status == 200


async def test_a_query_takes_no_body(admin: AdminSocket) -> None:
    answer = await admin.ask("GET", "/v1/status", b"x" * 10)
    assert (answer.status, answer.code) == (413, "too_large")


async def test_status_counts_what_happened(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 1)
    await house.counted("A", 5)
    status = (await admin.get("/v1/status")).json()
    assert status["ready"] is True
    assert status["not_ready"] is None
    assert status["since"] == "2025-06-15T15:06:40.000000Z"
    assert (status["acked"], status["duplicates"], status["rejected"]) == (3, 1, 0)
    assert status["events"] == 3
    assert status["actors"] == 1
    assert status["outbox"] == {"pending": 2, "in_flight": 0, "dead": 0}
    assert set(status["channels"]) == {"shop", "site"}
    shop = status["channels"]["shop"]
    assert (shop["state"], shop["breaker"]) == ("live", "closed")
    assert set(shop["push_lag_ms"]) >= {"p50", "p99"}
    assert set(shop["webhook_lag_ms"]) >= {"p50", "p99"}
    assert status["storage"]["map_bytes"] >= status["storage"]["used_bytes"] > 0


async def test_status_says_why_the_daemon_is_not_ready(house: House, admin: AdminSocket) -> None:
    house.unready = "shop was not polled yet"
    status = (await admin.get("/v1/status")).json()
    assert (status["ready"], status["not_ready"]) == (False, "shop was not polled yet")


async def test_status_names_the_open_alarms_with_what_to_do(house: House, admin: AdminSocket) -> None:
    assert (await admin.get("/v1/status")).json()["alarms"] == []
    for _ in range(2):
        house.alarms.raised("webhooks_silent", "shop", "no webhook told of order 7")
    (alarm,) = (await admin.get("/v1/status")).json()["alarms"]
    said = {name: alarm[name] for name in ("condition", "channel", "subject", "text", "count")}
    assert said == {
        "condition": "webhooks_silent", "channel": "shop", "subject": None, "text": "no webhook told of order 7",
        "count": 2,
    }  # fmt: skip
    assert alarm["since"] <= alarm["last"]
    assert "onhand webhooks" in alarm["what_to_do"]


async def test_a_channel_shows_how_much_its_webhooks_tell_and_since_when_they_are_silent(
    house: House, admin: AdminSocket
) -> None:
    house.channels["shop"].captures = {"order.updated": (Capture(0, 0), Capture(3, 1))}
    house.channels["site"].blind_since_us = house.clock.us
    shop, site = (await admin.get("/v1/channels")).json()["channels"]
    assert shop["webhook_capture"] == [
        {
            "topic": "order.updated",
            "hour": {"told": 0, "missed": 0, "ratio": None},
            "day": {"told": 3, "missed": 1, "ratio": 0.75},
        }
    ]
    assert shop["webhooks_silent_since"] is None
    assert site["webhooks_silent_since"].startswith("2025-")


async def test_history_holds_cause_and_old_and_new_value(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 1, "shop")
    await house.counted("A", 5)
    await house.sold("A", 2)
    newest, counted, linked = (await admin.get("/v1/skus/A/history")).json()["history"]
    assert newest["kind"] == "order"
    assert newest["channel"] == "shop"
    assert newest["cause"] == {"delivery": 7, "order": "1001", "line": "1", "by": "webhook"}
    assert (newest["before"], newest["after"]) == (5, 3)
    assert newest["note"] == "order 1001 line 1: 2 ordered"
    assert newest["at"].endswith("Z")
    assert (counted["kind"], counted["before"], counted["after"]) == ("count", None, 5)
    assert counted["cause"] == {"delivery": None, "order": None, "line": None, "by": "poll"}
    assert (linked["kind"], linked["listing"], linked["level"]) == ("link", "L-A", 1)
    assert [each["seq"] for each in (newest, counted, linked)] == [3, 2, 1]


async def test_a_channel_that_lies_is_shown_by_status_and_explain(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 5, "shop")
    await house.counted("A", 5)
    house.channels["shop"].trust = "downgraded"
    assert (await admin.get("/v1/status")).json()["channels"]["shop"]["acknowledgements"] == "downgraded"
    (listing,) = (await admin.get("/v1/skus/A/explain")).json()["listings"]
    assert "its acknowledgements are read back since 2025-06-15T15:06:40.000000Z" in listing["why"][-1]
    house.channels["shop"].trust = "doubted"
    (listing,) = (await admin.get("/v1/skus/A/explain")).json()["listings"]
    assert "many of its pushes are read back" in listing["why"][-1]
    house.channels["shop"].trust = "trusted"
    (listing,) = (await admin.get("/v1/skus/A/explain")).json()["listings"]
    assert "read back" not in listing["why"][-1]


async def test_history_flags_what_may_lie_on_either_side_of_a_count(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    counted_us = house.clock.us
    line = OrderLine(
        "shop", "1001", "1", "A", 2, version=1, at=Instant(Span(counted_us - 500_000, counted_us + 500_000))
    )
    await house.tell(line, by="webhook", delivery=7)
    await house.sold("A", 1, order="1002")
    after, either, _ = (await admin.get("/v1/skus/A/history")).json()["history"]
    assert either["ambiguous"] is True
    assert either["after"] == 3
    assert either["note"].endswith("nobody can say on which side of a count it falls, so the lower number holds")
    assert "ambiguous" not in after


async def test_history_is_read_page_by_page_also_behind_a_checkpoint(house: House, admin: AdminSocket) -> None:
    for quantity in range(5):
        await house.counted("A", quantity)
        await house.counted("B", quantity)
    await house.store.checkpoint()
    house.registry.checkpointed()
    await house.counted("A", 99)
    seen, before = [], ""
    while True:
        page = (await admin.get(f"/v1/skus/A/history?limit=2{before}")).json()
        seen += [each["after"] for each in page["history"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == [99, 4, 3, 2, 1, 0]


async def test_skus_are_listed_in_order_page_by_page(house: House, admin: AdminSocket) -> None:
    for sku in ("b", "a", "ä", "B", "a/1", "c"):
        await house.counted(sku, 1)
    await house.store.checkpoint()
    house.registry.checkpointed()
    await house.counted("aa", 1)
    seen, cursor = [], ""
    while True:
        page = (await admin.get(f"/v1/skus?limit=3{cursor}")).json()
        seen += [row["sku"] for row in page["skus"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={quote(page['next'], safe='')}"
    assert seen == ["B", "a", "a/1", "aa", "b", "c", "ä"]
    row = (await admin.get("/v1/skus?prefix=aa")).json()["skus"][0]
    assert row == {"sku": "aa", "available": 1, "on_hand": 1, "held": 0, "debt": 0, "listings": 0, "state": None}


# --- the state of a listing ----------------------------------------------------------------------------------


async def state_of(admin: AdminSocket, sku: str = "A") -> str:
    return str((await admin.get(f"/v1/skus/{sku}")).json()["listings"][0]["state"])


async def test_a_listing_that_shows_what_it_should_is_settled(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 5, "shop")
    await house.counted("A", 5)
    assert await state_of(admin) == "settled"


async def test_a_push_under_way_is_in_flight_and_a_failed_one_is_dead(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 5, "shop")
    await house.counted("A", 2)
    sent = house.outbox.claim(house.slot("A"))
    await house.store.flush()
    assert await state_of(admin) == "in_flight"
    assert (await admin.get("/v1/status")).json()["outbox"]["in_flight"] == 1
    await fail(house, sent.generation, letter=4)
    assert await state_of(admin) == "dead"
    listing = (await admin.get("/v1/skus/A")).json()["listings"][0]
    assert listing["last_error"] == "no such listing"
    assert listing["dead_letter"] == 4


async def fail(house: House, generation: int, letter: int) -> None:
    from daemon.actors.actor import Part
    from daemon.storage.codec import Cause

    failed = Failed("shop", "L-A", generation, "no such listing", retry_us=0, dead_letter=letter)
    await house.registry.deliver([Part("A", failed, Cause("push", "shop"))])


async def test_a_listing_of_a_paused_channel_is_paused_unless_it_is_settled(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 5, "shop")
    await house.counted("A", 5)
    house.channels["shop"].paused = True
    assert await state_of(admin) == "settled"
    await house.counted("A", 2)
    assert await state_of(admin) == "paused"


async def test_a_raise_over_orders_not_yet_seen_is_held(house: House, admin: AdminSocket) -> None:
    house.channels["shop"].watermark_us = 1
    await house.listed("A", 5, "shop")
    await house.counted("A", 8)
    assert await state_of(admin) == "held"
    said = (await admin.get("/v1/skus/A/explain")).json()["listings"][0]["why"]
    assert any("held: waiting for" in sentence for sentence in said)
    await house.counted("A", 3)
    assert await state_of(admin) == "pending"


@pytest.mark.parametrize("level", [None, 3])
async def test_a_listing_of_which_too_little_is_known_is_held(
    level: int | None, house: House, admin: AdminSocket
) -> None:  # fmt: skip
    await house.listed("A", level, "shop")
    if level is None:
        await house.counted("A", 3)
    assert await state_of(admin) == "held"


# --- explain -------------------------------------------------------------------------------------------------


async def test_explain_names_count_rules_orders_and_events(house: House, admin: AdminSocket) -> None:
    house.channels["shop"].rules = Policy(buffer=1)
    await house.listed("A", 5)
    await house.counted("A", 4)
    await house.sold("A", 1, channel="site")
    document = (await admin.get("/v1/skus/A/explain?channel=shop")).json()
    assert (document["available"], document["held"]) == (3, 1)
    assert document["anchors"][0]["quantity"] == 4
    assert document["anchors"][0]["source"] == "person"
    assert [(each["order"], each["held"]) for each in document["open_orders"]] == [("1001", 1)]
    (listing,) = document["listings"]
    assert (listing["shows"], listing["should_show"]) == (5, 2)
    assert listing["rules"] == ["available 3", "minus the buffer of 1 = 2"]
    assert listing["why"][1] == "it should show 2: available 3, minus the buffer of 1 = 2"
    assert [each["kind"] for each in listing["events"]] == ["order", "count", "link"]


async def test_explain_tells_of_debt_and_of_what_was_never_counted(house: House, admin: AdminSocket) -> None:
    await house.sold("A", 3)
    said = (await admin.get("/v1/skus/A/explain")).json()["stock"]
    assert any("nobody has counted" in sentence for sentence in said)
    await house.counted("B", 1)
    await house.sold("B", 3, order="2002")
    document = (await admin.get("/v1/skus/B/explain")).json()
    assert document["debt"] == 2
    assert any("2 more were sold than there are" in sentence for sentence in document["stock"])


# --- dead letters --------------------------------------------------------------------------------------------


async def add_letters(house: House) -> None:
    for number, channel in enumerate(["shop", "site", "shop"]):
        house.dead_letters.add(
            "puzzle", house.clock(), channel=channel, sku="", cause="no such topic", subject=f"topic {number}",
            content='{"ä": 1}'.encode() if number else b"\xff\x00", topic="x", delivery=number,
        )  # fmt: skip
    await house.store.flush()


async def test_dead_letters_are_listed_by_channel_and_page(house: House, admin: AdminSocket) -> None:
    await add_letters(house)
    everything = (await admin.get("/v1/dead-letters")).json()
    assert [letter["id"] for letter in everything["dead_letters"]] == [1, 2, 3]
    assert everything["next"] is None
    shop = (await admin.get("/v1/dead-letters?channel=shop&limit=1")).json()
    assert [letter["id"] for letter in shop["dead_letters"]] == [1]
    rest = (await admin.get(f"/v1/dead-letters?channel=shop&after={shop['next']}")).json()
    assert [letter["id"] for letter in rest["dead_letters"]] == [3]
    assert set(rest["dead_letters"][0]) >= {"id", "kind", "at", "channel", "cause", "next_action", "subject"}


async def test_a_dead_letter_shows_what_it_holds(house: House, admin: AdminSocket) -> None:
    await add_letters(house)
    assert (await admin.get("/v1/dead-letters/1")).json()["content"] == {"hex": "ff00", "bytes": 2}
    assert (await admin.get("/v1/dead-letters/2")).json()["content"] == {"text": '{"ä": 1}', "bytes": 9}
    house.registry.quarantined["A"] = "crashed"
    await house.sold("A", 2)
    letter = (await admin.get("/v1/dead-letters/4")).json()
    assert letter["kind"] == "poison"
    assert letter["content"] == {"kind": "order", "sku": "A", "text": "order 1001 line 1: 2 ordered"}


@pytest.mark.parametrize(
    ("kind", "content", "shown"),
    [
        ("unlinked", pack(("1001", "1")), {"order": "1001", "line": "1", "text": "order 1001 line 1"}),
        ("unlinked", b"\xc1", {"hex": "c1", "bytes": 1}),
        ("push", b"L-A", {"text": "L-A", "bytes": 3}),
        ("late", b"L-A", {"text": "L-A", "bytes": 3}),
        ("puzzle", b"", {"text": "", "bytes": 0}),
    ],
)
async def test_each_kind_of_letter_shows_its_content(
    kind: Any, content: bytes, shown: object, house: House, admin: AdminSocket
) -> None:  # fmt: skip
    house.dead_letters.add(kind, 1, channel="shop", sku="", cause="c", subject="s", content=content)
    await house.store.flush()
    assert (await admin.get("/v1/dead-letters/1")).json()["content"] == shown


async def test_what_cannot_be_read_is_a_500_in_the_same_words_and_is_reported(
    house: House, admin: AdminSocket
) -> None:  # fmt: skip
    house.store.put("dead", (9).to_bytes(8, "big"), b"\xc1")
    await house.store.flush()
    answer = await admin.get("/v1/dead-letters/9")
    assert (answer.status, answer.code) == (500, "internal")
    await until(lambda: len(admin.errors) == 1)
