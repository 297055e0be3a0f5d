"""Writing levels: one by one, or, where there are very many, as a feed (walmart.md §5.2, §5.3).

Both are absolute, without idempotency key and without compare-and-set. A single write is acknowledged at once, which
at times is not true (`read_back_s`); a feed is taken in, and decided within the hour.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from attrs import evolve
from msgspec import UNSET, Raw, UnsetType

from adapters.strict import UnreadableError, decode
from adapters.walmart import feeds
from adapters.walmart.inventory import sendable
from adapters.walmart.payloads import Amount, rows, units_of
from adapters.walmart.refusals import faults_of, garbled, of_faults, refused
from adapters.walmart.seller import Seller, encoded
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Outcome


class _Echo(msgspec.Struct):
    sku: str
    quantity: Amount | UnsetType = UNSET


class _NodeResult(msgspec.Struct):
    status: str | None = None
    errors: Raw | UnsetType = UNSET


class _NodesEcho(msgspec.Struct):
    sku: str
    nodes: Raw | UnsetType = UNSET


def batches(seller: Seller, pushes: Sequence[Push], bulk_from: int, bulk_max: int) -> list[list[Push]]:
    """Each push by itself; so many that a feed is worth it, as feeds. A SKU that is there twice goes by itself."""
    if not 0 < bulk_from <= len(pushes) or bulk_max < 1:
        return [[push] for push in pushes]
    return feeds.parted(seller, pushes, bulk_max)


def push(seller: Seller, batch: Sequence[Push]) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order."""
    unsent = {place: outcome for place, each in enumerate(batch) if (outcome := _unsendable(each)) is not None}
    sent = [each for place, each in enumerate(batch) if place not in unsent]
    if not sent:
        return [unsent[place] for place in range(len(batch))]
    if len(sent) == 1:
        response = yield _request(seller, sent[0])
        outcomes = iter([_settled(seller, response, sent[0])])
    else:
        outcomes = iter((yield from feeds.send(seller, sent)))
    return [unsent[place] if place in unsent else next(outcomes) for place in range(len(batch))]


def _unsendable(push: Push) -> Outcome | None:
    if not sendable(push.listing):
        return Outcome("permanent", f"{push.listing[:60]!r} can be no SKU of Walmart's")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    return None


def _request(seller: Seller, push: Push) -> Request:
    """Without a node the default one is written; with one, the call that answers for each node (walmart.md §5.2)."""
    amount = {"unit": "EACH", "amount": push.level}
    if not seller.ship_node:
        payload = {"sku": push.listing, "quantity": amount}
        return seller.write("PUT", "/v3/inventory", payload, [("sku", push.listing)])
    nodes = [{"shipNode": seller.ship_node, "inputQty": amount}]
    return seller.write("PUT", f"/v3/inventories/{encoded(push.listing)}", {"inventories": {"nodes": nodes}})


def _settled(seller: Seller, response: Response, push: Push) -> Outcome:
    outcome = refused(response, write=True)
    if outcome is not None:
        return evolve(outcome, whole_call=False)
    try:
        if seller.ship_node:
            return _of_node(response, push)
        echo = decode(response.body, _Echo)
        if echo.sku != push.listing:
            return Outcome("unknown", "the answer is about another SKU")
        return Outcome("ok", level=units_of(echo.quantity, "quantity"))
    except UnreadableError:
        return garbled(response, write=True)


def _of_node(response: Response, push: Push) -> Outcome:
    """Inside a 200 a node may have failed."""
    echo = decode(response.body, _NodesEcho)
    nodes = [decode(row, _NodeResult) for row in rows(echo.nodes, "nodes")]
    if echo.sku != push.listing or len(nodes) != 1:
        return Outcome("unknown", "the answer is not about the node that was written")
    (node,) = nodes
    faults = faults_of(node.errors)
    if faults:
        return of_faults(faults, "the ship node")
    if (node.status or "").upper() != "SUCCESS":
        return Outcome("unknown", f"the ship node's status is {(node.status or 'missing')[:60]}")
    return Outcome("ok", level=push.level)
