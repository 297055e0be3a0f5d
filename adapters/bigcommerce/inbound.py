"""Webhooks: how they prove whose they are, and what each scope tells (bigcommerce.md §2). They are hints with ids:
no quantity in them is believed, and an order is always fetched."""

from __future__ import annotations

from typing import Final

import msgspec
from attrs import frozen

from adapters.kept import Kept, reopened
from adapters.strict import RowId, UnreadableError, decode
from daemon.domain.channel import Delivery, Facts
from daemon.domain.signatures import AllOf, Scheme, SharedSecret, SignatureScheme
from daemon.domain.strict_json import objection

ORDER_SCOPES: Final = (
    "store/order/created",
    "store/order/updated",
    "store/order/statusUpdated",
    "store/order/archived",
    "store/order/refund/created",
)
"""What is subscribed. One sale is told up to three times by them (§7); all lead to the same fetch."""

STOCK_BY_ORDER: Final = ("store/product/inventory/order/updated", "store/sku/inventory/order/updated")
KNOWN: Final = frozenset(
    (
        *ORDER_SCOPES,
        *STOCK_BY_ORDER,
        *("store/product/inventory/updated", "store/sku/inventory/updated"),
        *(f"store/{kind}/{event}" for kind in ("product", "sku") for event in ("created", "updated", "deleted")),
    )
)
"""Scopes that somebody may have subscribed for the same endpoint, and that are understood."""

KEY_HEADER: Final = "x-onhand-key"
"""The static header that every subscription carries beside the signature (§2, `headers`)."""

REPLAY_S: Final = 3 * 86_400
"""A delivery is repeated for up to 48 h, and whether it is signed afresh each time is not known (§2): an older stamp
is refused, a younger one is told from a replay by its id, which is signed and remembered for longer than that."""

SIGNATURE: Final = SignatureScheme(
    "webhook-signature",
    "{header:webhook-id}.{timestamp}.{body}",
    timestamp_header="webhook-timestamp",
    tolerance_s=REPLAY_S,
    secret_key="utf8",  # noqa: S106  # how a key is written, none itself
    split=" ",
    pattern="v1,(.+)",
)
"""Standard Webhooks; its key is the client secret as it is written (§2, "Headers and signature")."""

_TEXT_MAX = 200
_KEPT_AS: Final = "bigcommerce/1"


def scheme(*, signed: bool, key: str) -> Scheme:
    """The signature and our static header; where a store does not sign (§2, "Unsure"), the header alone."""
    if not signed:
        return SharedSecret(KEY_HEADER)
    return AllOf((SIGNATURE, SharedSecret(KEY_HEADER, value=key))) if key else SIGNATURE


class _Data(msgspec.Struct):
    """`type` says what `id` numbers."""

    type: str
    id: RowId


class _Body(msgspec.Struct):
    scope: str
    producer: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Kept(Kept):
    """All that is kept of a delivery; `puzzle` is why it was not understood when it came."""

    scope: str
    number: int
    puzzle: str = ""


@frozen
class _Told:
    """What a delivery says: of which order or item (0: none), and why that is not understood."""

    scope: str
    number: int = 0
    puzzle: str = ""


def parse(delivery: Delivery, store_hash: str, *, signed: bool) -> Facts:
    """Read a verified delivery, or a `kept` body. Never raises.

    identity: the signed `webhook-id`, the same for every repetition. Without a signature there is none that could be
    trusted. Never the body's `hash`: two changes of one order may share it (§2).
    """
    told = _kept(delivery.body) or _read(delivery.body, store_hash)
    identity = delivery.headers.get("webhook-id", "")[:_TEXT_MAX] if signed else ""
    kept = msgspec.json.encode(_Kept(_KEPT_AS, told.scope, told.number, told.puzzle))
    if told.puzzle:
        return Facts(told.scope, identity, kept, puzzle=told.puzzle)
    if told.scope in ORDER_SCOPES:
        return Facts(told.scope, identity, kept, refetch=(str(told.number),))
    # A sale changed the stock: have a look at the orders. Every other change of stock is our own echo or somebody's
    # hand, which no order tells, and which the comparison of levels finds. Its number may be a level or a change
    # (§2): it is not read.
    return Facts(told.scope, identity, kept, look=told.scope in STOCK_BY_ORDER)


def _read(body: bytes, store_hash: str) -> _Told:
    if why := objection(body):
        return _Told("", puzzle=why)
    try:
        told = decode(body, _Body)
    except UnreadableError as exc:
        return _Told("", puzzle=f"it is no webhook of BigCommerce: {exc}")
    scope = _plain(told.scope)
    if told.producer != f"stores/{store_hash}":
        # Whose words these are is not ours to keep.
        return _Told(scope, puzzle="it comes from another store")
    if scope not in KNOWN:
        return _Told(scope, puzzle=f"scope {scope!r} is not one of ours")
    try:
        data = decode(told.data, _Data)
    except UnreadableError:
        return _Told(scope, puzzle="it does not say what it is about")
    if scope in ORDER_SCOPES and data.type != "order":
        return _Told(scope, data.id, "it is not about an order")
    return _Told(scope, data.id)


def _kept(body: bytes) -> _Told | None:
    """What was kept of an earlier delivery; None for everything else."""
    kept = reopened(body, _Kept, _KEPT_AS)
    if kept is None:
        return None
    about_order = kept.scope in ORDER_SCOPES and not kept.puzzle
    if about_order and not 0 < kept.number < 2**63:
        return None
    return _Told(_plain(kept.scope), kept.number, kept.puzzle)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_TEXT_MAX]
