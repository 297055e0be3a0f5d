"""What a fuzz target is, and how raw bytes become the values it feeds to a parser."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from attrs import frozen

T = TypeVar("T")


def _replace_or_pass(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeDecodeError)
    try:
        return codecs.lookup_error("surrogatepass")(error)
    except UnicodeDecodeError:
        return codecs.lookup_error("replace")(error)


codecs.register_error("surrogatepass_or_replace", _replace_or_pass)


@frozen
class Target:
    """One parser under fuzz: `run` takes any bytes, and raises only where the parser breaks its contract.

    dictionary: tokens that the mutator may put in · seeds: inputs beside the kept corpus, made when asked for
    """

    name: str
    run: Callable[[bytes], None]
    about: str
    max_len: int = 4_096
    dictionary: tuple[bytes, ...] = ()
    seeds: Callable[[], Iterable[bytes]] = tuple


class Cut:
    """Takes values off the front of fuzz bytes. Past the end everything is zero: every input means something."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def flag(self) -> bool:
        return bool(self.byte() & 1)

    def number(self) -> int:
        """Two bytes, big endian."""
        return self.byte() << 8 | self.byte()

    def field(self) -> bytes:
        """Up to 255 bytes, their length before them."""
        return self.exactly(self.byte())

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        at, self._at = self._at, self._at + size
        return self._data[at : at + size]

    def latin(self) -> str:
        """What a header's value may be."""
        return self.field().decode("latin-1")

    def text(self) -> str:
        """Any text; the bytes ED A0 80 and the like become lone surrogates."""
        return self.field().decode("utf-8", "surrogatepass_or_replace")

    def rest(self) -> bytes:
        at, self._at = self._at, len(self._data)
        return self._data[at:]


def line(text: bytes | str) -> bytes:
    """A field as `Cut.field` reads it; for seeds."""
    raw = text.encode("latin-1") if isinstance(text, str) else text
    assert len(raw) < 256
    return bytes([len(raw)]) + raw
