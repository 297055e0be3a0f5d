"""What sources tell us: something about one named thing, at one source version. Never "a delta".

Every kind has an identity under which two sightings of one fact meet, whichever way they came:
an order line by (channel, order, line), a count by (source, location), an adjustment by (source, reference).
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators

from daemon.domain.instants import Instant

SKU_BYTES_MAX = 200
"""A SKU is a key of the store; longer ones are refused with a sentence, not cut."""

QUANTITY_MAX = 1_000_000_000
"""Larger numbers are a mistake of somebody's, never stock."""


Recipe = tuple[tuple[str, int], ...]
"""What one kit is made of: (component, units), sorted by component; () for a SKU that is no kit."""


def quantity() -> int:
    """An attrs field for units: whole, from 0 to `QUANTITY_MAX`."""
    return field(default=0, validator=[validators.instance_of(int), validators.ge(0), validators.le(QUANTITY_MAX)])


class BadSkuError(ValueError):
    """A SKU that cannot be kept."""


def check_sku(sku: str) -> str:
    """The SKU as it is, or `BadSkuError` with a sentence: any UTF-8 up to 200 bytes, no control characters."""
    if not sku:
        raise BadSkuError("a SKU is empty; give it at least one character")
    try:
        size = len(sku.encode())
    except UnicodeEncodeError:
        raise BadSkuError("a SKU holds half a character (a lone surrogate); correct it at the channel") from None
    if size > SKU_BYTES_MAX:
        raise BadSkuError(f"a SKU has {size} bytes; at most {SKU_BYTES_MAX} can be kept")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in sku):
        raise BadSkuError("a SKU holds a control character; correct it at the channel")
    return sku


@frozen
class OrderLine:
    """What one version of an order says of one line. All quantities are units, absolute, never negative.

    taken = ordered - cancelled - restocked (units gone from what can be sold);
    held = taken - fulfilled (sold, still on the shelf).
    """

    channel: str
    order: str
    line: str
    sku: str
    ordered: int = quantity()
    cancelled: int = quantity()
    restocked: int = quantity()
    fulfilled: int = quantity()
    version: int = 0
    """The source's own version of the order; compared only with other versions of the same order."""
    read_us: int = 0
    """When we fetched this order to settle a conflict (our clock); 0 for webhooks and feeds. At one version
    the newest fetch is the truth."""
    at: Instant = field(kw_only=True)
    """When this version came to be."""
    placed: Instant | None = None
    """When the order was placed, where the source says so."""
    takes_at_placement: bool = False
    """True where the platform takes a line's units the moment the order is placed."""
    listing: str = ""
    """The listing it was sold through, where the source says so."""
    location: str = ""
    kit: str = ""
    """The kit that the line sells: this is a component's share of it, or, where `sku` is the kit, its own line."""
    recipe: Recipe = ()
    """What that kit was made of when the line was first seen; it stays so."""


CountKind = Literal["on_hand", "available"]


@frozen
class StockCount:
    """Stock counted at `at`: an anchor. Movements at or before it are in it already, later ones apply on top."""

    source: str
    sku: str
    quantity: int = field(validator=validators.instance_of(int))
    kind: CountKind = "available"
    at: Instant = field(kw_only=True)
    location: str = ""
    reference: str = ""


@frozen
class Adjustment:
    """A signed correction, receipt or damage at `at`; its identity is (source, reference)."""

    source: str
    reference: str
    sku: str
    quantity: int = field(validator=validators.instance_of(int))
    at: Instant = field(kw_only=True)
    location: str = ""
    reason: str = ""


@frozen
class LevelReport:
    """The level a channel shows for a listing. Evidence for reconciliation, never truth.

    `level` is None where the channel says the quantity is unknown or unmanaged (which is not zero).
    """

    channel: str
    listing: str
    level: int | None
    at: Instant
    sku: str = ""
    """The seller's SKU as the channel has it; empty where the channel gives none."""
    version: int = 0
    title: str = ""
    read_us: int = 0
    """When we asked for it (our clock); 0 where a webhook told it: that may be an echo of what we wrote ourselves."""
    included: int | None = 0
    """Units of the channel's own open orders within `level` (`Traits.includes_held`); None where it does not say."""

    @property
    def countable(self) -> int | None:
        """Units that may be sold, as the channel has it: what a first count may be taken from."""
        return None if self.level is None or self.included is None else self.level - self.included


Observation = OrderLine | StockCount | Adjustment
