"""What is said of the past is what was said then: random histories, watched at random moments and asked later."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from daemon.actors import registry as registry_module
from daemon.admin.explain import explain_view
from daemon.admin.then import explain_then, sku_then
from daemon.admin.views import Channels, is_told, sku_view
from daemon.admin.words import rfc3339
from daemon.domain.conditions import Standing, rules_of
from daemon.domain.instants import SECOND_US
from daemon.domain.mode import ChannelMode
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, Doubted, Failed, Freeze, Hold, ReadBack, Restore, Revive, Settle
from tests.harness import House, housed
from tests.storage.rooms import inline

SKUS = ("MUG", "CUP", "SET")
KITS = {"SET": (("CUP", 2),)}
CHANNELS = ("shop", "site")


@define
class Life:
    """A house whose circumstances are written down, as the daemon does it, and what was seen of it."""

    house: House
    rng: random.Random
    seen: list[tuple[int, int, str, Any, Any]] = field(factory=list)
    orders: int = 0

    def begin(self) -> None:
        h = self.house
        h.registry.circumstances.watermark_us = lambda channel: h.channels[channel].watermark_us
        self._rules()
        h.registry.replay()
        self._stand()
        h.registry.resume(lambda _: 30 * SECOND_US, repr([twin.rules for twin in h.channels.values()]).encode())

    def _rules(self) -> None:
        h = self.house
        h.registry.circumstances.rules = rules_of(
            {name: (twin.rules, False) for name, twin in h.channels.items()}, KITS
        )

    def _stand(self) -> None:
        twins = self.house.channels
        paused = [name for name, twin in twins.items() if twin.paused]
        modes = {name: twin.mode.mode for name, twin in twins.items()}
        self.house.registry.circumstances.standing(Standing.of(paused, modes), "admin")

    def look(self) -> None:
        """What `GET` says now of each SKU."""
        h = self.house
        around = Channels(h.inside())
        around.now_us = h.store.head.hlc_us
        for sku in SKUS:
            state = h.registry.peek(sku)
            if state is not None and is_told(state):
                shown = sku_view(state, around), explain_view(state, around)
                self.seen.append((around.now_us, h.store.head.seq, sku, *shown))

    async def step(self) -> None:
        """One thing happens."""
        h, rng = self.house, self.rng
        sku, channel = rng.choice(SKUS), rng.choice(CHANNELS)
        state = h.registry.actor(sku).state
        slots = [slot for _, slot in sorted(state.slots.items())]
        slot = rng.choice(slots) if slots else None
        match rng.randrange(6):
            case 0 | 1 if sku != "SET":
                await self._fact(sku, channel)
            case 2:
                await self._news(sku, channel)
            case 3 | 4 if slot:
                await self._push(sku, slot)
            case 5:
                await rng.choice([self._circumstance, self._house_keeping])(sku, h.channels[channel])
            case _:
                pass
        await trio.lowlevel.checkpoint()

    async def _fact(self, sku: str, channel: str) -> None:
        h, rng = self.house, self.rng
        self.orders += 1
        old = rng.randrange(3) == 0 and self.orders > 3
        order = str(rng.randrange(self.orders - 2, self.orders) if old else self.orders)
        units = rng.randrange(1, 4)
        line = OrderLine(channel, order, "1", sku, units, version=h.clock(), at=h.now(), placed=h.now(),
                         fulfilled=rng.randrange(units + 1))  # fmt: skip
        count = StockCount("person", sku, rng.randrange(12), at=h.now())
        await h.tell(rng.choice([line, line, line, count, Adjustment("person", order, sku, 4, at=h.now())]))

    async def _news(self, sku: str, channel: str) -> None:
        h, rng = self.house, self.rng
        if rng.random() < 0.3:
            await h.tell_sku(sku, Freeze(frozen=rng.random() < 0.5, by="ann"))
        else:
            await h.tell(LevelReport(channel, f"L-{sku}", rng.choice([None, 0, 3, 9]), h.now(), sku,
                                     read_us=h.clock()), by="catalogue")  # fmt: skip

    async def _push(self, sku: str, slot: Any) -> None:
        h, rng = self.house, self.rng
        if slot.in_flight:
            await h.tell_sku(sku, self._answer(slot))
        elif slot.needs_push() and not slot.dead_letter and rng.random() < 0.6:
            h.outbox.claim(slot)
        elif rng.random() < 0.3:
            h.outbox.postpone(slot, rng.choice(["no answer", ""]), h.clock.us + SECOND_US)
        else:
            back = ReadBack(slot.channel, slot.listing, rng.choice([None, 1, slot.belief]), h.now())
            odd = Hold(slot.channel, slot.listing, rng.choice(["", "report", "mass", "correct"]))
            kept = Restore(slot.channel, slot.listing, rng.choice([None, 5]))
            again = Revive(slot.channel, slot.listing, anyway=rng.random() < 0.5)
            await h.tell_sku(sku, rng.choice([back, odd, again, kept]))

    def _answer(self, slot: Any) -> Any:
        h, rng = self.house, self.rng
        where = (slot.channel, slot.listing, slot.in_flight)
        return rng.choice([
            Confirmed(*where, slot.sent_level, h.now()),
            Confirmed(*where, slot.sent_level + 1, h.now(), h.clock.us + SECOND_US),
            Failed(*where, "busy", h.clock.us + SECOND_US),
            Failed(*where, "refused", 0, 7),
            Doubted(*where, "no answer", h.clock.us, h.clock.us + SECOND_US),
        ])  # fmt: skip

    async def _circumstance(self, sku: str, twin: Any) -> None:
        h, rng = self.house, self.rng
        match rng.randrange(4):
            case 0:
                twin.paused = not twin.paused and rng.random() < 0.5
                twin.mode = ChannelMode(rng.choice(["live", "live", "shadow"]))
                h.outbox.lane(twin.name).hush(h.clock(), quiet=not twin.mode.writes)
                self._stand()
            case 1:
                twin.watermark_us = max(twin.watermark_us, h.clock.us - rng.choice([0, 5_000]))
                h.registry.circumstances.feed_read(twin.name)
            case 2:
                h.dead_letters.add("poison", h.clock(), channel="shop", sku=sku, cause="?", subject="order 1",
                                   content=b"")  # fmt: skip
                h.registry.note_stuck(sku, "poll")
            case 3:
                for letter in h.dead_letters.page()[:1]:
                    h.dead_letters.remove(letter.letter)

    async def _house_keeping(self, sku: str, twin: Any) -> None:
        h, rng = self.house, self.rng
        match rng.randrange(3):
            case 0:
                await h.tell_sku(sku, Settle(h.clock.us - rng.randrange(2) * 10_000_000))
            case 1:
                await h.store.checkpoint()
                h.registry.checkpointed()
            case 2:  # other rules, as of the next start
                rules = Policy(buffer=rng.randrange(3), share=rng.choice([1.0, 0.5]), cap=rng.choice([None, 4]))
                twin.rules = rules
                self._rules()
                h.registry.resume(lambda _: SECOND_US, repr([each.rules for each in h.channels.values()]).encode())


@asynccontextmanager
async def living(directory: Path, life: Life | None, rng: random.Random) -> AsyncIterator[Life]:
    async with housed(directory, channels=CHANNELS, run_blocking=inline, kits=KITS, resumed=False) as house:
        if life is None:
            life = Life(house, rng)
            for twin in house.channels.values():
                twin.watermark_us = 0
        else:
            house.clock.us = life.house.clock.us
            for name, twin in life.house.channels.items():
                house.channels[name].rules, house.channels[name].paused = twin.rules, twin.paused
                house.channels[name].watermark_us, house.channels[name].mode = twin.watermark_us, twin.mode
                house.outbox.lane(name).hush(0, quiet=not twin.mode.writes)
            life.house = house
        life.begin()
        yield life


async def relive(directory: Path, seed: int, lives: int, steps: int) -> int:
    """Several lives on one store; every look of all of them is asked for again at the end. Returns the looks."""
    rng = random.Random(seed)
    life: Life | None = None
    for _ in range(lives):
        async with living(directory, life, rng) as life:
            for _ in range(steps):
                await life.step()
                if rng.random() < 0.4:
                    life.look()
            if rng.random() < 0.5:  # else the tail of the log is repeated at the next start
                await life.house.store.checkpoint()
    assert life is not None
    async with living(directory, life, rng):
        inside = life.house.inside()
        for at_us, seq, sku, shown, explained in life.seen:
            stamp = {"at": rfc3339(at_us), "after_event": seq}
            assert await sku_then(inside, sku, rfc3339(at_us)) == {**shown, **stamp}
            assert await explain_then(inside, sku, rfc3339(at_us), "") == {**explained, **stamp}
    return len(life.seen)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 30))
def test_a_look_back_is_what_was_shown_then(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    directory = tmp_path_factory.mktemp("then")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry_module, "MARK_EVERY", 7)
        looks = trio.run(relive, directory, seed, 3, 40, clock=MockClock(autojump_threshold=0))
    assert looks > 20
