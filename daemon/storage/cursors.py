"""How far each channel's order feed has been read, and the orders to be fetched again."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from daemon.storage.codec import number, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import CURSORS, REFETCH, pair


@frozen
class Cursor:
    """`position_us`: the newest change seen, on the channel's clock; `polled_us`: when the last poll that reached the
    end of the feed began, on ours. Zero: never."""

    position_us: int = 0
    polled_us: int = 0


class Cursors:
    """Cursors move only in, or after, the transaction that holds what lies before them.

    A poll that found nothing moves its cursor in memory, and on disk with the next checkpoint: after a crash the same
    nothing is read once more.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, Cursor] = {}
        self._drifted: dict[str, None] = {}
        self.moved: Callable[[str], None] = lambda channel: None  # noqa: ARG005 - set by whoever assembles
        """Told the channel whose orders have been read further, in the turn in which that is so."""

    def get(self, channel: str) -> Cursor:
        """The channel's cursor; all zero before the first poll."""
        if channel not in self._known:
            stored = self.store.env.get(CURSORS, channel.encode())
            self._known[channel] = Cursor(*unpack(stored)) if stored else Cursor()
        return self._known[channel]

    def move(self, channel: str, cursor: Cursor) -> None:
        """Write the cursor with the next commit; if all that lies before it is durable already, with a later one."""
        self._known[channel] = cursor
        self._drifted[channel] = None
        if not self.store.settled():
            self.catch_up()
        self.moved(channel)

    def catch_up(self) -> None:
        """Write the cursors that moved alone with the next commit."""
        for channel in self._drifted:
            cursor = self._known[channel]
            self.store.put(CURSORS, channel.encode(), pack((cursor.position_us, cursor.polled_us)))
        self._drifted.clear()


class Refetches:
    """Orders to be fetched again, also after a restart: at once, because what was told of them contradicts itself or
    says no more than their name; or at a moment to come, because of what may become of them untold."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._wanted: dict[str, dict[str, int]] = {}
        for key, payload in store.env.scan(REFETCH, limit=100_000):
            channel, _, order = key.decode("utf-8", "replace").partition("\0")
            self._wanted.setdefault(channel, {})[order] = int.from_bytes(payload, "big")

    def ask(self, channel: str, order: str, now_us: int) -> None:
        """Fetch this order; durable with the next commit."""
        self._wanted.setdefault(channel, {})[order] = now_us
        self.store.put(REFETCH, pair(channel, order), number(now_us))

    def remind(self, channel: str, order: str, now_us: int, due_us: int = 0) -> None:
        """Fetch this order at `due_us`, unless it is to be fetched at once anyway; 0: no need any more. Durable with
        the next commit."""
        known = self._wanted.get(channel, {}).get(order)
        if known is not None and known <= now_us:
            return
        if due_us:
            self.ask(channel, order, due_us)
        elif known is not None:
            self.done(channel, order, known)

    def wanted(self, channel: str, now_us: int) -> list[tuple[str, int]]:
        """(order, asked at) of a channel by now, in the order they were asked for."""
        return [each for each in self._wanted.get(channel, {}).items() if each[1] <= now_us]

    def done(self, channel: str, order: str, asked_us: int) -> None:
        """It was fetched, by a request that left after `asked_us`; a newer wish for it stays."""
        if self._wanted.get(channel, {}).get(order) == asked_us:
            del self._wanted[channel][order]
            self.store.delete(REFETCH, pair(channel, order))
