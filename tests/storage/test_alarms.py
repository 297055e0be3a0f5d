"""Alarms: said once, counted, durable, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from daemon.storage.alarms import OTHERS, RUNBOOK, SUBJECTS_MAX, TEXT_MAX, WRITE_EVERY_US, Alarm, Alarms, Condition
from daemon.storage.store import Store
from daemon.storage.tables import ALARMS
from tests.storage.rooms import opened


@define
class Heard:
    """What was said."""

    began: list[Alarm] = field(factory=list)
    ended: list[Alarm] = field(factory=list)

    def alarms(self, store: Store) -> Alarms:
        return Alarms(store, self.began.append, self.ended.append)


async def test_a_condition_is_said_once_then_counted_and_its_end_is_said_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        heard = Heard()
        alarms = heard.alarms(store)
        alarms.cleared("breaker_open", "shop")
        for text in ("it is down", "it is still down", "500 again"):
            alarms.raised("breaker_open", "shop", text)
        (alarm,) = alarms.open()
        assert (alarm.condition, alarm.channel, alarm.text, alarm.count) == ("breaker_open", "shop", "500 again", 3)
        assert alarm.last_us > alarm.since_us
        assert alarm.runbook == RUNBOOK["breaker_open"]
        assert [each.text for each in heard.began] == ["it is down"]
        alarms.cleared("breaker_open", "shop")
        alarms.cleared("breaker_open", "shop")
        assert alarms.open() == []
        assert [each.count for each in heard.ended] == [3]


async def test_channels_and_subjects_are_told_apart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        alarms = Heard().alarms(store)
        for channel, subject in (("shop", "A"), ("shop", "B"), ("site", "A"), ("shop", "")):
            alarms.raised("mass_change", channel, "many", subject)
        alarms.cleared("mass_change", "shop", "A")
        left = {(each.channel, each.subject) for each in alarms.open()}
        assert left == {("shop", "B"), ("site", "A"), ("shop", "")}
        assert not alarms.is_open("mass_change", "shop", "A")
        assert alarms.is_open("mass_change", "shop", "B")


async def test_open_alarms_survive_a_kill_and_are_not_said_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        alarms = Heard().alarms(store)
        alarms.raised("raise_held", "shop", "waits")
        alarms.raised("mass_change", "shop", "many", "x" * 3_000)
        alarms.raised("pushes_dead", "shop", "one")
        alarms.cleared("pushes_dead", "shop")
        await store.flush()
    heard = Heard()
    async with opened(tmp_path) as store:
        alarms = heard.alarms(store)
        assert [each.condition for each in alarms.open()] == ["raise_held", "mass_change"]
        alarms.raised("raise_held", "shop", "waits still")
        assert heard.began == []
        assert alarms.open()[0].count == 2
        alarms.cleared("mass_change", "shop", "x" * 3_000)
        alarms.cleared("raise_held", "shop")
        assert len(heard.ended) == 2
        await store.flush()
        assert store.env.count(ALARMS) == 0


async def test_an_alarm_that_is_only_counted_is_written_once_a_minute(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        alarms = Heard().alarms(store)
        alarms.raised("feed_unread", "shop", "first")
        await store.flush()
        commits = store.commits
        for _ in range(100):
            alarms.raised("feed_unread", "shop", "again")
        assert store.settled()
        store.wall_us.us += WRITE_EVERY_US  # type: ignore[attr-defined]  # the test's own clock
        alarms.raised("feed_unread", "shop", "a minute later")
        await store.flush()
        assert store.commits == commits + 1
        stored = Heard().alarms(store).open()
        assert [(each.text, each.count) for each in stored] == [("a minute later", 102)]


async def test_more_subjects_than_can_be_named_become_one_alarm_that_ends_when_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        heard = Heard()
        alarms = heard.alarms(store)
        for number in range(SUBJECTS_MAX + 20):
            alarms.raised("mass_change", "shop", "t" * 2 * TEXT_MAX, f"subject {number}")
        assert len(alarms.open()) == SUBJECTS_MAX + 1
        assert len(heard.began) == SUBJECTS_MAX + 1
        assert max(len(each.text) for each in alarms.open()) == TEXT_MAX
        others = next(each for each in alarms.open() if each.subject == OTHERS)
        assert (others.count, "subject 69" in others.text) == (20, True)
        alarms.cleared("mass_change", "shop", "subject 3")
        assert not alarms.is_open("mass_change", "shop", OTHERS)
        alarms.raised("mass_change", "shop", "still", "subject 60")
        assert alarms.is_open("mass_change", "shop", "subject 60")


async def test_alarms_of_channels_that_are_gone_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        heard = Heard()
        alarms = heard.alarms(store)
        for channel in ("shop", "gone", ""):
            alarms.raised("mass_change", channel, "many")
        alarms.keep_only({"shop"})
        assert [each.channel for each in alarms.open()] == ["shop", ""]
        assert [each.channel for each in heard.ended] == ["gone"]


Step = tuple[bool, Condition, str]
STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["breaker_open", "raise_held"]), st.sampled_from("ab")),
    max_size=40,
)


@define
class Rows:
    """A store of one table, durable at once."""

    rows: dict[bytes, bytes] = field(factory=dict)
    us: int = 0

    @property
    def env(self) -> Rows:
        return self

    def wall_us(self) -> int:
        self.us += 1
        return self.us

    def put(self, table: str, key: bytes, payload: bytes) -> None:
        self.rows[key] = payload

    def delete(self, table: str, key: bytes) -> None:
        del self.rows[key]

    def scan(self, table: str, start: bytes, *, limit: int) -> list[tuple[bytes, bytes]]:
        return [(key, self.rows[key]) for key in sorted(self.rows) if key >= start][:limit]


@given(steps=STEPS)
def test_what_is_open_is_what_was_raised_last_and_each_beginning_has_at_most_one_end(steps: list[Step]) -> None:
    store: Any = Rows()
    heard = Heard()
    alarms = heard.alarms(store)
    last: dict[tuple[Condition, str], bool] = {}
    for up, condition, channel in steps:
        last[condition, channel] = up
        if up:
            alarms.raised(condition, channel, "x")
        else:
            alarms.cleared(condition, channel)
    wanted = {key for key, up in last.items() if up}
    assert {(each.condition, each.channel) for each in alarms.open()} == wanted
    assert len(heard.began) - len(heard.ended) == len(wanted)
    assert {(each.condition, each.channel) for each in Heard().alarms(store).open()} == wanted
