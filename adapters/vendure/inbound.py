"""Webhooks: Vendure sends none by itself, `plugin/onhand-plugin.ts` does. Hints, no more: an order is fetched."""

from __future__ import annotations

from typing import Final

import msgspec
from attrs import frozen

from adapters.kept import Kept, reopened
from adapters.strict import UnreadableError, decode
from adapters.vendure.settings import is_id
from daemon.domain.channel import Delivery, Facts
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection

PLACED: Final = "order.placed"
CHANGED: Final = "order.changed"
TOPICS: Final = (PLACED, CHANGED)

SCHEME: Final = SignatureScheme(
    "webhook-signature",
    "{header:webhook-id}.{timestamp}.{body}",
    timestamp_header="webhook-timestamp",
    tolerance_s=300,
    secret_key="whsec",  # noqa: S106  # how a key is written, none itself
    split=" ",
    pattern="v1,(.+)",
)
"""Standard Webhooks. Each try is stamped and signed afresh, so five minutes are enough for clocks that differ; a
replay within them is told by its id, which is signed."""

_TEXT_MAX = 200
_KEPT_AS: Final = "vendure/1"


class _Hint(msgspec.Struct):
    topic: str
    order: str


class _Kept(Kept):
    """All that is kept of a delivery; `puzzle` is why it was not understood when it came."""

    topic: str
    order: str
    identity: str
    puzzle: str = ""


@frozen
class _Told:
    """What a delivery says."""

    topic: str
    order: str = ""
    puzzle: str = ""


def parse(delivery: Delivery) -> Facts:
    """Read a verified delivery, or a `kept` body. Never raises. identity: the signed `webhook-id`."""
    kept = _reopened(delivery.body)
    told = _Told(_plain(kept.topic), kept.order, kept.puzzle) if kept else _read(delivery.body)
    identity = kept.identity if kept else _plain(delivery.headers.get("webhook-id", ""))
    stored = msgspec.json.encode(_Kept(_KEPT_AS, told.topic, told.order, identity, told.puzzle))
    if told.puzzle:
        return Facts(told.topic, identity, stored, puzzle=told.puzzle)
    return Facts(told.topic, identity, stored, refetch=(told.order,))


def _read(body: bytes) -> _Told:
    if why := objection(body):
        return _Told("", puzzle=why)
    try:
        hint = decode(body, _Hint)
    except UnreadableError as exc:
        return _Told("", puzzle=f"it is no hint of the onhand plugin: {exc}")
    topic = _plain(hint.topic)
    if hint.topic not in TOPICS:
        return _Told(topic, puzzle=f"topic {topic!r} is not one of ours")
    if not is_id(hint.order):
        return _Told(topic, puzzle="it does not name its order")
    return _Told(topic, hint.order)


def _reopened(body: bytes) -> _Kept | None:
    """What was kept of an earlier delivery; None for everything else."""
    kept = reopened(body, _Kept, _KEPT_AS)
    if kept is None or not (kept.puzzle or (kept.topic in TOPICS and is_id(kept.order))):
        return None
    return kept


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_TEXT_MAX]
