"""What could not be applied or pushed: kept with its cause, its content and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Literal

from attrs import frozen

from daemon.storage.codec import number, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import DEAD

DeadKind = Literal["puzzle", "unlinked", "late", "poison", "push"]
"""puzzle: a signed webhook nobody understands · unlinked: an order line of an unknown SKU · late: older than
what has been settled · poison: an observation that crashed its actor · push: a level the channel refuses."""

NEXT_ACTION: dict[DeadKind, str] = {
    "puzzle": "if the channel changed its format, update onhand and retry; discard what does not concern stock",
    "unlinked": "give the item a SKU at the channel, reconcile the channel so that it is linked, then retry",
    "late": "compare with a count of this SKU, enter the count, then discard",
    "poison": "report it together with this letter; after the fix, retry",
    "push": "mend the listing at the channel, then retry",
}

DEAD_LETTERS_MAX: Final = 20_000
"""Letters that are kept, unless the configuration says otherwise."""

GIVE_WAY: Final[tuple[DeadKind, ...]] = ("puzzle", "late", "unlinked")
"""What gives way where there are too many, the least urgent first."""

AGING: Final[tuple[DeadKind, ...]] = ("puzzle", "late")
"""What holds no sale, and so need not be kept for ever."""


@frozen
class DeadLetter:
    """One letter. `content` is what a retry needs: the kept body of a delivery, or a packed message."""

    letter: int
    kind: DeadKind
    at_us: int
    channel: str
    sku: str
    cause: str
    subject: str
    """What it is about, in words: order and line, listing, topic."""
    content: bytes
    topic: str = ""
    delivery: int = 0
    same: bytes = b""
    """Equal for what need not be kept twice: a poll tells what it told before. Empty: nothing is equal to it."""

    @property
    def next_action(self) -> str:
        """What a person should do."""
        return NEXT_ACTION[self.kind]


@frozen
class _Known:
    """What is known of a letter without reading it."""

    kind: DeadKind
    at_us: int
    channel: str
    sku: str
    subject: str
    listing: str
    same: bytes


class DeadLetters:
    """The stored letters. They are few; every write goes with the transaction of what caused it.

    `most` bounds them, see `add`. Pushes are at most one a listing; a poison letter keeps its SKU from being raised,
    and holds what may be a sale: both stay until a person, or the channel, has mended what they are about."""

    def __init__(self, store: Store, most: int = DEAD_LETTERS_MAX) -> None:
        self.store = store
        self.most = most
        self.eased: Callable[[str], None] = lambda sku: None  # noqa: ARG005 - set by the registry
        """Told a SKU when a poison letter of it is gone."""
        self.stopped: Callable[[], None] = lambda: None
        """Told when more or fewer listings have a letter about a level that was refused."""
        self.let_go: Callable[[DeadKind, int, str, str, str], None] = lambda *_: None
        """Told kind, letter, channel, subject and why, when a letter gave way unread."""
        self._known: dict[int, _Known] = {}
        self._of: dict[DeadKind, dict[int, None]] = {kind: {} for kind in NEXT_ACTION}
        """By kind, the oldest first."""
        self._pushes: dict[tuple[str, str], int] = {}
        self._poison: dict[str, dict[int, str]] = {}
        self._kept: dict[tuple[DeadKind, bytes], int] = {}
        """Letters by what makes them the same."""
        after = 0
        while page := self.page(after):
            after = page[-1].letter
            for letter in page:
                self._index(letter)

    @property
    def count(self) -> int:
        """How many durable letters there are."""
        return self.store.env.count(DEAD)

    @property
    def total(self) -> int:
        """How many letters there are, durable or about to be."""
        return len(self._known)

    def add(
        self, kind: DeadKind, at_us: int, *, channel: str, sku: str, cause: str, subject: str,
        content: bytes, topic: str = "", delivery: int = 0, same: bytes = b"",
    ) -> DeadLetter:  # fmt: skip
        """Keep a letter with the next commit.

        Where there are more than `most`, the oldest of the least urgent kind gives way (it may be this one), and
        `let_go` is told: puzzles (the order feed tells what they were about), then late ones, then order lines of
        unknown SKUs; never a push or a poison letter.
        """
        letter = DeadLetter(
            self.store.next_dead_id(), kind, at_us, channel, sku, cause, subject, content, topic, delivery, same
        )
        self.store.put(DEAD, number(letter.letter), _dump(letter))
        if kind == "push":
            self.pushed(*_listing(letter))
        self._index(letter)
        if kind == "push":
            self.stopped()
        if len(self._known) > self.most:
            self._make_room()
        return letter

    def _make_room(self) -> None:
        kind = next((kind for kind in GIVE_WAY if self._of[kind]), None)
        if kind is not None:
            self._let_go(next(iter(self._of[kind])), f"there are more than {self.most}")

    def _let_go(self, letter: int, why: str) -> None:
        known = self._known[letter]
        self.remove(letter)
        self.let_go(known.kind, letter, known.channel, known.subject, why)

    def expire(self, before_us: int, limit: int = 200) -> int:
        """Let go of letters from before that moment which hold no sale, up to `limit`; returns how many."""
        old = [
            letter for kind in AGING for letter in islice(self._of[kind], limit)
            if self._known[letter].at_us < before_us
        ][:limit]  # fmt: skip
        for letter in old:
            self._let_go(letter, "it is older than dead letters of its kind are kept")
        return len(old)

    def subjects(self) -> Iterator[tuple[int, str, str]]:
        """Number, channel and subject of every letter, in the order they came."""
        return ((letter, known.channel, known.subject) for letter, known in self._known.items())

    def knows(self, letter: int) -> bool:
        """Is there this letter, durable or about to be?"""
        return letter in self._known

    def unlinked(self, channel: str) -> list[int]:
        """The letters about order lines of unknown SKUs of a channel, the oldest first."""
        return [letter for letter in self._of["unlinked"] if self._known[letter].channel == channel]

    def kept(self, kind: DeadKind, same: bytes) -> bool:
        """Is there a letter of this kind already that says the same?"""
        return bool(same) and (kind, same) in self._kept

    def _index(self, letter: DeadLetter) -> None:
        listing = letter.content.decode() if letter.kind == "push" else ""
        self._known[letter.letter] = _Known(
            letter.kind, letter.at_us, letter.channel, letter.sku, letter.subject, listing, letter.same
        )
        self._of.setdefault(letter.kind, {})[letter.letter] = None
        if letter.kind == "push":
            self._pushes[letter.channel, listing] = letter.letter
        if letter.kind == "poison":
            self._poison.setdefault(letter.sku, {})[letter.letter] = letter.subject
        if letter.same:
            self._kept[letter.kind, letter.same] = letter.letter

    def pushed(self, channel: str, listing: str) -> None:
        """This listing took a level, or has a newer letter: what an older letter says of it is over."""
        letter = self._pushes.get((channel, listing), 0)
        if letter:
            self.remove(letter)

    def pushes(self, channel: str) -> int:
        """How many listings of this channel have a letter about a level that was refused."""
        return sum(1 for owner, _ in self._pushes if owner == channel)

    def get(self, letter: int) -> DeadLetter | None:
        """One durable letter."""
        payload = self.store.env.get(DEAD, number(letter))
        return None if payload is None else _load(letter, payload)

    def remove(self, letter: int) -> None:
        """It was retried, discarded, or is over."""
        self.store.delete(DEAD, number(letter))
        known = self._known.pop(letter, None)
        if known is None:
            return
        del self._of[known.kind][letter]
        if self._kept.get((known.kind, known.same)) == letter:
            del self._kept[known.kind, known.same]
        if self._pushes.get((known.channel, known.listing)) == letter:
            del self._pushes[known.channel, known.listing]
            self.stopped()
        if known.kind == "poison":
            letters = self._poison[known.sku]
            del letters[letter]
            if not letters:
                del self._poison[known.sku]
            self.eased(known.sku)

    def poison(self, sku: str) -> str:
        """What a poison letter of this SKU is about, with its number; empty where there is none."""
        found = self._poison.get(sku)
        return next((f"dead letter {letter}: {subject}" for letter, subject in found.items()), "") if found else ""

    def page(self, after: int = 0, limit: int = 200) -> list[DeadLetter]:
        """Letters in the order they came."""
        rows = self.store.env.scan(DEAD, number(after + 1), limit=limit)
        return [_load(int.from_bytes(key, "big"), payload) for key, payload in rows]


def _listing(letter: DeadLetter) -> tuple[str, str]:
    return (letter.channel, letter.content.decode())


def _dump(letter: DeadLetter) -> bytes:
    return pack(
        (
            letter.kind, letter.at_us, letter.channel, letter.sku, letter.cause, letter.subject, letter.content,
            letter.topic, letter.delivery, letter.same,
        )
    )  # fmt: skip


def _load(letter: int, payload: bytes) -> DeadLetter:
    return DeadLetter(letter, *unpack(payload))
