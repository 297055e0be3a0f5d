"""Which SKU a listing is: learned from catalogues by equal seller SKU, or said by a person; written behind the log.

A person's word wins over what a catalogue says, also the word that a listing is no SKU at all.
"""

from __future__ import annotations

from attrs import frozen

from daemon.storage.behind import BehindTable
from daemon.storage.store import Store
from daemon.storage.tables import LINKS, pair


@frozen
class Linked:
    """sku: empty where a person said that the listing is none · by: that person; empty: an equal seller SKU"""

    sku: str
    by: str = ""


class Links:
    """(channel, listing) -> SKU."""

    def __init__(self, store: Store) -> None:
        self._table: BehindTable[Linked] = BehindTable(store, LINKS, _dump, load_link)

    def get(self, channel: str, listing: str) -> Linked | None:
        """What is known of the listing; None where nothing is."""
        return self._table.get(pair(channel, listing)) if listing else None

    def sku_of(self, channel: str, listing: str) -> str:
        """The linked SKU, or the empty string."""
        known = self.get(channel, listing)
        return known.sku if known is not None else ""

    def barred(self, channel: str, listing: str) -> bool:
        """Did a person say that this listing is no SKU?"""
        known = self.get(channel, listing)
        return known is not None and not known.sku

    def link(self, channel: str, listing: str, sku: str) -> None:
        """From now on this listing is that SKU, unless a person says otherwise."""
        known = self.get(channel, listing)
        if known is None or (not known.by and known.sku != sku):
            self._table.set(pair(channel, listing), Linked(sku))

    def say(self, channel: str, listing: str, sku: str, by: str) -> None:
        """A person says so; the empty SKU: it is none."""
        self._table.set(pair(channel, listing), Linked(sku, by))

    def page(self, after: bytes, limit: int, channel: str) -> list[tuple[bytes, Linked]]:
        """Rows by key, behind `after`; of one channel if `channel`."""
        prefix = pair(channel, "") if channel else b""
        keys = self._table.keys(max(after, prefix), limit, prefix)
        return [(key, known) for key in keys if (known := self._table.get(key)) is not None]

    def checkpointed(self) -> None:
        """A checkpoint is complete."""
        self._table.checkpointed()


def _dump(link: Linked) -> bytes:
    return f"{link.sku}\0{link.by}".encode() if link.by else link.sku.encode()


def load_link(payload: bytes) -> Linked:
    """A row: the SKU, and behind a NUL, which no SKU holds, the person who said so."""
    sku, _, by = payload.decode().partition("\0")
    return Linked(sku, by)
