"""How values become bytes: sealed rows and compact, versioned records. The formats are golden-tested.

A row's value is `crc32(key + payload)` (4 bytes, big endian) followed by the payload, a msgpack array: LMDB
itself does not notice a flipped bit, a seal over key and payload does, also when two rows change places.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import fields, frozen

from daemon.domain.conditions import Compacted, Condition, Estranged, FeedRead, Root, Rules, Standing, Stuck
from daemon.domain.instants import Instant
from daemon.domain.kits import Assemble, ComponentLevel, load_recipe
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.sku import (
    Confirmed,
    Doubted,
    Failed,
    Freeze,
    Hold,
    Link,
    Message,
    Postponed,
    ReadBack,
    Restore,
    Revive,
    Sent,
    Settle,
)
from daemon.domain.stock import Plain, dump_instant, load_instant
from daemon.storage.files import StoreError

REMEDY = "stop the daemon and restore a backup with `onhand restore`"

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class DamagedError(StoreError):
    """A stored row is not what was written: the file is damaged, and to go on would be to count wrongly. `key`: of
    the row, where it is known which."""

    def __init__(self, sentence: str, key: bytes = b"") -> None:
        super().__init__(sentence)
        self.key = key


def seal(key: bytes, payload: bytes) -> bytes:
    """The stored form of a row's value."""
    return zlib.crc32(payload, zlib.crc32(key)).to_bytes(4, "big") + payload


def unseal(key: bytes, value: bytes, table: str) -> bytes:
    """The payload of a stored value; raises `DamagedError` with the table and key if the seal does not hold."""
    payload = value[4:]
    if len(value) < 4 or zlib.crc32(payload, zlib.crc32(key)) != int.from_bytes(value[:4], "big"):
        raise DamagedError(f"the row {key!r} of table {table} is damaged (its checksum does not hold): {REMEDY}", key)
    return payload


def pack(value: object) -> bytes:
    """A plain value (tuples, lists, str, bytes, int, float, bool, None) as msgpack."""
    return _pack(value)


def unpack(payload: bytes) -> Any:
    """The inverse of `pack`; sequences come back as lists. Raises `DamagedError` on anything else."""
    try:
        return _unpack(payload)
    # A text that is not UTF-8, nested without end, or said to be longer than memory.
    except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(f"a stored value cannot be decoded ({error}): {REMEDY}") from None


def number(value: int) -> bytes:
    """A key that sorts as its number does: 8 bytes, big endian."""
    return value.to_bytes(8, "big")


# --- log records ---------------------------------------------------------------------------------------------


@frozen
class Cause:
    """Why a record is there. `delivery` is the number of the stored webhook (0: none); `by` is how the fact came:
    webhook, poll, catalogue, push, readback, start, or the person on the admin socket."""

    by: str
    channel: str = ""
    delivery: int = 0
    order: str = ""
    line: str = ""


@frozen
class EmptyOrder:
    """A version of an order that lists no line at all; kept so that an older version cannot bring lines back."""

    channel: str
    order: str
    version: int
    read_us: int
    at: Instant


Aside = EmptyOrder | Condition
"""What stands in the log and changes no SKU."""
Entry = Message | Aside


@frozen
class Record:
    """One entry of the event log: everything needed to explain it and to apply it again."""

    seq: int
    at_us: int
    sku: str
    message: Entry
    cause: Cause
    before: int | None = None
    after: int | None = None
    note: str = ""


# The place in this tuple is the type's number on disk: append only.
_TYPES: tuple[type, ...] = (
    OrderLine,
    StockCount,
    Adjustment,
    LevelReport,
    Sent,
    Confirmed,
    Failed,
    Doubted,
    ReadBack,
    Freeze,
    Settle,
    Revive,
    EmptyOrder,
    Assemble,
    ComponentLevel,
    Hold,
    Restore,
    Rules,
    Standing,
    FeedRead,
    Stuck,
    Root,
    Postponed,
    Estranged,
    Link,
    Compacted,
)
_NUMBER = {kind: place for place, kind in enumerate(_TYPES)}

