"""What every listing of a channel showed before the channel went live: the newest such snapshot of each channel, with
as many listings as a catalogue may have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from daemon.storage.codec import number, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import META, PRIORS

PAGE = 200
"""Listings of one row."""


@frozen
class Prior:
    """A listing as it was. `level` is what it showed, in units."""

    listing: str
    sku: str
    level: int


@frozen
class Taken:
    """A snapshot that is whole: when it was complete (our clock), its listings, and the rows that hold them."""

    at_us: int
    listings: int
    pages: int


class Priors:
    """The kept snapshots."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def taken(self, channel: str) -> Taken | None:
        """The channel's snapshot; None where there is no whole one."""
        kept = self.store.env.get(META, _key(channel))
        return None if kept is None else Taken(*unpack(kept))

    async def keep(self, channel: str, seen: Sequence[Prior], at_us: int) -> Taken:
        """This takes the place of the channel's snapshot; returns when it is durable. A kill in between leaves the
        channel without one, never with a mixed one."""
        store = self.store
        store.delete(META, _key(channel))
        await store.flush()
        for key, _ in self._rows(channel):
            store.delete(PRIORS, key)
        pages = range(0, len(seen), PAGE)
        for page, start in enumerate(pages):
            rows = [(each.listing, each.sku, each.level) for each in seen[start : start + PAGE]]
            store.put(PRIORS, _page(channel, page), pack(rows))
            if page % 100 == 99:
                await store.flush()
        await store.flush()
        taken = Taken(at_us, len(seen), len(pages))
        store.put(META, _key(channel), pack((taken.at_us, taken.listings, taken.pages)))
        await store.flush()
        return taken

    def page(self, channel: str, page: int) -> list[Prior]:
        """The listings of one row, in the catalogue's order; none behind the last one."""
        taken = self.taken(channel)
        if taken is None or page >= taken.pages:
            return []
        row = self.store.env.get(PRIORS, _page(channel, page))
        return [Prior(*each) for each in unpack(row)] if row is not None else []

    def _rows(self, channel: str) -> Iterator[tuple[bytes, bytes]]:
        prefix = channel.encode() + b"\0"
        start = prefix
        while rows := self.store.env.scan(PRIORS, start, limit=500, prefix=prefix):
            yield from rows
            start = rows[-1][0] + b"\0"


def _key(channel: str) -> bytes:
    return b"priors " + channel.encode()


def _page(channel: str, page: int) -> bytes:
    return channel.encode() + b"\0" + number(page)
