"""Which SKU a listing is: learned from catalogues by equal seller SKU, written behind the log."""

from __future__ import annotations

from daemon.storage.behind import BehindTable
from daemon.storage.store import Store
from daemon.storage.tables import LINKS, pair


class Links:
    """(channel, listing) -> SKU."""

    def __init__(self, store: Store) -> None:
        self._table: BehindTable[str] = BehindTable(store, LINKS, str.encode, bytes.decode)

    def sku_of(self, channel: str, listing: str) -> str:
        """The linked SKU, or the empty string."""
        return self._table.get(pair(channel, listing)) or "" if listing else ""

    def link(self, channel: str, listing: str, sku: str) -> None:
        """From now on this listing is that SKU."""
        if self.sku_of(channel, listing) != sku:
            self._table.set(pair(channel, listing), sku)

    def checkpointed(self) -> None:
        """A checkpoint is complete."""
        self._table.checkpointed()