# The order of fields on disk, the rarely set ones last: trailing defaults are not stored. `sku` stands in the
# record itself. Append only.
_ORDER: dict[type, tuple[str, ...]] = {
    OrderLine: (
        "channel", "order", "line", "at", "version", "ordered", "placed", "takes_at_placement",
        "listing", "cancelled", "restocked", "fulfilled", "read_us", "location", "kit", "recipe",
    ),
    StockCount: ("source", "quantity", "at", "kind", "location", "reference"),
    Adjustment: ("source", "reference", "quantity", "at", "location", "reason"),
    LevelReport: ("channel", "listing", "level", "at", "version", "title", "read_us", "included"),
}  # fmt: skip

_INSTANTS = {"at", "placed"}


def _layout(kind: type) -> tuple[tuple[str, object], ...]:
    defaults = {}
    for each in fields(kind):
        defaults[each.name] = each.default
    names = _ORDER.get(kind, tuple(defaults))
    missing = set(defaults) - set(names) - {"sku"}
    assert not missing, f"{kind.__name__}: {missing} would not be stored"
    return tuple((name, defaults[name]) for name in names)


_LAYOUT = {kind: _layout(kind) for kind in _TYPES}
_HAS_SKU = {kind for kind in _TYPES if any(each.name == "sku" for each in fields(kind))}


def dump_message(message: Entry) -> Plain:
    """A message as a plain tuple: its type's number, then its fields without trailing defaults."""
    kind = type(message)
    layout = _LAYOUT[kind]
    values = [getattr(message, name) for name, _ in layout]
    while values and values[-1] == layout[len(values) - 1][1]:
        values.pop()
    for place, value in enumerate(values):
        if isinstance(value, Instant):
            values[place] = dump_instant(value)
    return (_NUMBER[kind], *values)


def load_message(plain: list[Any], sku: str) -> Entry:
    """The inverse of `dump_message`."""
    kind = _TYPES[plain[0]]
    given: dict[str, Any] = {}
    for (name, _), value in zip(_LAYOUT[kind], plain[1:], strict=False):
        given[name] = load_instant(value) if name in _INSTANTS and value is not None else value
    if "recipe" in given:
        given["recipe"] = load_recipe(given["recipe"])
    if kind in _HAS_SKU:
        given["sku"] = sku
    make: Callable[..., Entry] = kind
    return make(**given)


RULES, STANDING, ROOT, ESTRANGED = "\x01rules", "\x01standing", "\x01root", "\x01estranged"
COMPACTED = "\x01compacted"
FEED, STUCK = "\x01read ", "\x01stuck "
"""Names under which the log's index finds what concerns no SKU's state; no SKU begins with a control character."""

_INDEX: dict[type, Callable[[str, Any], str]] = {
    EmptyOrder: lambda sku, message: "",  # noqa: ARG005 - all have one shape
    Rules: lambda sku, message: RULES,  # noqa: ARG005 - as above
    Standing: lambda sku, message: STANDING,  # noqa: ARG005 - as above
    Estranged: lambda sku, message: ESTRANGED,  # noqa: ARG005 - as above
    Root: lambda sku, message: ROOT,  # noqa: ARG005 - as above
    Compacted: lambda sku, message: COMPACTED,  # noqa: ARG005 - as above
    FeedRead: lambda sku, message: FEED + message.channel,  # noqa: ARG005 - as above
    Stuck: lambda sku, message: STUCK + sku,  # noqa: ARG005 - as above
}


def indexed_as(sku: str, message: Entry) -> str:
    """The name under which the log's index finds an event: its SKU, or one of the above; "" for none."""
    name = _INDEX.get(type(message))
    return sku if name is None else name(sku, message)


def dump_record(record: Record) -> bytes:
    """A log record's payload; its sequence number is its key."""
    cause = record.cause
    return _pack(
        (
            record.at_us,
            record.sku,
            dump_message(record.message),
            (cause.by, cause.channel, cause.delivery, cause.order, cause.line),
            record.before,
            record.after,
            record.note,
        )
    )


def load_record(seq: int, payload: bytes) -> Record:
    """The inverse of `dump_record`."""
    try:
        at_us, sku, message, cause, before, after, note = unpack(payload)
        return Record(seq, at_us, sku, load_message(message, sku), Cause(*cause), before, after, note)
    except (TypeError, ValueError, LookupError) as error:
        raise DamagedError(f"log record {seq} cannot be read ({error}): {REMEDY}") from None
