"""Marks: a SKU's state as it was at an event, from which folding the log up to any later moment begins.

The order lines of a mark are decoded one by one, when they are asked for: a SKU that sells a lot has tens of
thousands, of which the few events behind a mark concern a handful.
"""

from __future__ import annotations

import zlib
from typing import Any

from attrs import frozen

from daemon.domain.kits import dump_kit, load_kit
from daemon.domain.lines import Line
from daemon.domain.sku import Freeze, Sku
from daemon.domain.slot import dump_slot, load_slot
from daemon.domain.stock import LineKey, Stock, dump, dump_line, load_line, resumed, sums_of
from daemon.storage.codec import REMEDY, DamagedError, number, pack, unpack
from daemon.storage.environment import Environment
from daemon.storage.tables import BASES, MARKS


class PackedLines(dict[LineKey, Line]):
    """Order lines by key, packed until somebody asks for them.

    The packed ones stand in the dict itself as (newest version, bytes), so its size and order are the lines'."""

    def __getitem__(self, key: LineKey) -> Line:
        found: Any = super().__getitem__(key)
        if type(found) is not tuple:
            return found  # type: ignore[no-any-return]  # else it is a Line
        line = load_line(unpack(found[1]))
        super().__setitem__(key, line)
        return line

    def get(self, key: LineKey, default: Any = None) -> Any:
        """As of any dict."""
        found: Any = super().get(key, default)
        return self[key] if type(found) is tuple else found

    def pop(self, key: LineKey, *default: Any) -> Any:
        """As of any dict."""
        if key in self:
            line = self[key]
            del self[key]
            return line
        return super().pop(key, *default)

    def items(self) -> Any:
        """All of them, decoded."""
        self._unpack()
        return super().items()

    def values(self) -> Any:
        """All of them, decoded."""
        self._unpack()
        return super().values()

    def _unpack(self) -> None:
        for key in self:
            self[key]

    def newest(self) -> dict[str, int]:
        """The newest version by channel, without decoding anything."""
        newest: dict[str, int] = {}
        found: Any
        for key, found in super().items():
            version = found[0] if type(found) is tuple else found.sightings[-1].version
            newest[key[0]] = max(newest.get(key[0], 0), version)
        return newest


def mark_key(sku: str, seq: int) -> bytes:
    """The key of a mark: true from event `seq` on, until the SKU's next one."""
    return sku.encode() + b"\0" + number(seq)


def dump_mark(state: Sku) -> bytes:
    """The mark of a SKU as it is now."""
    stock, freeze = state.stock, state.freeze
    bare = Stock(stock.anchors, {}, stock.adjustments, stock.settled_us, stock.settled)
    plain = (
        dump(bare), sums_of(stock), (),
        (freeze.by, freeze.reason) if freeze else None,
        [dump_slot(slot) for _, slot in sorted(state.slots.items())],
        dump_kit(state.kit) if state.kit else None,
        _columns(stock.lines),
    )  # fmt: skip
    return zlib.compress(pack(plain), 1)


def _columns(lines: dict[LineKey, Line]) -> list[tuple[Any, ...]]:
    """Channels, orders, lines, newest versions and packed lines: five flat rows are read in a fraction of the time
    that as many small ones take. A line that nobody unpacked stays as it is."""
    return [*zip(*((*key, *_packed(found)) for key, found in dict.items(lines)), strict=True)]


def _packed(found: Any) -> tuple[int, bytes]:
    """A line as `PackedLines` holds it."""
    return found if type(found) is tuple else (found.sightings[-1].version, pack(dump_line(found)))


def _lines(columns: list[Any]) -> PackedLines:
    """The inverse of `_columns`."""
    channels, orders, names, versions, packed = columns or [()] * 5
    keys = zip(channels, orders, names, strict=True)
    return PackedLines(zip(keys, zip(versions, packed, strict=True), strict=True))  # type: ignore[arg-type]  # packed, see there


def load_mark(sku: str, payload: bytes) -> Sku:
    """The inverse of `dump_mark`. Raises `DamagedError` on anything else."""
    try:
        bare, sums, rows, freeze, slots, kit, *later = unpack(zlib.decompress(payload))
        # Rows of (key, version, bytes) are from before the lines stood in columns.
        lines = _lines(later[0] if later else [*zip(*((*key, *rest) for key, *rest in rows), strict=True)])
        state = Sku(sku, resumed(bare, lines, sums), kit=load_kit(kit) if kit else None)
        state.freeze = Freeze(frozen=True, by=freeze[0], reason=freeze[1]) if freeze else None
        for plain in slots:
            slot = load_slot(plain)
            state.slots[slot.channel, slot.listing] = slot
    except (TypeError, ValueError, LookupError, AttributeError, zlib.error) as error:
        raise DamagedError(f"a mark of SKU {sku!r} cannot be read ({error}): {REMEDY}") from None
    return state


def newest_mark(env: Environment, sku: str, until: int) -> tuple[int, Sku] | None:
    """The newest mark up to event `until`, with its event; None where there is none."""
    prefix = sku.encode() + b"\0"
    rows = env.scan(MARKS, prefix + number(until), limit=1, prefix=prefix, reverse=True)
    if not rows or len(rows[0][0]) != len(prefix) + 8:
        return None
    return int.from_bytes(rows[0][0][-8:], "big"), load_mark(sku, rows[0][1])


@frozen
class Base:
    """What the events up to `seq` made of a SKU, the newest of which that is its own is `newest`."""

    seq: int
    newest: int
    state: Sku

    def dump(self) -> bytes:
        """Its row."""
        return pack((self.seq, self.newest, dump_mark(self.state)))


def base_of(env: Environment, sku: str) -> Base | None:
    """What the compacted events made of a SKU; None where none of it went."""
    payload = env.get(BASES, sku.encode())
    if payload is None:
        return None
    seq, newest, mark = unpack(payload)
    return Base(seq, newest, load_mark(sku, mark))


def first_mark(env: Environment, sku: str) -> int:
    """The event of the oldest mark; 0 where there is none."""
    prefix = sku.encode() + b"\0"
    rows = env.scan(MARKS, prefix, limit=1, prefix=prefix)
    return int.from_bytes(rows[0][0][-8:], "big") if rows else 0
