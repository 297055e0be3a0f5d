"""Deliveries seen before: a cheap first filter, never what correctness rests on.

The digest is stored with the delivery in the acknowledging transaction, under the delivery's growing number;
the look-up by digest is written behind and rebuilt from the newest deliveries at start.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from attrs import define, field

from daemon.storage.codec import number, unpack
from daemon.storage.store import Store
from daemon.storage.tables import DEDUP, DELIVERIES, META


def digest(channel: str, identity: str) -> bytes:
    """16 bytes that stand for one delivery of one channel."""
    return blake2b(f"{channel}\0{identity}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


@define
class SeenDeliveries:
    """The deliveries of the last days."""

    store: Store
    _recent: dict[bytes, int] = field(factory=dict)
    _waiting: dict[bytes, int] = field(factory=dict)

    def load(self) -> None:
        """Know again the deliveries that the written-behind table may not hold."""
        _, after = self.store.checkpointed()
        while rows := self.store.env.scan(DELIVERIES, number(after + 1), limit=1_000):
            for key, payload in rows:
                after = int.from_bytes(key, "big")
                self._add(unpack(payload)[2], after)

    def known(self, key: bytes) -> int:
        """The number of the delivery seen before, or 0."""
        if key in self._recent:
            return self._recent[key]
        stored = self.store.env.get(DEDUP, key)
        return int.from_bytes(stored, "big") if stored else 0

    def add(self, key: bytes, delivery: int) -> None:
        """This delivery is being stored."""
        self._add(key, delivery)

    def _add(self, key: bytes, delivery: int) -> None:
        if key:
            self._recent[key] = delivery
            self.store.behind[DEDUP, key] = self._encoder(key, delivery)

    def _encoder(self, key: bytes, delivery: int) -> Callable[[], bytes]:
        def encode() -> bytes:
            self._waiting[key] = delivery
            return number(delivery)

        return encode

    def checkpointed(self) -> None:
        """A checkpoint is complete: the table knows what it wrote."""
        for key, delivery in self._waiting.items():
            if self._recent.get(key) == delivery:
                del self._recent[key]
        self._waiting.clear()

    def expire(self, dedup_before_us: int, body_before_us: int, most: int, limit: int = 500) -> int:
        """Forget digests received before the first moment, and bodies received before the second or beyond `most`,
        oldest first, up to `limit` of each, no body before its digest; returns how many of both."""
        stored = self.store.env.get(META, b"dedup expired")
        done = int.from_bytes(stored, "big") if stored else 0
        gone = 0
        for key, payload in self.store.env.scan(DELIVERIES, number(done + 1), limit=limit):
            _, _, name, received_us, _ = unpack(payload)
            if received_us >= dedup_before_us:
                break
            if name:
                self.store.delete(DEDUP, name)
            self.store.put(META, b"dedup expired", key)
            gone += 1
        beyond = self.store.env.count(DELIVERIES) - most
        for key, payload in self.store.env.scan(DELIVERIES, limit=limit):
            received_us = unpack(payload)[3]
            if received_us >= dedup_before_us or (received_us >= body_before_us and beyond <= 0):
                break
            self.store.delete(DELIVERIES, key)
            beyond -= 1
            gone += 1
        return gone
