"""Writing stock: the SKUs of one product in a call, each SKU's answer held against the wish (tiktok_shop.md §5).

| what is said of a SKU                                                       | outcome   |
| --------------------------------------------------------------------------- | --------- |
| nothing, in an answer whose code is 0                                       | ok        |
| an error that names it: 36009002 · 36009003, 36009007 · any other           | throttled · unknown · permanent |
| an error that names no SKU of ours                                          | unknown, for all that none names |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import evolve

from adapters.groups import grouped
from adapters.tiktok_shop.answers import code_of, meaning, plain, said
from adapters.tiktok_shop.catalogue import STOCK, SkuStock, stock_in
from adapters.tiktok_shop.payloads import Id, ListingId, listing_id, units
from adapters.tiktok_shop.shop import Shop
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

BATCH_MAX: Final = 100
"""A product holds so many SKUs at most (12052050), so no call ever has more."""
LEVEL_MAX: Final = 99_999

REMEDIES: Final = {
    12019024: "TikTok Shop takes 1 to 99,999, and here not 0: deactivate the product there",
    12052055: "TikTok Shop takes 1 to 99,999, and here not 0: deactivate the product there",
    12019022: "stock it in a sales warehouse at TikTok Shop first",
    12019028: "the shop has several warehouses: set warehouse to the id of the one that is ours",
    12052037: "check warehouse; stock that TikTok Shop allocates by itself cannot be written",
    12052533: "check warehouse",
    12052141: "its stock is that of a global product, and written there",
    12052393: "a promotion has locked it: end or shrink that in Seller Center, then push it again",
    12052850: "a virtual bundle's stock follows from its components: take the seller SKU off the bundle",
    12052921: "it shares the stock of another shop: write it there",
    12052901: "the product's state does not allow it: change that in Seller Center",
}
"""What a person can do about the errors that need one (§5)."""
WHOLE_PRODUCT: Final = frozenset(
    {
        12052031, 12052032, 12052048, 12052141, 12052207, 12052260, 12052308, 12052371, 12052700, 12052704,
        12052901, 12052921,
    }
)  # fmt: skip
"""Said of the product or the seller: halving the batch would not help."""


class _Warehoused(msgspec.Struct):
    code: int | None = None
    message: str | None = None


class _Detail(msgspec.Struct):
    sku_id: Id = None
    extra_errors: list[_Warehoused] | None = None


class _Error(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    detail: _Detail | None = None


class _Answer(msgspec.Struct):
    errors: list[_Error] | None = None


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """Groups for one call each: the SKUs of one product. A group stands where its most urgent push stood; what is no
    listing id of ours goes alone."""

    def alike(push: Push) -> str | None:
        listing = listing_id(push.listing)
        return None if listing is None else listing.product

    return grouped(pushes, batch_max, alike)


def push(shop: Shop, batch: Sequence[Push]) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order.

    There is neither an idempotency key nor compare-and-set (§5). The number is what may be sold, without what is
    committed to orders. A call must name all the warehouses that a SKU is assigned to, and no other (12019028,
    12052533): where ours is one of several, they are read first, and the others are written as they were just read. A
    sale from one of those in that very moment would be undone there; there is no other way to write ours.
    """
    first = next((listing for each in batch if (listing := listing_id(each.listing)) is not None), None)
    outcomes = {each.listing: outcome for each in batch if (outcome := _unsendable(each, first)) is not None}
    sent = {str(row): row for each in batch if each.listing not in outcomes and (row := listing_id(each.listing))}
    wanted = {each.listing: each.level for each in batch}
    if sent and first is not None:
        cipher = yield from shop.own_cipher()
        if isinstance(cipher, Failure):
            return [outcomes.get(each.listing, cipher.outcome) for each in batch]
        rows: dict[str, list[dict[str, Any]]] = {name: [{"quantity": wanted[name]}] for name in sent}
        if shop.warehouse:
            found = stock_in((yield shop.post(STOCK, cipher, {"sku_ids": [row.sku for row in sent.values()]})))
            if isinstance(found, Failure):
                return [outcomes.get(each.listing, found.outcome) for each in batch]
            rows, unstocked = _assigned(shop.warehouse, wanted, sent, found)
            outcomes |= unstocked
        if rows:
            skus = [{"id": sent[name].sku, "inventory": row} for name, row in rows.items()]
            path = f"/product/202309/products/{first.product}/inventory/update"
            response = yield shop.post(path, cipher, {"skus": skus}, write=True)
            outcomes |= _read(response, {name: sent[name] for name in rows}, wanted)
    return [outcomes[each.listing] for each in batch]


