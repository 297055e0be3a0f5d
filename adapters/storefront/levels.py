"""PUT /levels: writes with compare-and-set, once per idempotency key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from adapters.stamps import rfc3339
from adapters.storefront.calls import LevelItem, LevelsBody, listing_named, read_body
from adapters.storefront.faults import Quirks
from adapters.storefront.ledger import Ledger, LevelWrite
from adapters.storefront.reply import StoreReply, answer, error
from adapters.storefront.shop import Listing, Refusal, Shop, Written

KEYS_MAX: Final = 10_000
"""Idempotency keys remembered; the oldest are forgotten first."""


@frozen
class Circumstances:
    """Under which a call is served: the host's clock, what the storefront does to the call, and the call's key."""

    now_us: int
    fault: str = ""
    late: bool = False
    key: str = ""


@define
class LevelDesk:
    """Takes level writes. `on_change` is told of each listing whose level really changed."""

    shop: Shop
    ledger: Ledger
    on_change: Callable[[Listing, int], None]
    plain: bool = False
    """Overlooks `if_quantity`, as shops without compare-and-set do."""
    quirks: Quirks = field(factory=Quirks)
    _answers: OrderedDict[str, StoreReply] = field(factory=OrderedDict)

    def put(
        self, body: bytes, now_us: int, fault: str = "", *,
        late: bool = False, rows: int | None = None, invalid: str = "",
    ) -> StoreReply:  # fmt: skip
        """Write each item that can be written; one result per item, in order.

        A key seen before gets its first answer again and writes nothing. With the fault "lie" every known listing
        is said to be written, and none is. `rows`: only so many, and the key is not remembered; `invalid`: a listing
        that takes no level.
        """
        wanted = read_body(body, LevelsBody)
        if isinstance(wanted, Refusal):
            return error(wanted.status, wanted.code, wanted.message)
        key = wanted.idempotency_key
        if key in self._answers:
            return self._answers[key]
        call = Circumstances(now_us, fault, late, key)
        results: list[dict[str, object]] = []
        for raw in wanted.items[:rows]:
            item = read_body(raw, LevelItem)
            if isinstance(item, Refusal):
                name = listing_named(raw)
                self._record(name, None, None, "invalid", Written("unknown_listing"), call)
                results.append({"listing": name, "result": "invalid", "reason": item.message})
            elif item.listing == invalid:
                self._record(
                    item.listing, item.quantity, item.if_quantity, "invalid", Written("unknown_listing"), call
                )
                results.append({"listing": item.listing, "result": "invalid", "reason": "it takes no level"})
            else:
                results.append(self._write(item, call))
        reply = answer({"items": results, "as_of": rfc3339(self.shop.clock.read(now_us))})
        if key and rows is None:
            self._remember(key, reply)
        return reply

    def _write(self, item: LevelItem, call: Circumstances) -> dict[str, object]:
        listing = self.shop.listings.get(item.listing)
        if call.fault == "lie" and listing is not None:
            shown = listing.quantity
            self._record(item.listing, item.quantity, item.if_quantity, "ok", Written("ok", shown, shown), call)
            return {
                "listing": item.listing, "result": "ok", "quantity": item.quantity, "version": listing.version + 1,
            }  # fmt: skip
        expected = None if self.plain else item.if_quantity
        made = self.quirks.made_of(item.listing, item.quantity)
        done = self.shop.write(item.listing, made, expected, call.now_us)
        self._record(item.listing, item.quantity, item.if_quantity, done.result, done, call)
        if listing is None:
            return {"listing": item.listing, "result": done.result}
        if done.before != done.after:
            self.on_change(listing, call.now_us)
        return {
            "listing": item.listing, "result": done.result,
            "quantity": item.quantity if done.result == "ok" and not self.quirks.told else listing.quantity,
            "version": listing.version,
        }  # fmt: skip

    def edit(self, listing: Listing, quantity: int, now_us: int, fault: str = "edit") -> None:
        """Somebody at the shop types a number over the one on show; or the shop itself does so (`fault`)."""
        call = Circumstances(now_us, fault)
        done = self.shop.write(listing.id, quantity, None, now_us)
        self._record(listing.id, quantity, None, done.result, done, call)
        if done.before != done.after:
            self.on_change(listing, now_us)

    def _record(
        self, listing: str, asked: int | None, expected: int | None, result: str, done: Written, call: Circumstances
    ) -> None:
        self.ledger.writes.append(
            LevelWrite(
                at=rfc3339(self.shop.clock.read(call.now_us)),
                at_us=call.now_us,
                listing=listing,
                before=done.before,
                after=done.after,
                asked=asked,
                if_quantity=expected,
                matched=done.matched,
                result=result,
                applied=result == "ok" and call.fault != "lie",
                fault=call.fault,
                late=call.late,
                key=call.key,
            )
        )

    def _remember(self, key: str, reply: StoreReply) -> None:
        self._answers[key] = reply
        if len(self._answers) > KEYS_MAX:
            self._answers.popitem(last=False)
