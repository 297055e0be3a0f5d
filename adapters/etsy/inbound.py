"""Webhooks: how they are signed, and what each event tells (§2). They name a resource, which is always fetched."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from attrs import frozen

from adapters.kept import Kept, reopened
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Delivery, Facts
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection

ORDER_EVENTS: Final = ("order.paid", "order.canceled", "order.shipped", "order.delivered")
SOLD_OUT: Final = "inventory.out_of_stock"
KNOWN: Final = frozenset(
    (
        *ORDER_EVENTS,
        *("inventory.created", "inventory.deleted", "inventory.updated", SOLD_OUT),
        *("listing.created", "listing.updated", "listing.deleted"),
    )
)

SCHEME: Final = SignatureScheme(
    "webhook-signature",
    "{header:webhook-id}.{timestamp}.{body}",
    timestamp_header="webhook-timestamp",
    tolerance_s=300,
    secret_key="whsec",  # noqa: S106  # how a key is written, none itself
    split=" ",
    pattern="(?:v1,)?([^,]+)",
)
"""Standard Webhooks, with the signature bare or after `v1,`: Etsy's own text and the standard differ."""

TEST_SHOP: Final = 12345
"""The portal's test events are of this shop (§7): there is nothing to fetch."""

_RECEIPT = re.compile(r"/v3/application/shops/([1-9][0-9]{0,17})/receipts/([1-9][0-9]{0,17})")
_TEXT_MAX = 200
_KEPT_AS: Final = "etsy/1"


class _Body(msgspec.Struct):
    event_type: str
    shop_id: Any = None
    resource_url: Any = None


class _Kept(Kept):
    event: str
    number: int
    puzzle: str = ""


@frozen
class _Told:
    """What a delivery says: of which receipt (0: none), and why that is not understood."""

    event: str
    number: int = 0
    puzzle: str = ""


def parse(delivery: Delivery, shop: int) -> Facts:
    """Read a verified delivery, or a `kept` body. Never raises. identity: `webhook-id`, which is signed."""
    told = _kept(delivery.body) or _read(delivery.body, shop)
    identity = delivery.headers.get("webhook-id", "")[:_TEXT_MAX]
    kept = msgspec.json.encode(_Kept(_KEPT_AS, told.event, told.number, told.puzzle))
    if told.puzzle:
        return Facts(told.event, identity, kept, puzzle=told.puzzle)
    refetch = (str(told.number),) if told.number else ()
    # Sold out there means sold: have a look at the receipts. The other events say nothing of quantities (§7).
    return Facts(told.event, identity, kept, refetch=refetch, look=told.event == SOLD_OUT)


def _read(body: bytes, shop: int) -> _Told:
    if why := objection(body):
        return _Told("", puzzle=why)
    try:
        told = decode(body, _Body)
    except UnreadableError as exc:
        return _Told("", puzzle=f"it is no webhook of Etsy: {exc}")
    event = "".join(letter if letter.isprintable() else "?" for letter in told.event_type)[:_TEXT_MAX]
    spoken = str(told.shop_id) if isinstance(told.shop_id, int | str) and not isinstance(told.shop_id, bool) else ""
    if event in KNOWN and spoken == str(TEST_SHOP) != str(shop):
        return _Told(event)
    if spoken != str(shop):
        return _Told(event, puzzle="it is of another shop")
    if event not in KNOWN:
        return _Told(event, puzzle=f"event {event!r} is not one of ours")
    if event not in ORDER_EVENTS:
        return _Told(event)
    try:
        path = urlsplit(told.resource_url).path if isinstance(told.resource_url, str) else ""
    except ValueError:
        path = ""
    found = _RECEIPT.fullmatch(path)
    if found is None or int(found[1]) != shop:
        return _Told(event, puzzle="it names no receipt of this shop")
    return _Told(event, int(found[2]))


def _kept(body: bytes) -> _Told | None:
    """What was kept of an earlier delivery; None for everything else."""
    kept = reopened(body, _Kept, _KEPT_AS)
    if kept is None:
        return None
    if not 0 <= kept.number < 2**63:
        return None
    event = "".join(letter if letter.isprintable() else "?" for letter in kept.event)[:_TEXT_MAX]
    return _Told(event, kept.number if event in ORDER_EVENTS else 0, kept.puzzle)
