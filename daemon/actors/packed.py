"""A SKU as plain values, its order lines packed one by one: a SKU that sells a lot has tens of thousands of them, of
which any moment concerns a handful.

A packed line takes a sixth of the memory of one in use; it is written again as it is; and a SKU is loaded without
adding up what its lines come to, as the sums are kept beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from sys import intern
from typing import Any

from daemon.domain.kits import dump_kit, load_kit
from daemon.domain.lines import Line
from daemon.domain.sku import Freeze, Sku
from daemon.domain.slot import dump_slot, load_slot
from daemon.domain.stock import LineKey, Plain, Stock, dump, dump_line, load_line, resumed, sums_of
from daemon.storage.codec import pack, unpack


class PackedLines(dict[LineKey, Line]):
    """Order lines by key, packed until somebody asks for them, and again when they are written.

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
        """All of them, each unpacked for the moment only."""
        found: Any
        for key, found in super().items():
            yield key, load_line(unpack(found[1])) if type(found) is tuple else found

    def values(self) -> Any:
        """See `items`."""
        return (line for _, line in self.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and dict(self.items()) == dict(other.items())

    __hash__ = None

    def newest(self) -> dict[str, int]:
        """The newest version by channel, without unpacking anything."""
        newest: dict[str, int] = {}
        found: Any
        for key, found in super().items():
            version = found[0] if type(found) is tuple else found.sightings[-1].version
            newest[key[0]] = max(newest.get(key[0], 0), version)
        return newest

    def packed(self) -> Iterator[tuple[str, str, str, int, bytes]]:
        """(channel, order, line, newest version, packed) of each, by key; from now on they stand packed."""
        found: Any
        for key in sorted(self):
            found = super().__getitem__(key)
            if type(found) is not tuple:
                found = (found.sightings[-1].version, pack(dump_line(found)))
                super().__setitem__(key, found)
            yield (*key, *found)


def blank(sku: str) -> Sku:
    """A SKU of which nothing is known."""
    return Sku(sku, Stock(lines=PackedLines()))


def plain_of(state: Sku) -> Plain:
    """The SKU as plain values; equal SKUs give equal ones."""
    stock, freeze = state.stock, state.freeze
    lines = stock.lines if isinstance(stock.lines, PackedLines) else PackedLines(stock.lines)
    return (
        dump(Stock(stock.anchors, {}, stock.adjustments, stock.settled_us, stock.settled)), sums_of(stock), (),
        (freeze.by, freeze.reason) if freeze else None,
        [dump_slot(slot) for _, slot in sorted(state.slots.items())],
        dump_kit(state.kit) if state.kit else None,
        # Five flat rows are read in a fraction of the time that as many small ones take.
        [*zip(*lines.packed(), strict=True)],
    )  # fmt: skip


def state_of(sku: str, plain: list[Any]) -> Sku:
    """The inverse of `plain_of`. Raises `TypeError`, `ValueError`, `LookupError` or `AttributeError` on anything
    else."""
    bare, sums, rows, freeze, slots, kit, *later = plain
    # Rows of (key, version, bytes) are from before the lines stood in columns.
    columns = later[0] if later else [*zip(*((*key, *rest) for key, *rest in rows), strict=True)]
    channels, orders, names, versions, packed = columns or [()] * 5
    keys = zip(map(intern, channels), orders, names, strict=True)
    lines = PackedLines(zip(keys, zip(versions, packed, strict=True), strict=True))  # type: ignore[arg-type]  # packed, see there
    state = Sku(sku, resumed(bare, lines, sums), kit=load_kit(kit) if kit else None)
    state.freeze = Freeze(frozen=True, by=freeze[0], reason=freeze[1]) if freeze else None
    for each in slots:
        slot = load_slot(each)
        slot.sku, slot.channel = sku, intern(slot.channel)
        state.slots[slot.channel, slot.listing] = slot
    return state
