"""Watches a channel in shadow: each turn that moves one of its listings is noted, and looks are asked for while a
sale is not followed yet."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from daemon.actors.actor import Part
from daemon.domain.mode import ChannelMode
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.shadow import Sums, Watched
from daemon.domain.sku import ReadBack, Step
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.storage.outbox import Lane
from daemon.storage.shadows import Shadows

LOOKED_AFTER_MAX = 200
"""Listings of a channel looked at at a time because a sale is not followed yet; the sweep finds the others."""


@define(eq=False, repr=False)
class ShadowWatch:
    """The watch of one channel."""

    account: Account
    lane: Lane
    shadows: Shadows
    now_us: Callable[[], int]
    _looking: set[str] = field(factory=set)

    @property
    def name(self) -> str:
        """The channel's."""
        return self.account.name

    def begin(self, mode: ChannelMode) -> None:
        """A new watch; what differs already would be pushed now."""
        self._looking.clear()
        self.shadows.keep_sums(self.name, Sums(mode.since_us))
        for slot in list(self.lane.slots.values()):
            if slot.needs_push():
                self._note(slot, slot.desired, mode.since_us, "when the watch began")

    def applied(self, part: Part, step: Step) -> None:
        """A message went through the actor of a SKU that is listed here, perhaps."""
        if not self.account.shadow:
            return
        for slot in step.slots:
            if slot.channel == self.name:
                self._turn(part, step, slot)

    def _turn(self, part: Part, step: Step, slot: Slot) -> None:
        message = part.message
        now_us = self.now_us()
        ceiling = None if step.after is None else max(0, step.after) + slot.added
        looked = isinstance(message, LevelReport | ReadBack) and message.level is not None
        sold = isinstance(message, OrderLine) and message.channel != self.name
        sold_us = message.at.at.hi if isinstance(message, OrderLine) and sold else 0
        watched = self._note(slot, ceiling, now_us, _why(part), looked=looked, sold_us=sold_us)
        self._look(slot, watched, now_us)

    def _note(
        self, slot: Slot, ceiling: int | None, now_us: int, cause: str, *, looked: bool = False, sold_us: int = 0
    ) -> Watched:  # fmt: skip
        sums = self.shadows.sums(self.name)
        watched = self.shadows.get(self.name, slot.listing, sums.since_us)
        if watched is None:
            watched = Watched(slot.listing, slot.sku, sums.since_us)
        watched.sku = slot.sku
        pushes, waiting = watched.pushes, len(watched.waiting) + watched.lost
        shown = slot.suspicion.shown if slot.suspicion is not None else slot.belief
        followed = watched.moved(now_us, slot.desired, ceiling, shown, cause, looked=looked, sold_us=sold_us)
        self.shadows.keep(self.name, watched)
        sold = sold_us and len(watched.waiting) + len(followed) + watched.lost > waiting
        if watched.pushes != pushes or followed or sold:
            sums.pushes += watched.pushes - pushes
            if sold:
                sums.sold(now_us - sold_us)
            for each in followed:
                sums.followed(each)
            self.shadows.keep_sums(self.name, sums)
        return watched

    def _look(self, slot: Slot, watched: Watched, now_us: int) -> None:
        look_us = watched.look_us(now_us)
        if not look_us:
            self._looking.discard(slot.listing)
        elif slot.listing in self._looking or len(self._looking) < LOOKED_AFTER_MAX:
            self._looking.add(slot.listing)
            slot.ask_recheck(look_us)
            self.lane.refresh(slot, now_us)


def _why(part: Part) -> str:
    message = part.message
    match message:
        case OrderLine():
            return f"order {message.order} at {message.channel}"
        case StockCount():
            return f"a count by {message.source}"
        case Adjustment():
            return f"an adjustment by {message.source}"
        case LevelReport() | ReadBack():
            return "what it showed"
    return f"told by {part.cause.by}"
