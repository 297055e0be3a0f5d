"""The sandbox storefront's answers, read: pages, push results, and what its refusals mean."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from adapters.sandbox_wire import (
    ErrorBody,
    NamedListing,
    NamedOrder,
    Page,
    PushResult,
    Unreadable,
    WireLevel,
    WireOrder,
    WireSubscription,
    level_seen,
    order_seen,
    read,
    read_list,
)  # fmt: skip
from adapters.stamps import http_date_span, retry_after_s, rfc3339_span
from daemon.domain.channel import LevelSeen, OrderPage, OrderSeen, Push, Webhook
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome

REASON_MAX: Final = 200
_BAD_ROW: Final = (400, 413, 422)


def read_page(response: Response) -> Page | Failure:
    """The envelope of a list, or why there is none."""
    if response.status != 200:
        return Failure(refused(response, writing=False))
    page = read_list(response.body)
    return garbled(page) if isinstance(page, Unreadable) else page


def garbled(why: Unreadable) -> Failure:
    """An answer 200 that is none: it may be better the next time."""
    return Failure(Outcome("unknown", f"the answer was not understood: {why.reason}"[:REASON_MAX]))


def next_page(page: Page) -> str:
    """The cursor of the next page, "" after the last."""
    return "" if page.next is None else str(page.next)


def levels_of(page: Page, response: Response) -> tuple[LevelSeen, ...]:
    """The listings of a page. A quantity that cannot be read, or is not there, is unknown: never zero, never gone."""
    own = as_of(page, response)
    found = []
    for item in page.items:
        wire = read(item, WireLevel)
        seen = wire if isinstance(wire, Unreadable) else level_seen(wire, own)
        if isinstance(seen, Unreadable):
            named = read(item, NamedListing)
            if isinstance(named, Unreadable):
                continue
            seen = LevelSeen(named.listing, None, own)
        found.append(seen)
    return tuple(found)


def orders_of(page: Page) -> OrderPage:
    """The orders of a page of the feed."""
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    for item in page.items:
        wire = read(item, WireOrder)
        seen = wire if isinstance(wire, Unreadable) else order_seen(wire)
        if isinstance(seen, Unreadable):
            named = read(item, NamedOrder)
            name = "an order" if isinstance(named, Unreadable) else named.id
            puzzles.append(f"{name}: {seen.reason}")
        else:
            orders.append(seen)
    high_water_us = max((order.updated.lo for order in orders), default=0)
    return OrderPage(tuple(orders), next_page(page), high_water_us, tuple(puzzles))


def as_of(page: Page, response: Response) -> Span | None:
    """When the answer was true on the storefront's clock: its own stamp, else the second its Date header names."""
    stamped = None if page.as_of is None else rfc3339_span(page.as_of)
    return stamped or http_date_span(response.headers.get("date", ""))


def outcome_of(push: Push, item: Raw, own: Span | None) -> Outcome:
    """What one result says: an object with "result", or the bare word."""
    result = read(item, PushResult)
    if isinstance(result, Unreadable):
        word = read(item, str)
        if isinstance(word, Unreadable):
            return Outcome("unknown", f"the result was not understood: {result.reason}"[:REASON_MAX])
        result = PushResult(word)
    if result.listing not in (None, push.listing):
        return Outcome("unknown", "the result names another listing")
    reason = result.reason[:REASON_MAX]
    match result.result:
        case "ok":
            return Outcome("ok", reason, push.level if result.quantity is None else result.quantity, own)
        case "conflict":
            return Outcome("conflict", reason or "the listing shows another quantity", result.quantity, own)
        case "unknown_listing":
            return Outcome("permanent", reason or "the storefront does not know this listing")
        case "invalid":
            return Outcome("permanent", reason or "the storefront calls this level invalid")
        case _:
            return Outcome("unknown", "the storefront gave a result that we do not know")


def refused(response: Response, *, writing: bool, items: int = 1) -> Outcome:
    """What an answer other than 200 means for all the items of a call."""
    error = read(response.body, ErrorBody)
    said = "" if isinstance(error, Unreadable) else error.error.message
    reason = f"{response.status} {said}".strip()[:REASON_MAX]
    surely_not = not isinstance(error, Unreadable) and error.applied is False
    date = http_date_span(response.headers.get("date", ""))
    wait_s = retry_after_s(response.headers.get("retry-after", ""), date)
    match response.status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=wait_s)
        case 503 if wait_s is not None:
            return Outcome("throttled", reason, retry_after_s=wait_s)
        case 408 | 425:
            return Outcome("transient", reason, retry_after_s=wait_s)
        case status if status >= 500:
            # A fault on the way back leaves the write applied: only a word from the storefront excludes that.
            return Outcome("unknown" if writing and not surely_not else "transient", reason, retry_after_s=wait_s)
        case status if 300 <= status < 500:
            return Outcome("permanent", reason, whole_call=writing and items > 1 and status in _BAD_ROW)
        case _:
            return Outcome("unknown", f"unexpected status {response.status}")


def says_no_such_order(response: Response) -> bool:
    """Does it deny the order itself, and not merely the path?"""
    error = read(response.body, ErrorBody)
    return response.status == 404 and not isinstance(error, Unreadable) and error.error.code == "unknown_order"


def subscriptions_of(page: Page) -> tuple[Webhook, ...] | Failure:
    """The subscriptions of a list. One that cannot be read might be ours: then nothing is known of any."""
    found = []
    for item in page.items:
        wire = read(item, WireSubscription)
        if isinstance(wire, Unreadable):
            return garbled(wire)
        found.append(_subscription(wire))
    return tuple(found)


def subscription_of(response: Response) -> Webhook | Failure:
    """The subscription that was made or switched on."""
    if response.status not in (200, 201):
        return Failure(refused(response, writing=False))
    wire = read(response.body, WireSubscription)
    return garbled(wire) if isinstance(wire, Unreadable) else _subscription(wire)


def _subscription(wire: WireSubscription) -> Webhook:
    match wire.state:
        case "active" | "paused" as state:
            return Webhook(wire.topic, wire.url, state, wire.id)
        case _:
            return Webhook(wire.topic, wire.url, "disabled", wire.id)
