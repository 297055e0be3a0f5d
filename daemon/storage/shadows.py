"""What is learned of channels in shadow, listing by listing; written behind the log. It is no truth but a report:
what the last two seconds before a kill would have added to it is missing."""

from __future__ import annotations

from attrs import astuple, define

from daemon.domain.shadow import Decided, Sale, Spell, Sums, Watched
from daemon.storage.behind import BehindTable
from daemon.storage.codec import pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import SHADOWS, pair


@define(eq=False)
class _Row:
    """A listing's row, or a channel's own: then it has sums."""

    watched: Watched | None = None
    sums: Sums | None = None


class Shadows:
    """The newest watch of each channel."""

    def __init__(self, store: Store) -> None:
        self.table: BehindTable[_Row] = BehindTable(store, SHADOWS, _dump, _load)

    def sums(self, channel: str) -> Sums:
        """What is known of the channel as a whole."""
        row = self.table.get(pair(channel, ""))
        return row.sums if row is not None and row.sums is not None else Sums()

    def keep_sums(self, channel: str, sums: Sums) -> None:
        """Changed."""
        self.table.set(pair(channel, ""), _Row(sums=sums))

    def get(self, channel: str, listing: str, since_us: int) -> Watched | None:
        """What the watch since then knows of a listing; None where that is nothing."""
        row = self.table.get(pair(channel, listing))
        watched = row.watched if row is not None else None
        return watched if watched is not None and watched.since_us == since_us else None

    def keep(self, channel: str, watched: Watched) -> None:
        """Changed."""
        self.table.set(pair(channel, watched.listing), _Row(watched=watched))

    def page(self, channel: str, after: str, limit: int) -> list[Watched]:
        """Listings of the newest watch, in the order of their rows, behind `after`."""
        since_us, found = self.sums(channel).since_us, list[Watched]()
        key = pair(channel, after)
        while len(found) < limit and (keys := self.table.keys(key, limit, pair(channel, ""))):
            for key in keys:
                row = self.table.get(key)
                if row is not None and row.watched is not None and row.watched.since_us == since_us:
                    found.append(row.watched)
        return found[:limit]

    def checkpointed(self) -> None:
        """A checkpoint is complete."""
        self.table.checkpointed()


def _dump(row: _Row) -> bytes:
    if row.sums is not None:
        return pack(astuple(row.sums))
    assert row.watched is not None
    return pack(astuple(row.watched))


def _load(payload: bytes) -> _Row:
    values = unpack(payload)
    if not isinstance(values[0], str):
        return _Row(sums=Sums(*values))
    listing, sku, since_us, wished, ceiling, shown, shown_us, pushes, recent, over, under, waiting, heard_us, lost = (
        values
    )
    return _Row(
        Watched(
            listing, sku, since_us, wished, ceiling, shown, shown_us, pushes, [Decided(*each) for each in recent],
            Spell(*over), Spell(*under), [Sale(*each) for each in waiting], heard_us, lost,
        )
    )  # fmt: skip
