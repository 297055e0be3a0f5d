"""What truly happened at the storefront, for whoever checks the daemon against it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import asdict, define, field, frozen

from adapters.stamps import rfc3339
from adapters.storefront.outbox import Outbox
from adapters.storefront.shop import Listing, Order, Shop

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
RECORDS_MAX: Final = 200_000
"""Of each kind, the newest are kept."""


@frozen
class LevelWrite:
    """One attempt to write a level. `at` is the shop's clock, `at_us` the host's.

    matched: whether compare-and-set found what was expected, None where nothing was; fault: what the storefront
    did to the call ("" for nothing; "edit" and "twice" for no call: somebody at the shop typed it, or the shop took a
    sale off twice); late: applied after
    its client had given up.
    """

    at: str
    at_us: int
    listing: str
    before: int | None
    after: int | None
    asked: int | None
    if_quantity: int | None
    matched: bool | None
    result: str
    applied: bool
    fault: str
    late: bool
    key: str


@frozen
class OrderChange:
    """A sale, cancellation, refund or fulfilment: units by line."""

    at: str
    at_us: int
    order: str
    kind: str
    lines: dict[str, int]
    restock: bool


@frozen
class CallSeen:
    """One call of the daemon. status: of the answer, 0 where there was none; fault: what befell it ("": nothing)."""

    at_us: int
    call: str
    status: int
    fault: str


@define
class Ledger:
    """Append-only."""

    initial: dict[str, int]
    writes: deque[LevelWrite] = field(factory=lambda: deque(maxlen=RECORDS_MAX))
    changes: deque[OrderChange] = field(factory=lambda: deque(maxlen=RECORDS_MAX))
    calls: deque[CallSeen] = field(factory=lambda: deque(maxlen=RECORDS_MAX))
    refused_orders: int = 0


def listing_json(
    listing: Listing, garbled: Mapping[str, str] = NOTHING, labels: Mapping[str, str] = NOTHING
) -> dict[str, object]:
    """The listing as the API and the webhooks show it, its quantity as `garbled` wants it, its SKU as `labels` do."""
    shown: dict[str, object] = {
        "listing": listing.id, "sku": labels.get(listing.id, listing.sku), "quantity": listing.quantity,
        "version": listing.version,
    }  # fmt: skip
    match garbled.get(listing.id):
        case "null":
            shown["quantity"] = None
        case "absent":
            del shown["quantity"]
        case "error":
            shown["quantity"] = "#ERR"
    return shown


def order_json(order: Order) -> dict[str, object]:
    """The order as the API and the webhooks show it, with an invented buyer."""
    lines = [
        {
            "id": line.id, "sku": line.listing.sku, "listing": line.listing.id, "ordered": line.ordered,
            "cancelled": line.cancelled, "restocked": line.restocked, "fulfilled": line.fulfilled,
            "refunded": line.refunded_open + line.refunded_fulfilled,
        }
        for line in order.lines.values()
    ]  # fmt: skip
    return {
        "id": order.id, "version": order.version, "created_at": rfc3339(order.created_us),
        "updated_at": rfc3339(order.updated_us), "buyer": order.buyer, "lines": lines,
    }  # fmt: skip


def ledger_json(name: str, shop: Shop, outbox: Outbox, ledger: Ledger, now_us: int) -> dict[str, object]:
    """The whole ledger. It is the truth: faults do not touch it."""
    skus = {
        listing.sku: {
            "listing": listing.id,
            "initial": ledger.initial[listing.id],
            "sold": shop.sold[listing.sku],
            "given_back": shop.given_back[listing.sku],
            "quantity": listing.quantity,
        }
        for listing in shop.listings.values()
    }
    webhooks = [
        {
            "delivery": sending.delivery, "topic": sending.topic, "duplicate": sending.duplicate,
            "state": sending.state, "attempts": [{"at_us": at, "status": status} for at, status in sending.attempts],
        }
        for sending in outbox.records
    ]  # fmt: skip
    return {
        "name": name,
        "as_of": rfc3339(shop.clock.read(now_us)),
        "initial": ledger.initial,
        "quantities": {listing.id: listing.quantity for listing in shop.listings.values()},
        "skus": skus,
        "orders": [order_json(order) for order in shop.orders.values()],
        "order_changes": [asdict(change) for change in ledger.changes],
        "refused_orders": ledger.refused_orders,
        "levels": [asdict(write) for write in ledger.writes],
        "calls": [asdict(call) for call in ledger.calls],
        "webhooks": webhooks,
    }
