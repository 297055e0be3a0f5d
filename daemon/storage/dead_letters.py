"""What could not be applied or pushed: kept with its cause, its content and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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


class DeadLetters:
    """The stored letters. They are few; every write goes with the transaction of what caused it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.eased: Callable[[str], None] = lambda sku: None  # noqa: ARG005 - set by the registry
        """Told a SKU when a poison letter of it is gone."""
        self.stopped: Callable[[], None] = lambda: None
        """Told when more or fewer listings have a letter about a level that was refused."""
        self._pushes: dict[tuple[str, str], int] = {}
        self._poison: dict[str, dict[int, str]] = {}
        self._kept: dict[tuple[DeadKind, bytes], int] = {}
        """Letters by what makes them the same."""
        after = 0
        while page := self.page(after):
            after = page[-1].letter
            self._pushes.update({_listing(letter): letter.letter for letter in page if letter.kind == "push"})
            for letter in page:
                self._index(letter)

    @property
    def count(self) -> int:
        """How many durable letters there are."""
        return self.store.env.count(DEAD)

    def add(
        self, kind: DeadKind, at_us: int, *, channel: str, sku: str, cause: str, subject: str,
        content: bytes, topic: str = "", delivery: int = 0, same: bytes = b"",
    ) -> DeadLetter:  # fmt: skip
        """Keep a letter with the next commit."""
        letter = DeadLetter(
            self.store.next_dead_id(), kind, at_us, channel, sku, cause, subject, content, topic, delivery, same
        )
        self.store.put(DEAD, number(letter.letter), _dump(letter))
        if kind == "push":
            self.pushed(*_listing(letter))
            self._pushes[_listing(letter)] = letter.letter
            self.stopped()
        self._index(letter)
        return letter

    def kept(self, kind: DeadKind, same: bytes) -> bool:
        """Is there a letter of this kind already that says the same?"""
        return bool(same) and (kind, same) in self._kept

    def _index(self, letter: DeadLetter) -> None:
        if letter.kind == "poison":
            self._poison.setdefault(letter.sku, {})[letter.letter] = letter.subject
        if letter.same:
            self._kept[letter.kind, letter.same] = letter.letter

    def pushed(self, channel: str, listing: str) -> None:
        """This listing took a level, or has a newer letter: what an older letter says of it is over."""
        letter = self._pushes.pop((channel, listing), 0)
        if letter:
            self.store.delete(DEAD, number(letter))
            self.stopped()

    def pushes(self, channel: str) -> int:
        """How many listings of this channel have a letter about a level that was refused."""
        return sum(1 for owner, _ in self._pushes if owner == channel)

    def get(self, letter: int) -> DeadLetter | None:
        """One durable letter."""
        payload = self.store.env.get(DEAD, number(letter))
        return None if payload is None else _load(letter, payload)

    def remove(self, letter: int) -> None:
        """It was retried or discarded."""
        self.store.delete(DEAD, number(letter))
        self._kept = {key: other for key, other in self._kept.items() if other != letter}
        pushes = {key: other for key, other in self._pushes.items() if other != letter}
        if len(pushes) != len(self._pushes):
            self._pushes = pushes
            self.stopped()
        for sku, letters in list(self._poison.items()):
            if letters.pop(letter, None) is not None:
                if not letters:
                    del self._poison[sku]
                self.eased(sku)

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
