"""Chances from a seed: the same seed and stream give the same chances on every machine."""

from __future__ import annotations

from hashlib import blake2b


class Dice:
    """An endless stream of chances in [0, 1). Streams of one seed are independent of each other."""

    def __init__(self, seed: int, stream: str) -> None:
        self._stream = stream
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin anew."""
        self._key = f"{seed}:{self._stream}:"
        self._drawn = 0

    def chance(self) -> float:
        self._drawn += 1
        digest = blake2b(f"{self._key}{self._drawn}".encode(), digest_size=6).digest()
        return int.from_bytes(digest) / (1 << 48)

    def hit(self, probability: float) -> bool:
        """True with `probability`. Always draws, so that one setting does not shift another's chances."""
        return self.chance() < probability

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.chance()
