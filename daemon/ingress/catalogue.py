"""Each channel's catalogue, pulled at start and every hour: listings are linked, levels compared, and SKUs that
nobody has counted take their first count.

The first count of a SKU comes from the authority, else from the first channel in the configuration's order that
lists it. A channel that comes earlier and has not answered yet is waited for: its word would win.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import define, field, frozen

from daemon.actors.actor import Part
from daemon.actors.registry import Registry
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange, NoAnswer
from daemon.domain.instants import Instant, Span
from daemon.domain.mass import Tally
from daemon.domain.observations import LevelReport, StockCount
from daemon.domain.outcomes import Failure
from daemon.ingress.masses import SUSPECTS_MAX, Masses
from daemon.ingress.paging import read_page
from daemon.ingress.receiver import Intake, Receiver
from daemon.outbound.account import Account
from daemon.storage.codec import Cause

PAGES_MAX = 100_000
LISTINGS_MAX = 1_000_000
"""A catalogue with more listings has no end, or is no shop's."""
OFFERS_MAX = 200_000
"""First counts that wait at a time; the SKUs beyond them are offered by the next pull, when these are counted."""

SURE_S = 3.0
SURE_TRIES = 5
"""A first count that may or may not hold a sale is read again after so long, so often."""


@frozen
class Offer:
    """A level that could be a SKU's first count."""

    channel: str
    listing: str
    level: int
    at: Instant


UNREAD = "many levels differ from what we know, and the orders that may explain them cannot be read now"
REFERENCE = "first contact "
"""How first counts are called in the history, with their listing behind it."""


def first_count(sku: str, offer: Offer) -> Part:
    """The offer as the count it is."""
    count = StockCount(offer.channel, sku, offer.level, at=offer.at, reference=REFERENCE + offer.listing)
    return Part(sku, count, Cause("catalogue", offer.channel))


@define
class FirstCounts:
    """Collects offers for uncounted SKUs and takes the best one as soon as no better one can come.

    `ranks`: channel to its place, 0 is asked first.
    """

    registry: Registry
    ranks: dict[str, int]
    counted: Callable[[str, Offer], None] = lambda sku, offer: None  # noqa: ARG005 - a silent default
    answered: set[str] = field(factory=set)
    unsure: dict[str, Offer] = field(factory=dict)
    """Counts so close to a sale that nobody can say whether they hold it: to be read once more, in quiet."""
    _offers: dict[str, Offer] = field(factory=dict)
    _telling: set[str] = field(factory=set)
    """SKUs whose count is on its way to its actor: they are as good as counted."""

    def offer(self, sku: str, offer: Offer) -> None:
        """This channel lists the uncounted SKU. Two listings of one channel: the lower level is the safer one."""
        best = self._offers.get(sku)
        if best is None and len(self._offers) >= OFFERS_MAX:
            return
        if best is None or (self.ranks[offer.channel], offer.level) < (self.ranks[best.channel], best.level):
            self._offers[sku] = offer

    async def settle(self, channel: str) -> int:
        """This channel's catalogue is complete. Count every SKU whose best offer is known; returns how many."""
        self.answered.add(channel)
        waiting = [rank for name, rank in self.ranks.items() if name not in self.answered]
        horizon = min(waiting, default=len(self.ranks))
        parts = []
        for sku, offer in sorted(self._offers.items()):
            if self.ranks[offer.channel] > horizon:
                continue
            del self._offers[sku]
            if self._uncounted(sku):
                parts.append(first_count(sku, offer))
                self.counted(sku, offer)
        await self.tell(parts)
        return len(parts)

    async def tell(self, parts: Sequence[Part]) -> None:
        """Count these SKUs, and remember which counts are ambiguous."""
        skus = {part.sku for part in parts}
        self._telling |= skus
        try:
            await self._tell(parts)
        finally:
            self._telling -= skus

    async def _tell(self, parts: Sequence[Part]) -> None:
        for start in range(0, len(parts), 500):
            page = list(parts[start : start + 500])
            await self.registry.deliver(page)
            for sku, count, _ in page:
                state = self.registry.peek(sku)
                assert isinstance(count, StockCount)
                self.unsure.pop(sku, None)
                if state is not None and state.stock.ambiguous:
                    listing = count.reference.removeprefix(REFERENCE)
                    self.unsure[sku] = Offer(count.source, listing, count.quantity, count.at)

    def _uncounted(self, sku: str) -> bool:
        if sku in self._telling or sku in self.registry.kits:
            return False  # what a channel shows of a kit says nothing about the shelf: its components are counted
        state = self.registry.peek(sku)
        return state is None or not state.stock.anchors

    def withdraw(self, channel: str) -> None:
        """Nothing of what this channel offered is to be taken."""
        self._offers = {sku: offer for sku, offer in self._offers.items() if offer.channel != channel}

    def wanted(self, sku: str) -> bool:
        """Is an offer for this SKU of any use?"""
        return self._uncounted(sku)


