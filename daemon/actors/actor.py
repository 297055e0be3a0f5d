"""One SKU's actor: its state, its mailbox, and how it is stored and loaded."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from attrs import define, field

from daemon.actors.packed import PackedLines, plain_of, state_of
from daemon.domain.kits import load_kit
from daemon.domain.sku import Freeze, Message, Sku
from daemon.domain.slot import load_slot
from daemon.domain.stock import load
from daemon.storage.codec import REMEDY, Cause, DamagedError, EmptyOrder, pack, unpack

MARK_EVERY = 256
"""Events of a SKU after which its state is kept as a mark: folding the log up to any moment begins at one."""


@define
class Unit:
    """What one source told at once: all of it is applied, and made durable in one transaction, or none.

    `finish` is called when everything is applied, in the same turn: it adds what must be durable with it.
    """

    parts: list[Part]
    finish: Any = None
    left: int = field(init=False)
    verdicts: list[str] = field(init=False)
    """One for each part, in the order of the parts."""
    done: Any = None
    """Set when the unit is applied; a `trio.Event`."""

    def __attrs_post_init__(self) -> None:
        self.left = len(self.parts)
        self.verdicts = [""] * self.left


class Part(NamedTuple):
    """One message for one SKU, and where it came from."""

    sku: str
    message: Message | EmptyOrder
    cause: Cause


@define
class Actor:
    """An active SKU. It owns a place in the registry's run queue only while its mailbox holds something."""

    state: Sku
    seq: int = 0
    """The newest event that is in the state."""
    mailbox: deque[tuple[Unit, int]] | None = None
    """What waits: a unit, and which of its parts."""
    last_us: int = 0
    crashes: list[int] = field(factory=list)
    dirty: bool = False
    unmarked: int = 0
    """Events since the newest mark (see `marks`)."""

    as_of: int = 0
    """The newest event of the whole log when the state was stored: of what concerns every SKU, this is in it, too."""

    def knows(self, seq: int) -> None:
        """Event `seq` is in the state."""
        self.seq = seq
        self.unmarked += 1

    def weighed_anew(self) -> None:
        """A count or a settlement went through every order line: where there are many, a mark is due, so that no look
        back has to do that again."""
        if len(self.state.stock.lines) > MARK_EVERY:
            self.unmarked = max(self.unmarked, MARK_EVERY)

    def post(self, unit: Unit, place: int) -> bool:
        """Put a part of a unit into the mailbox; True if it was empty, so that the actor must be queued."""
        if self.mailbox is None:
            self.mailbox = deque()
        self.mailbox.append((unit, place))
        return len(self.mailbox) == 1

    def idle(self) -> bool:
        """Nothing waits, nothing is unsaved, no listing needs anything: it may leave memory."""
        return not self.mailbox and not self.dirty and not any(slot.open() for slot in self.state.slots.values())


def dump_actor(actor: Actor) -> bytes:
    """The stored row of a SKU."""
    return pack((actor.seq, None, *plain_of(actor.state), actor.unmarked, actor.as_of))


def load_actor(sku: str, payload: bytes) -> Actor:
    """The inverse of `dump_actor`. Raises `DamagedError` on anything else."""
    try:
        return _load_actor(sku, payload)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise DamagedError(f"the row of SKU {sku!r} cannot be read ({error}): {REMEDY}") from None


def _load_actor(sku: str, payload: bytes) -> Actor:
    seq, stock, *rest = unpack(payload)
    if stock is not None:
        return _load_unpacked(sku, seq, stock, *rest)
    *plain, unmarked, as_of = rest
    return Actor(state_of(sku, plain), seq, unmarked=unmarked, as_of=as_of)


def _load_unpacked(sku: str, seq: int, stock: Any, freeze: Any, slots: Any, *later: Any) -> Actor:
    """A row from before lines were packed one by one."""
    kit = later[0] if later else None
    # A row from before there were marks is due for one.
    unmarked, as_of = later[1:] if len(later) > 1 else (MARK_EVERY, seq)
    state = Sku(sku, load(stock), kit=load_kit(kit) if kit else None)
    state.stock.lines = PackedLines(state.stock.lines)
    state.freeze = Freeze(frozen=True, by=freeze[0], reason=freeze[1]) if freeze else None
    for plain in slots:
        slot = load_slot(plain)
        state.slots[slot.channel, slot.listing] = slot
    return Actor(state, seq, unmarked=unmarked, as_of=as_of)
