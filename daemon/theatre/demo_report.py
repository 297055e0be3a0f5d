"""What the demo found, as one document: every SKU on every storefront, every unit sold twice, every figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from daemon.theatre.notices import Notice, notices, spread
from daemon.theatre.oversold import explain
from daemon.theatre.shoppers import Trade
from daemon.theatre.stage import Stage
from daemon.theatre.truth import Book, Truth, oversales, true_numbers


async def report(stage: Stage, trade: Trade) -> dict[str, Any]:
    """Ask the storefronts' ledgers and the daemon. `ok` iff all numbers are right and all oversales explained."""
    books = await stage.books()
    events = await stage.admin.events()
    status = await stage.admin.get("status")
    told = notices(books, events)
    rows = [sku_row(truth, books, await stage.admin.get("skus", truth.sku)) for truth in true_numbers(books).values()]
    oversold = explain(oversales(books), told, books)
    equal = all(row["equal"] for row in rows)
    debts = all(row["debt"] == row["owed"] for row in rows)
    return {
        "ok": equal and debts and all(each.complete for each in oversold),
        "skus": rows,
        "orders": {
            "asked": trade.asked, "placed": trade.placed, "refused_sold_out": trade.sold_out,
            "cancelled": trade.sequels["cancel"], "refunded": trade.sequels["refund"],
            "fulfilled": trade.sequels["fulfil"],
        },
        "oversold": sum(each.oversale.units for each in oversold),
        "debt": sum(row["debt"] for row in rows),
        "oversales": [each.document() for each in oversold],
        "propagation_ms": propagation(told),
        "webhooks": hooks(books),
        "daemon": {
            "acked": status["acked"], "duplicates": status["duplicates"], "rejected": status["rejected"],
            "events": status["events"], "pushes": status["counters"]["pushes"],
            "pushes_confirmed": status["counters"]["confirmed"], "open_listings": stage.open_listings(),
            "dead_letters": status["dead_letters"], "errors": stage.errors,
        },
    }  # fmt: skip


def sku_row(truth: Truth, books: Sequence[Book], known: dict[str, Any]) -> dict[str, Any]:
    """One SKU. `owed`: what was sold beyond the stock and not given back; `debt`: the same in the daemon's books."""
    shown = {book.store: book.skus[truth.sku].shows for book in books if truth.sku in book.skus}
    return {
        "sku": truth.sku, "initial": truth.initial, "sold": truth.sold, "given_back": truth.given_back,
        "truth": truth.number, "should_show": truth.shown, "shown": shown,
        "equal": set(shown.values()) == {truth.shown} and known["available"] == truth.number,
        "available": known["available"], "debt": known["debt"], "owed": truth.debt,
    }  # fmt: skip


def propagation(told: Sequence[Notice]) -> dict[str, Any]:
    """Sale to new number elsewhere: over all notices, those by webhook, the others; and the daemon's own share."""
    reached = [(each, each.propagation_ms) for each in told if each.pushed and each.propagation_ms is not None]
    return {
        **spread([ms for _, ms in reached]),
        "by_webhook": spread([ms for each, ms in reached if each.by == "webhook"]),
        "otherwise": spread([ms for each, ms in reached if each.by != "webhook"]),
        "reaction": spread([each.reaction_ms for each, _ in reached if each.reaction_ms is not None]),
        "needed_no_push": sum(1 for each in told if not each.pushed and each.reached_us is not None),
        "never": sum(1 for each in told if each.reached_us is None),
        "heard_by": dict(Counter(each.by or "nothing" for each in told)),
    }


def hooks(books: Sequence[Book]) -> dict[str, int]:
    """The storefronts' webhooks, all together."""
    return {
        "sent": sum(book.hooks.messages - book.hooks.dropped for book in books),
        "duplicated": sum(book.hooks.duplicates for book in books),
        "dropped": sum(book.hooks.dropped for book in books),
        "tries_without_success": sum(book.hooks.refused for book in books),
    }