@frozen
class Pulled:
    """What one pull of a catalogue found."""

    listings: int = 0
    linked: int = 0
    mismatched: int = 0
    error: str = ""


ODD_MAX = 10_000
"""Listings remembered that only a person can link."""


@frozen
class Odd:
    """What a catalogue says of a listing that only a person can link; `seller_sku` empty: it names none."""

    seller_sku: str
    title: str


@define(eq=False, repr=False)
class Catalogue:
    """Pulls one channel's catalogue."""

    account: Account
    intake: Intake
    receiver: Receiver
    first_counts: FirstCounts
    masses: Masses
    attempted: trio.Event = field(factory=trio.Event)
    """Set after the first pull, however it ended."""
    failed: Callable[[str], None] = lambda error: None  # noqa: ARG005 - a silent default
    broken: str = ""
    odd: dict[str, Odd] = field(factory=dict)
    """Listings that the last whole pull found without a SKU, or with another one than they are linked to."""
    _turn: trio.Lock = field(factory=trio.Lock)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pull at start and at the platform's interval; after a failure again soon."""
        task_status.started()
        retry_s = 1.0
        while True:
            wait_s = self.account.wait_s()
            if wait_s and self.attempted.is_set():
                await trio.sleep(wait_s)
                continue
            pulled = await self.pull()
            self.attempted.set()
            if pulled.error:
                await trio.sleep(retry_s)
                retry_s = min(300.0, retry_s * 2)
            else:
                retry_s = 1.0
                await self._make_sure()
                await trio.sleep(self.account.adapter.traits.catalogue_interval_s)

    async def _make_sure(self) -> None:
        """Read ambiguous first counts of this channel again, as long as nothing was pushed there: its number is
        still its own truth. After some tries the lower number stays, flagged, until somebody counts."""
        for _ in range(SURE_TRIES):
            mine = {
                sku: offer for sku, offer in self.first_counts.unsure.items() if offer.channel == self.account.name
            }
            if not mine:
                return
            await trio.sleep(SURE_S)
            asked_us = self.receiver.wall_us()
            answer = await self.account.converse(
                self.account.adapter.levels([each.listing for each in mine.values()])
            )
            if isinstance(answer, (NoAnswer, Failure)):
                continue
            moment = Span(asked_us, max(asked_us, self.receiver.wall_us()))
            shown = {seen.listing: seen for seen in answer if seen.countable is not None}
            parts = []
            for sku, offer in mine.items():
                seen, state = shown.get(offer.listing), self.receiver.registry.peek(sku)
                slot = state.slots.get((offer.channel, offer.listing)) if state else None
                if seen is None or seen.countable is None or slot is None or slot.pushed_us or slot.in_flight:
                    self.first_counts.unsure.pop(sku, None)
                    continue
                at = self.account.true_at(moment, seen.own)
                parts.append(first_count(sku, Offer(offer.channel, offer.listing, seen.countable, at)))
            await self.first_counts.tell(parts)

    async def pull(self, seen: Callable[[Sequence[LevelSeen]], None] = lambda levels: None) -> Pulled:  # noqa: ARG005 - a silent default
        """Read the whole catalogue once; `seen` is told each page."""
        async with self._turn:
            pulled = await self._pull(seen)
        if pulled.error and pulled.error != self.broken:
            self.failed(pulled.error)
        self.broken = pulled.error
        return pulled

    async def _pull(self, seen: Callable[[Sequence[LevelSeen]], None]) -> Pulled:
        page, listings, linked = "", 0, 0
        tally, odd = Tally(), list[Part]()
        found: dict[str, Odd] = {}
        for _ in range(PAGES_MAX):
            moment, answer = await self._page(page)
            if isinstance(answer, (NoAnswer, Failure)):
                return Pulled(listings, linked, tally.differing, answer.reason)
            seen(answer.levels)
            self._look_for_odd(answer.levels, found)
            parts = self.receiver.levels(self.intake, answer.levels, moment, "catalogue")
            news, strange = self.masses.count(tally, parts)
            await self.receiver.registry.deliver(news)
            odd += strange[: SUSPECTS_MAX - len(odd)]
            self._offer(parts)
            listings, linked = listings + len(answer.levels), linked + self._fresh(news)
            page = answer.next_page
            if not page:
                break
            if listings > LISTINGS_MAX:
                return Pulled(
                    listings, linked, tally.differing, f"the catalogue has more than {LISTINGS_MAX} listings"
                )
        self.odd = found
        believed = await self.masses.judge(tally, odd)
        if isinstance(believed, str):
            self.first_counts.withdraw(self.account.name)
            return Pulled(listings, linked, tally.differing, UNREAD if believed == "unread" else "")
        for start in range(0, len(believed), 500):
            await self.receiver.registry.deliver(list(believed[start : start + 500]))
        await self.first_counts.settle(self.account.name)
        if linked and self.receiver.relink(self.account.name):
            self.intake.look()
        return Pulled(listings, linked, tally.differing)

    async def _page(self, page: str) -> tuple[Span, ListingPage | NoAnswer | Failure]:
        """One page, and when it was read."""
        asked_us = 0

        def ask() -> Exchange[ListingPage | Failure]:
            nonlocal asked_us
            asked_us = self.receiver.wall_us()
            return self.account.adapter.listings(page)

        answer = await read_page(self.account, page, ask)
        return Span(asked_us, max(asked_us, self.receiver.wall_us())), answer

    def _look_for_odd(self, levels: Sequence[LevelSeen], found: dict[str, Odd]) -> None:
        """Note what only a person can link. Nothing is guessed."""
        links = self.intake.normaliser.links
        for level in levels:
            known = links.get(self.account.name, level.listing)
            wrong = known is not None and not known.by and level.seller_sku not in (None, "", known.sku)
            if (wrong or (known is None and not level.seller_sku)) and len(found) < ODD_MAX:
                found[level.listing] = Odd(level.seller_sku or "", level.title)

    def _offer(self, parts: Sequence[Part]) -> None:
        """Offer first counts of SKUs that nobody has counted."""
        for part in parts:
            report = part.message
            assert isinstance(report, LevelReport)
            units = report.countable
            if units is not None and self.first_counts.wanted(part.sku):
                self.first_counts.offer(part.sku, Offer(report.channel, report.listing, units, report.at))

    def _fresh(self, parts: Sequence[Part]) -> int:
        """How many listings are linked by these reports."""
        fresh = 0
        for part in parts:
            report = part.message
            assert isinstance(report, LevelReport)
            state = self.receiver.registry.peek(part.sku)
            slot = state.slots.get((report.channel, report.listing)) if state else None
            fresh += slot is not None and slot.base_at == report.at
        return fresh
