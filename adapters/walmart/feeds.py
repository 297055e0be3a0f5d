"""Inventory feeds: one document for thousands of levels, taken in and followed to the end (walmart.md §5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import evolve
from msgspec import UNSET, Raw, UnsetType

from adapters.strict import UnreadableError, decode
from adapters.walmart.limits import FEEDS, UPLOADS
from adapters.walmart.payloads import rows
from adapters.walmart.refusals import Fault, faults_in, faults_of, garbled, is_missing, of_faults, refused
from adapters.walmart.seller import Seller, encoded
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Request
from daemon.domain.outcomes import Outcome

BYTES_MAX = 5_000_000
NODE_BYTES_MAX = 1_000_000
"""5 MB for the older text's sake, 1 MB with a ship node (walmart.md §5.3)."""
PAGE = 50
PAGES_MAX = 250
JOB_MAX = 200

_HEADERS = {"inventory": {"version": "1.4"}, "MP_INVENTORY": {"version": "1.5"}}


class _Taken(msgspec.Struct):
    feedId: str | None = None  # noqa: N815  # Walmart's own names, here and below


class _Errors(msgspec.Struct):
    ingestionError: Raw | UnsetType = UNSET  # noqa: N815


class _ItemStatus(msgspec.Struct):
    ingestionStatus: str  # noqa: N815
    sku: str | None = None
    ingestionErrors: _Errors | UnsetType | None = UNSET  # noqa: N815


class _Details(msgspec.Struct):
    itemIngestionStatus: Raw | UnsetType = UNSET  # noqa: N815


class _Feed(msgspec.Struct):
    feedStatus: str  # noqa: N815
    itemDetails: _Details | UnsetType | None = UNSET  # noqa: N815
    ingestionErrors: _Errors | UnsetType | None = UNSET  # noqa: N815


# --- sending ------------------------------------------------------------------------------------------------


def parted(seller: Seller, pushes: Sequence[Push], most: int) -> list[list[Push]]:
    """Groups that one feed can carry, in the given order; a SKU that is there twice goes into another one."""
    groups: list[list[Push]] = []
    size, names = 0, set[str]()
    bytes_max = NODE_BYTES_MAX if seller.ship_node else BYTES_MAX
    for push in pushes:
        row = len(msgspec.json.encode(_row(seller, push))) + 1
        if not groups or len(groups[-1]) >= most or size + row > bytes_max - 200 or push.listing in names:
            groups.append([])
            size, names = 0, set()
        groups[-1].append(push)
        size += row
        names.add(push.listing)
    return groups


def send(seller: Seller, batch: Sequence[Push]) -> Exchange[Sequence[Outcome]]:
    """Hand the batch in: "accepted" with the feed's id, or why not. Answered with an error, nothing was taken in
    unless it is a server's; a feed that cannot be told from one that was is "unknown"."""
    response = yield request_for(seller, batch)
    outcome = refused(response, write=True)
    if outcome is not None:
        return [evolve(outcome, whole_call=outcome.whole_call and len(batch) > 1)] * len(batch)
    try:
        job = decode(response.body, _Taken).feedId or ""
    except UnreadableError:
        job = ""
    if not job or len(job) > JOB_MAX or not job.isprintable():
        faults = faults_in(response)
        return [of_faults(faults, "the feed") if faults else garbled(response, write=True)] * len(batch)
    return [Outcome("accepted", job=job)] * len(batch)


def request_for(seller: Seller, batch: Sequence[Push]) -> Request:
    """The feed of a batch. A document for a ship node spells its keys otherwise (walmart.md §5.3)."""
    kind = "MP_INVENTORY" if seller.ship_node else "inventory"
    header, items = ("inventoryHeader", "inventory") if seller.ship_node else ("InventoryHeader", "Inventory")
    document = msgspec.json.encode({header: _HEADERS[kind], items: [_row(seller, push) for push in batch]})
    return seller.upload("/v3/feeds", [("feedType", kind)], document, meter=UPLOADS)


def _row(seller: Seller, push: Push) -> dict[str, Any]:
    amount = {"unit": "EACH", "amount": push.level}
    if not seller.ship_node:
        return {"sku": push.listing, "quantity": amount}
    return {"sku": push.listing, "shipNodes": [{"shipNode": seller.ship_node, "quantity": amount}]}


# --- following ----------------------------------------------------------------------------------------------


def follow(seller: Seller, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
    """What became of each item. PROCESSED says nothing about any of them; ERROR fails them all."""
    waiting = Outcome("accepted", job=job)
    found: dict[str, Outcome] = {}
    wanted = {push.listing: push.level for push in batch}
    for page in range(PAGES_MAX):
        query = [("includeDetails", "true"), ("offset", str(page * PAGE)), ("limit", str(PAGE))]
        response = yield seller.get(f"/v3/feeds/{encoded(job)}", query, meter=FEEDS)
        if is_missing(response):
            return [Outcome("unknown", "Walmart does not know the feed any more")] * len(batch)
        if refused(response, write=False) is not None:
            return [waiting] * len(batch)
        try:
            feed = decode(response.body, _Feed)
            if feed.feedStatus == "ERROR":
                return [_failed(feed)] * len(batch)
            if feed.feedStatus != "PROCESSED":
                return [waiting] * len(batch)
            details = feed.itemDetails
            items = rows(details.itemIngestionStatus, "items") if isinstance(details, _Details) else []
            statuses = [decode(item, _ItemStatus) for item in items]
        except UnreadableError:
            return [waiting] * len(batch)
        for status in statuses:
            if status.sku in wanted:
                found[status.sku] = _of_item(status, wanted[status.sku], waiting)
        if not statuses or len(found) == len(wanted):
            break
    silent = Outcome("unknown", "the feed was processed, and says nothing of this item")
    return [found.get(push.listing, silent) for push in batch]


def _errors(found: _Errors | UnsetType | None) -> list[Fault]:
    return faults_of(found.ingestionError) if isinstance(found, _Errors) else []


def _failed(feed: _Feed) -> Outcome:
    """The whole file failed, so nothing of it was done. Tried again one by one, a row that is to blame names itself:
    halving would take a feed, of ten an hour, at every step."""
    faults = _errors(feed.ingestionErrors)
    return Outcome("transient", f"the feed failed: {faults[0].text()}" if faults else "the feed failed as a whole")


def _of_item(status: _ItemStatus, level: int, waiting: Outcome) -> Outcome:
    faults = _errors(status.ingestionErrors)
    reason = f"{status.ingestionStatus[:40]}: {faults[0].text()}" if faults else status.ingestionStatus[:40]
    match status.ingestionStatus:
        case "SUCCESS":
            return Outcome("ok", level=level)
        case "INPROGRESS":
            return waiting
        case "DATA_ERROR":
            return Outcome("permanent", reason)
        case "SYSTEM_ERROR":
            return Outcome("transient", reason)
        case _:
            # A time-out may have come through (walmart.md §5.3 says only: retry); so may what has no name yet.
            return Outcome("unknown", reason)
