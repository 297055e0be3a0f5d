"""From what a channel showed to observations of ours: its ids become SKUs, its stamps get our clock beside them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from daemon.actors.actor import Part
from daemon.domain.channel import Facts, LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import Instant, Span, true_when
from daemon.domain.observations import BadSkuError, LevelReport, OrderLine, check_sku
from daemon.storage.codec import Cause, EmptyOrder
from daemon.storage.links import Links
from daemon.storage.orders import OrderIndex


@frozen
class Unlinked:
    """An order line of which nobody knows the SKU: kept until somebody links its listing."""

    channel: str
    order: OrderSeen
    line: LineSeen
    why: str

    @property
    def subject(self) -> str:
        """Which line, at which version; the same for every sighting of it."""
        return f"order {self.order.order} line {self.line.line} version {self.order.version}"


@frozen
class Normaliser:
    """Knows a channel's ids. `instant` puts a stamp of the channel's clock also on ours."""

    channel: str
    links: Links
    orders: OrderIndex
    instant: Callable[[Span], Instant]

    def order(self, seen: OrderSeen, cause: Cause, read_us: int = 0) -> tuple[list[Part], list[Unlinked]]:
        """One version of an order: its lines, and a line of nothing for each known line it no longer lists."""
        at = self.orders.moment(self.channel, seen.order, self.instant(seen.updated))
        placed = self.orders.moment(self.channel, seen.order, self.instant(seen.placed)) if seen.placed else None
        told: list[OrderLine] = []
        unlinked: list[Unlinked] = []
        for line in seen.lines:
            sku, why = self._sku_of(seen.order, line)
            if not sku:
                unlinked.append(Unlinked(self.channel, seen, line, why))
                continue
            told.append(
                OrderLine(
                    channel=self.channel, order=seen.order, line=line.line, sku=sku,
                    ordered=line.ordered, cancelled=line.cancelled,
                    restocked=line.restocked, fulfilled=line.fulfilled,
                    version=seen.version, read_us=read_us, at=at, placed=placed,
                    takes_at_placement=seen.takes_at_placement, listing=line.listing, location=line.location,
                )
            )  # fmt: skip
        if unlinked and not told:
            return [], unlinked
        parts = []
        for each in self.orders.learn(self.channel, seen.order, told, (seen.version, read_us), at):
            line_id = "" if isinstance(each, EmptyOrder) else each.line
            sku = "" if isinstance(each, EmptyOrder) else each.sku
            parts.append(Part(sku, each, Cause(cause.by, self.channel, cause.delivery, seen.order, line_id)))
        return parts, unlinked

    def likely_skus(self, facts: Facts) -> list[str]:
        """The SKUs that these facts will most likely go to; for looking at mailboxes before anything is done."""
        named = [(line.listing, line.seller_sku) for order in facts.orders for line in order.lines]
        named += [(level.listing, level.seller_sku) for level in facts.levels]
        skus = [self.links.sku_of(self.channel, listing) or sku or "" for listing, sku in named]
        return [*skus, *(part for sku in skus for part, _ in self.orders.kits.get(sku, ()))]

    def _sku_of(self, order: str, line: LineSeen) -> tuple[str, str]:
        """The line's SKU: what it has always been, else what its listing is linked to, else the seller's own."""
        known = self.orders.sku_of(self.channel, order, line.line) or self.links.sku_of(self.channel, line.listing)
        if known:
            return known, ""
        if self.links.barred(self.channel, line.listing):
            return "", f"a person said that listing {line.listing} is no SKU"
        if not line.seller_sku:
            return "", f"listing {line.listing or '(none)'} has no SKU and is linked to none"
        try:
            return check_sku(line.seller_sku), ""
        except BadSkuError as error:
            return "", str(error)

    def level(self, seen: LevelSeen, cause: Cause, moment: Span | None = None) -> Part | None:
        """A level that the channel shows; None for a listing without any SKU. `moment`: when it was read."""
        sku = self.links.sku_of(self.channel, seen.listing)
        if not sku and seen.seller_sku and not self.links.barred(self.channel, seen.listing):
            try:
                sku = check_sku(seen.seller_sku)
            except BadSkuError:
                return None
        if not sku:
            return None
        told = self.instant(seen.own) if seen.own else None
        if moment is None:
            at = told or Instant(Span(0, 0))
        else:
            at = Instant(true_when(moment, told.at if told else None), seen.own)
        report = LevelReport(
            self.channel, seen.listing, seen.level, at, sku, seen.version, seen.title,
            moment.lo if moment else 0, seen.included,
        )  # fmt: skip
        return Part(sku, report, Cause(cause.by, self.channel, cause.delivery))
