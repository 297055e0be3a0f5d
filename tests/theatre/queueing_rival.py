"""Another rival, with other sins: it changes stock only for orders that it has seen created, in the order in which
messages come, and pushes through a queue whose jobs are unique: one for a listing, remembered for a while after it is
done. A job carries all the lines of an order in one call, and is never tried again.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from naive_rival import Rival, main

REMEMBERED_S = 5.0
"""So long is a finished job of the same listing held to be the same job."""


class QueueingRival(Rival):
    """The naive one, with a queue."""

    def __init__(self, stage: dict[str, Any]) -> None:
        super().__init__(stage)
        self.orders: dict[str, dict[str, int]] = {}
        self.jobs: dict[tuple[str, str], float] = {}

    def webhook(self, delivery: str, message: dict[str, Any]) -> None:
        """What an order takes more, or less, than when it was last heard of."""
        if delivery in self.seen or "order" not in message:
            return
        self.seen.add(delivery)
        order = message["order"]
        if order["id"] not in self.orders and order["version"] > 1:
            return  # a change of an order that does not exist
        known = self.orders.setdefault(order["id"], {})
        moved = {}
        for line in order["lines"]:
            taken = line["ordered"] - line["cancelled"] - line["restocked"]
            moved[line["sku"]] = known.get(line["sku"], 0) - taken
            known[line["sku"]] = taken
        self.move_all({sku: units for sku, units in moved.items() if units})

    def move(self, sku: str, units: int) -> None:
        self.move_all({sku: units})

    def move_all(self, moved: dict[str, int]) -> None:
        """Enqueue one job a storefront."""
        with self.lock:
            for sku, units in moved.items():
                self.stock[sku] = max(0, self.stock[sku] + units)
            for store, url in self.stores.items():
                items = [self.item(store, sku) for sku in moved if self.takes(store, sku)]
                threading.Thread(target=self.job, args=(url, items)).start()

    def takes(self, store: str, sku: str) -> bool:
        """Is there no such job yet, and none remembered?"""
        now = time.monotonic()
        if (store, sku) not in self.listings or self.jobs.get((store, sku), 0.0) > now:
            return False
        self.jobs[store, sku] = now + REMEMBERED_S
        return True

    def item(self, store: str, sku: str) -> dict[str, Any]:
        return {"listing": self.listings[store, sku], "quantity": self.stock[sku]}

    def job(self, url: str, items: list[dict[str, Any]]) -> None:
        if not items:
            return
        try:
            self.call("PUT", f"{url}/levels", {"items": items})
        except (OSError, ValueError):
            return  # the job has run: that is all that a queue knows


if __name__ == "__main__":
    main(QueueingRival)
