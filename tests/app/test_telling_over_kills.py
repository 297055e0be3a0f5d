"""Whatever fails, and whenever the daemon is killed: each beginning and each end of an alarm is told, in its order,
and again only where a kill came between being taken and being written down."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from daemon.app.telling import Teller, Tellers
from daemon.outbound.alarm_targets import Told
from daemon.storage.alarms import Alarm, Alarms
from daemon.storage.store import Store
from daemon.storage.tellings import Telling, Tellings
from daemon.telemetry import Telemetry
from tests.reconcile.mall import now_us
from tests.storage import rooms

SUBJECTS = ("A", "B", "C")
Deed = tuple[str, int]
DEEDS = st.lists(
    st.tuples(st.sampled_from(["raise", "clear", "raise", "clear", "wait", "kill", "stop"]), st.integers(0, 2)),
    max_size=25,
)


@define
class Ear:
    """A target that takes a while, and fails as the dice fall; it remembers what it took over all lives."""

    dice: random.Random
    fails: float
    taken: list[Telling] = field(factory=list)
    begun: int = 0

    async def tell(self, telling: Telling) -> Told:
        self.begun += 1
        await trio.sleep(self.dice.choice((0.0, 0.1, 2.0)))
        if self.dice.random() < self.fails:
            return Told("not now")
        self.taken.append(telling)
        await trio.sleep(self.dice.choice((0.0, 0.5)))  # taken, and the answer still on its way
        return Told()

    async def aclose(self) -> None: ...


@define
class Lives:
    """A teller's lives, one after the other on the same store."""

    directory: Path
    ear: Ear
    began: list[Alarm] = field(factory=list)
    ended: list[Alarm] = field(factory=list)
    kills: int = 0
    number: int = 0

    async def run(self, deeds: list[Deed]) -> None:
        rest = list(deeds)
        while rest:
            place = next((at for at, (what, _) in enumerate(rest) if what in ("kill", "stop")), len(rest))
            mine, rest = rest[:place], rest[place + 1 :]
            await self._life(mine, killed=bool(rest) and deeds[len(deeds) - len(rest) - 1][0] == "kill")
        self.ear.fails = 0.0
        await self._life([("wait", 2)] * 3, killed=False)

    async def _life(self, deeds: list[Deed], *, killed: bool) -> None:
        async with rooms.opened(self.directory) as store, trio.open_nursery() as nursery:
            self.number += 1
            store.wall_us.us += self.number * 1_000_000_000  # type: ignore[attr-defined]  # the test's own clock goes on
            tellers = Tellers()
            alarms = Alarms(store, lambda each: self._said(tellers, each), lambda each: self._over(tellers, each))
            tellers.each = [self._teller(store, alarms)]
            nursery.start_soon(tellers.each[0].run)
            for what, which in deeds:
                if what == "raise":
                    alarms.raised("books_differ", "", "x", SUBJECTS[which])
                elif what == "clear":
                    alarms.cleared("books_differ", "", SUBJECTS[which])
                else:
                    await trio.sleep((0.01, 3.0, 4_000.0)[which])
                await store.flush()  # what a kill may take back is another test's
            if killed:
                self.kills += 1
                nursery.cancel_scope.cancel()
                return
            teller = tellers.each[0]
            while not deeds_over(teller):  # noqa: ASYNC110 - an orderly stop, at a moment when nothing is under way
                await trio.sleep(0.5)
            await store.flush()
            nursery.cancel_scope.cancel()

    def _teller(self, store: Store, alarms: Alarms) -> Teller:
        tellings: Any = Tellings(store)
        tellings.retarget({"command": "c"}, alarms.open())
        telemetry = Telemetry(wall_us=now_us, write_line=lambda _: None)
        return Teller("command", self.ear, tellings, store, telemetry, random.Random(1), now_us)

    def _said(self, tellers: Tellers, alarm: Alarm) -> None:
        self.began.append(alarm)
        tellers.raised(alarm)

    def _over(self, tellers: Tellers, alarm: Alarm) -> None:
        self.ended.append(alarm)
        tellers.cleared(alarm)


def deeds_over(teller: Teller) -> bool:
    return not teller.tellings.waiting("command")


@given(deeds=DEEDS, seed=st.integers(0, 1 << 16), fails=st.sampled_from([0.0, 0.3, 0.6]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_each_is_told_in_order_and_twice_only_after_a_kill(deeds: list[Deed], seed: int, fails: float) -> None:
    with tempfile.TemporaryDirectory() as place:
        ear = Ear(random.Random(seed), fails)
        lives = Lives(Path(place), ear)
        trio.run(lives.run, deeds, clock=MockClock(autojump_threshold=0))
    wanted = [(each.subject, each.since_us, "raised") for each in lives.began]
    wanted += [(each.subject, each.since_us, "cleared") for each in lives.ended]
    told = [(each.subject, each.since_us, each.state) for each in ear.taken]
    assert set(told) == set(wanted)
    assert len({each.id for each in ear.taken}) == len(set(told))
    assert sum(times - 1 for times in Counter(told).values()) <= lives.kills
    for subject, since_us, state in set(told):
        if state == "cleared":
            assert told.index((subject, since_us, "raised")) < told.index((subject, since_us, "cleared"))
