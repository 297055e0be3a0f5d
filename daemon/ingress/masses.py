"""Holding back a channel of which too many listings differ at once, until it reads right again or a person decides.

Nothing of what was read is taken then: no listing is read back or pushed because of it, no number becomes a fact.
Orders of the channel, and all other channels, go on as ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

import trio
from attrs import astuple, define, evolve, field, frozen

from daemon.actors.actor import Part
from daemon.actors.registry import Registry
from daemon.domain.instants import SECOND_US
from daemon.domain.mass import MassKind, Tally
from daemon.domain.observations import LevelReport
from daemon.domain.sightings import in_doubt
from daemon.domain.sightings import odd as is_odd
from daemon.domain.sku import Hold, Sku
from daemon.domain.slot import Held, Slot
from daemon.storage.alarms import Alarms
from daemon.storage.codec import Cause, pack, unpack
from daemon.storage.links import load_link
from daemon.storage.store import Store
from daemon.storage.tables import LINKS, META, pair

SUSPECTS_MAX = 20_000
"""Differing listings kept of one comparison; the next one finds the others."""
WINDOW_US = 60 * SECOND_US
"""Levels told by webhooks within this count as told at once."""
PAGE = 500

Decision = Literal["", "adopt", "correct"]
Untaken = Literal["held", "unread"]
"""held: too many levels differ · unread: so many do, and the orders that may explain them cannot be read"""


@frozen
class MassHold:
    """A channel is held: of `linked` listings, `listings` differed at `since_us` (our clock). `decided`: what a
    person said, while it is being done."""

    kind: MassKind
    since_us: int
    listings: int
    linked: int
    decided: Decision = ""
    sure: bool = True
    """False while only webhooks told it, and no whole comparison has confirmed it yet."""

    def sentence(self) -> str:
        """What happened."""
        what = (
            "read 0 at once where there should be more" if self.kind == "zero" else "differ at once from what we know"
        )
        return f"{self.listings} of {self.linked} listings {what}"


@define(eq=False, repr=False)
class Masses:
    """The guard of one channel. `absorb` reads the order feed up to a moment; `said` is told of each step."""

    channel: str
    share: float
    registry: Registry
    store: Store
    alarms: Alarms
    absorb: Callable[[int], Awaitable[bool]]
    said: Callable[[str, MassHold], None]
    linked: int = 0
    """Listings that the last whole comparison found linked."""
    hold: MassHold | None = None
    begun: Callable[[], None] = lambda: None
    """Told when webhooks begin a hold: a whole comparison is to make sure."""
    _window: dict[str, tuple[int, bool]] = field(factory=dict)
    _zeros: int = 0
    _turn: trio.Lock = field(factory=trio.Lock)

    def __attrs_post_init__(self) -> None:
        known = self.store.env.get(META, _key(self.channel))
        self.hold = MassHold(*unpack(known)) if known else None

    # -- looking --

    def count(self, tally: Tally, parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
        """Add reports to a tally; returns those that tell something new, but nothing odd, and those that are odd.

        What is as it should be is neither: it need not go to its actor."""
        news: list[Part] = []
        odd: list[Part] = []
        for part in parts:
            report = part.message
            assert isinstance(report, LevelReport)
            state, slot = self._slot(part.sku, report.listing)
            strange = state is not None and slot is not None and is_odd(slot, report, state.stock.lines)
            if strange:
                odd.append(part)
            elif slot is None or in_doubt(slot):
                news.append(part)
            if report.level is not None:
                tally.add(report.level, slot.belief if slot else None, odd=strange)
        return news, odd

    async def judge(self, tally: Tally, odd: Sequence[Part]) -> Sequence[Part] | Untaken:
        """A whole comparison is done: the odd reports that may be acted on, or why nothing may be taken of it.

        Before they are called too many, the orders up to now are absorbed: a day's sales explain many levels."""
        async with self._turn:
            self.linked = tally.compared
            if tally.verdict(self.share) is None:
                await self._all_clear()
                return odd
            if not await self.absorb(self.store.wall_us()):
                return "unread"
            left = Tally(tally.compared - tally.differing)
            _, odd = self.count(left, odd)
            left.compared = tally.compared
            kind = left.verdict(self.share)
            if kind is None:
                await self._all_clear()
                return odd
            await self._begin(MassHold(kind, self.store.wall_us(), left.differing, tally.compared), odd)
            return "held"

    def told(self, slot: Slot, level: int) -> None:
        """A webhook told a level that nothing explains. Many of them within a short while are a mass, too."""
        now_us = self.store.wall_us()
        self._forget(slot.listing)
        self._window[slot.listing] = (now_us, level == 0)
        self._zeros += level == 0
        while (oldest := next(iter(self._window))) and (
            now_us - self._window[oldest][0] >= WINDOW_US or len(self._window) > SUSPECTS_MAX
        ):
            self._forget(oldest)
        if self.hold is None and self._many(len(self._window), self._zeros) is None:
            return
        if self.hold is not None:
            if not self.hold.decided:
                self.registry.tell([self._part(slot.sku, slot.listing, "mass")])
            return
        # Orders that came since explain some of them.
        left = {each: sku for each in self._window if (sku := self._still_odd(each))}
        kind = self._many(len(left), sum(self._window[each][1] for each in left))
        if kind is not None:
            # Webhooks alone may merely have come in another order: the next whole comparison makes sure.
            self._keep(MassHold(kind, now_us, len(left), self.linked, sure=False))
            self.registry.tell([self._part(sku, each, "mass") for each, sku in left.items()])
            self.begun()

    def _many(self, differing: int, zeros: int) -> MassKind | None:
        return Tally(self.linked, differing, zeros).verdict(self.share) if self.linked else None

    def _still_odd(self, listing: str) -> str:
        """The SKU of a listing of which a webhook told what still nothing explains; else empty."""
        sku = self.registry.links.sku_of(self.channel, listing)
        _, slot = self._slot(sku, listing)
        if slot is None or slot.suspicion is None or slot.suspicion.shown == slot.belief:
            return ""
        return sku

    def _forget(self, listing: str) -> None:
        seen = self._window.pop(listing, None)
        self._zeros -= seen is not None and seen[1]

    # -- holding --

    async def _begin(self, hold: MassHold, odd: Sequence[Part]) -> None:
        if self.hold is not None:
            hold = evolve(hold, since_us=self.hold.since_us, decided=self.hold.decided)
        if hold.decided:
            return  # what a person said is being done: the channel may differ until then
        news = self.hold is None or not self.hold.sure
        self._keep(hold)
        self.alarms.raised("mass_change", self.channel, f"{hold.sentence()}; nothing of it is taken")
        if news:
            self.said("held", hold)
        parts = [
            self._part(part.sku, part.message.listing, "mass")
            for part in odd
            if isinstance(part.message, LevelReport)
        ]
        await self._deliver(parts)

    async def decide(self, decision: Decision) -> MassHold | None:
        """A person says what the numbers are: facts (adopt), or mistakes (correct). None where nothing is held."""
        async with self._turn:
            if self.hold is None or not self.hold.sure:
                return None
            hold = evolve(self.hold, decided=decision)
            self._keep(hold)
            await self.store.flush()
            await self._carry_out(hold)
            return hold

    async def resume(self) -> None:
        """Go on with what a person decided, if a stop came in between."""
        async with self._turn:
            if self.hold is not None and self.hold.decided:
                await self._carry_out(self.hold)

    async def _carry_out(self, hold: MassHold) -> None:
        async for sku, listing in self._held():
            await self._deliver([self._part(sku, listing, hold.decided)])
        self._end("accepted" if hold.decided == "adopt" else "refused", hold)
        await self.store.flush()

    async def _all_clear(self) -> None:
        """The channel reads right again, or so nearly that what is left is no mass any more."""
        hold = self.hold
        if hold is None or hold.decided:
            return
        async for sku, listing in self._held():
            await self._deliver([self._part(sku, listing, "")])
        self._end("cleared", hold)

    async def _held(self) -> AsyncIterator[tuple[str, str]]:
        """The listings that are held, page by page."""
        prefix = pair(self.channel, "")
        start = prefix
        while rows := self.store.env.scan(LINKS, start, limit=PAGE, prefix=prefix):
            start = rows[-1][0] + b"\0"
            for sku in dict.fromkeys(load_link(payload).sku for _, payload in rows):
                state = self.registry.peek(sku)
                for slot in list(state.slots.values()) if state else ():
                    if slot.channel == self.channel and slot.held == "mass":
                        yield sku, slot.listing
            await trio.lowlevel.checkpoint()

    async def _deliver(self, parts: list[Part]) -> None:
        for start in range(0, len(parts), PAGE):
            await self.registry.deliver(parts[start : start + PAGE])

    def _part(self, sku: str, listing: str, held: Held) -> Part:
        return Part(sku, Hold(self.channel, listing, held), Cause("mass", self.channel))

    def _slot(self, sku: str, listing: str) -> tuple[Sku | None, Slot | None]:
        state = self.registry.peek(sku)
        return state, state.slots.get((self.channel, listing)) if state else None

    # -- saying --

    def _end(self, how: str, hold: MassHold) -> None:
        self._window.clear()
        self._zeros = 0
        self._keep(None)
        if hold.sure:
            self.alarms.cleared("mass_change", self.channel)
            self.said(how, hold)

    def _keep(self, hold: MassHold | None) -> None:
        """Durable with the next commit."""
        self.hold = hold
        if hold is None:
            self.store.delete(META, _key(self.channel))
        else:
            self.store.put(META, _key(self.channel), pack(astuple(hold)))


def _key(channel: str) -> bytes:
    return b"mass " + channel.encode()
