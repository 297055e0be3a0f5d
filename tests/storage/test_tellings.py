"""What is still to be told: durable with its alarm, bounded, told to who is new, and forgotten with who is gone."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from daemon.storage.alarms import Alarm
from daemon.storage.tables import META, TELLINGS
from daemon.storage.tellings import WAITING_MAX, Telling, Tellings
from tests.storage.rooms import opened

ALARM = Alarm("breaker_open", "shop", "", "it is down: Jane Doe", 1_000, 1_500, 3)
OTHER = evolve(ALARM, condition="books_differ", channel="", subject="A/1")


async def test_what_was_not_told_survives_a_kill_in_its_order_and_what_was_told_does_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        tellings = Tellings(store)
        tellings.retarget({"webhook": "w", "command": "c"}, [])
        for state in ("raised", "cleared"):
            tellings.add("webhook", state, ALARM, 2_000)  # type: ignore[arg-type]  # one of the two
            tellings.add("command", state, ALARM, 2_000)  # type: ignore[arg-type]
        first = tellings.first("webhook")
        assert first is not None
        tellings.done(first)
        await store.flush()
    async with opened(tmp_path) as store:
        tellings = Tellings(store)
        assert tellings.retarget({"webhook": "w", "command": "c"}, [ALARM]) == 0
        assert (tellings.waiting("webhook"), tellings.waiting("command")) == (1, 2)
        found = tellings.first("webhook")
        assert found == Telling(3, "webhook", "cleared", "breaker_open", "shop", "", 1_000, 2_000, 3)
        assert b"Jane Doe" not in b"".join(row for _, row in store.env.scan(TELLINGS, b"", limit=10))
        tellings.add("webhook", "raised", OTHER, 3_000)
        assert tellings.waiting("webhook") == 2


async def test_a_target_that_is_new_or_another_is_told_what_stands_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        tellings = Tellings(store)
        tellings.retarget({}, [ALARM])
        assert tellings.waiting("webhook") == 0
        for _ in range(2):  # and not again at the next start
            tellings.retarget({"webhook": "w"}, [ALARM, OTHER])
            assert tellings.waiting("webhook") == 2
            await store.flush()
        first = tellings.first("webhook")
        assert first is not None
        assert (first.state, first.at_us) == ("raised", ALARM.since_us)
        tellings.done(first)
        tellings.retarget({"webhook": "another"}, [ALARM, OTHER])  # one of them still waits: it is not doubled
        assert tellings.waiting("webhook") == 2


async def test_what_waited_for_a_target_that_is_gone_is_let_go_and_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        tellings = Tellings(store)
        tellings.retarget({"webhook": "w"}, [ALARM, OTHER])
        await store.flush()
        assert tellings.retarget({}, [ALARM, OTHER]) == 2
        await store.flush()
        assert store.env.count(TELLINGS) == 0


async def test_the_oldest_gives_way_to_one_too_many(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        tellings = Tellings(store)
        for number in range(WAITING_MAX):
            assert tellings.add("command", "raised", evolve(ALARM, subject=str(number)), 2_000) is None
        lost = tellings.add("command", "raised", evolve(ALARM, subject="last"), 2_000)
        assert lost is not None
        assert lost.subject == "0"
        await store.flush()
        assert store.env.count(TELLINGS) == tellings.waiting("command") == WAITING_MAX


def test_the_id_names_the_beginning_or_the_end_of_one_alarm() -> None:
    one = Telling(1, "webhook", "raised", "breaker_open", "shop", "", 1_000, 2_000, 3)
    assert one.id == evolve(one, number=9, target="command", at_us=7, count=8).id
    others = [evolve(one, **{name: value}) for name, value in (  # type: ignore[arg-type]  # each of its field's type
        ("state", "cleared"), ("condition", "feed_unread"), ("channel", "site"), ("subject", "A"),
        ("since_us", 1_001),
    )]  # fmt: skip
    assert len({each.id for each in [one, *others]}) == 6


async def test_what_a_target_is_stands_nowhere_in_the_store_for_it_may_be_a_secret(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        Tellings(store).retarget({"webhook": "https://hooks.example.com/canary"}, [ALARM])
        await store.flush()
        rows = store.env.scan(META, limit=100)
        assert any(key == b"alarm targets" for key, _ in rows)
        assert not [key for key, payload in rows if b"canary" in payload]