def _unsendable(push: Push, first: ListingId | None) -> Outcome | None:
    listing = listing_id(push.listing)
    if listing is None or first is None:
        return Outcome("permanent", f"{push.listing[:60]!r} is no listing of TikTok Shop: PRODUCT/SKU, by their ids")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= LEVEL_MAX:
        return Outcome("permanent", f"TikTok Shop takes levels up to {LEVEL_MAX}: set cap: {LEVEL_MAX}")
    if listing.product != first.product:
        return Outcome("transient", f"{push.listing} cannot go into one call with {first}")
    return None


def _assigned(
    warehouse: str, wanted: Mapping[str, int], sent: Mapping[str, ListingId], stock: Mapping[str, SkuStock]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Outcome]]:
    """What to write of each SKU, in all of its warehouses; and why nothing can be written of some."""
    rows: dict[str, list[dict[str, Any]]] = {}
    unsent: dict[str, Outcome] = {}
    for name in sent:
        found = stock.get(name)
        wares = [(str(row.warehouse_id), units(row.available_quantity)) for row in
                 (found.warehouse_inventory if found else None) or ()]  # fmt: skip
        if found is None:
            unsent[name] = Outcome("permanent", "TikTok Shop does not have this SKU any more")
        elif warehouse not in dict(wares):
            unsent[name] = Outcome("permanent", f"it is not stocked in warehouse {warehouse}: assign it there")
        elif any(level is None for place, level in wares if place != warehouse):
            unsent[name] = Outcome("transient", "what its other warehouses hold cannot be read")
        else:
            rows[name] = [
                {"warehouse_id": place, "quantity": wanted[name] if place == warehouse else max(0, level or 0)}
                for place, level in wares
            ]
    return rows, unsent


def _read(response: Response, sent: Mapping[str, ListingId], wanted: Mapping[str, int]) -> dict[str, Outcome]:
    answer = said(response, _Answer, write=True)
    if isinstance(answer, Outcome):
        code = code_of(response)
        alone = evolve(answer, reason=_advised(code, answer.reason),
                       whole_call=answer.whole_call and len(sent) > 1 and code not in WHOLE_PRODUCT)  # fmt: skip
        return dict.fromkeys(sent, alone)
    by_sku = {row.sku: name for name, row in sent.items()}
    outcomes: dict[str, Outcome] = {}
    stray = ""
    for error in answer.errors or ():
        code, words = _told(error)
        name = by_sku.get(str(error.detail.sku_id)) if error.detail else None
        if name is None:
            stray = stray or words
            continue
        found_outcome = meaning(code, words, response, "unknown")
        outcomes[name] = evolve(found_outcome, reason=_advised(code, found_outcome.reason), whole_call=False)
    rest = {
        name: Outcome("unknown", f"an error that names none of these SKUs: {stray}") if stray
        else Outcome("ok", level=wanted[name])
        for name in sent if name not in outcomes
    }  # fmt: skip
    return outcomes | rest


def _told(error: _Error) -> tuple[int, str]:
    """An error's code and words, with those of its first warehouse."""
    extra = next(iter((error.detail.extra_errors if error.detail else None) or ()), _Warehoused())
    code = error.code or extra.code or 0
    words = f"{code} {plain(error.message or '', 150)}".strip()
    if extra.code and extra.code != code:
        words += f" ({extra.code} {plain(extra.message or '', 100)})"
    return code, words


def _advised(code: int, words: str) -> str:
    return f"{words}: {REMEDIES[code]}" if code in REMEDIES else words
