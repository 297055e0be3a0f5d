"""The storefront: its routes, what becomes of each call, and writes that come to life after their client gave up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Final
from urllib.parse import unquote

import msgspec
from attrs import evolve

from adapters.stamps import rfc3339
from adapters.storefront import calls
from adapters.storefront.dice import Dice
from adapters.storefront.faults import Fate, Faults, draw, read_faults
from adapters.storefront.feeds import Shows, listings_page, orders_page
from adapters.storefront.ledger import CallSeen, Ledger, OrderChange, ledger_json, listing_json, order_json
from adapters.storefront.levels import LevelDesk
from adapters.storefront.outbox import Hook, Outbox
from adapters.storefront.reply import StoreReply, answer, error, held, lost, refused, throttled
from adapters.storefront.script import CallKind, CallScript, Rule
from adapters.storefront.shop import Action, Listing, Order, Refusal, Shop
from adapters.storefront.subscriptions import Subscriptions
from daemon.domain.instants import SECOND_US

LATE_MAX: Final = 1000
"""Held writes that wait to be applied; beyond it a held write is never applied."""

_ACTIONS: Final[dict[str, Action]] = {"cancel": "cancel", "refund": "refund", "fulfil": "fulfil"}
_KINDS: Final[dict[Action, str]] = {"cancel": "cancelled", "refund": "refunded", "fulfil": "fulfilled"}
_METHODS: Final = {
    "/listings": ("GET",), "/levels": ("PUT",), "/orders": ("GET", "POST"), "/faults": ("GET", "POST"),
    "/ledger": ("GET",), "/healthz": ("GET",), "/edits": ("POST",),
}  # fmt: skip


class Storefront:
    """One simulated shop. `now_us` is the host's clock everywhere; the shop's own may be set off from it by a fault.

    `skus` are names, or how many to invent; `stock` is the same for all, or per SKU. `epoch` goes into the ids of
    orders and webhooks: give every life of a shop its own where the daemon outlives it.
    """

    def __init__(
        self, name: str, skus: int | Sequence[str], stock: int | Mapping[str, int], secret: str, seed: int = 0,
        *, epoch: str = "",
    ) -> None:  # fmt: skip
        self.name = name
        names = [f"SKU-{number:04d}" for number in range(1, skus + 1)] if isinstance(skus, int) else list(skus)
        self.shop = Shop(names, stock, epoch)
        self.ledger = Ledger({listing.id: listing.quantity for listing in self.shop.listings.values()})
        self.subscriptions = Subscriptions()
        self.outbox = Outbox(secret, epoch, Dice(seed, f"{name}:webhooks"), self.subscriptions.targets)
        self.faults = Faults(seed=seed)
        self.fates: Counter[str] = Counter()
        """What became of the calls so far, by kind of fate."""
        self._dice = Dice(seed, f"{name}:calls")
        self._script = CallScript()
        self._desk = LevelDesk(self.shop, self.ledger, self._tell_level)
        self._shows = Shows()
        self._late: list[tuple[int, int, bytes]] = []
        self._late_count = 0

    # -- time --

    def own_us(self, now_us: int) -> int:
        """The shop's own clock (µs since 1970): the Date of its answers."""
        return self.shop.clock.read(now_us)

    def next_due_us(self) -> int | None:
        """When something is to be done without a call: a webhook to send or a late write. None: nothing waits."""
        due = [at for at in (self.outbox.next_due_us(), self._late[0][0] if self._late else None) if at is not None]
        return min(due, default=None)

    def run_due(self, now_us: int) -> None:
        """Apply the late writes whose time has come; `handle` and `due_webhooks` do so by themselves."""
        while self._late and self._late[0][0] <= now_us:
            due_us, _, body = heappop(self._late)
            self._desk.put(body, due_us, "timeout", late=True)

    def due_webhooks(self, now_us: int, limit: int = 1_000_000) -> list[Hook]:
        """The webhooks to send now, at most `limit`. Say of each what came of it: `delivered`."""
        self.run_due(now_us)
        return self.outbox.take_due(now_us, limit, self.own_us(now_us) // SECOND_US)

    def delivered(self, sending: int, status: int | None, now_us: int) -> None:
        """A sending was answered with `status`, or with None not in time; it may be tried again."""
        self.outbox.delivered(sending, status, now_us)

    def set_faults(self, faults: Faults) -> None:
        """Misbehave like this from now on. A seed begins all chances anew."""
        if faults.seed is None:
            faults = msgspec.structs.replace(faults, seed=self.faults.seed)
        else:
            self._dice.seed(faults.seed)
            self.outbox.reseed(faults.seed)
        self.faults = faults
        self._script = CallScript(faults.script)
        self._desk.plain, self._desk.quirks = faults.plain, faults.quirks
        listings = self.shop.listings
        stale = {name: listings[name].quantity for name in faults.quirks.stale if name in listings}
        self._shows = Shows(faults.garbled, faults.quirks.labels, stale)
        self.outbox.misbehave(faults.webhook)
        self.subscriptions.switch_off(faults.webhook.disabled)
        self.shop.clock.offset_us = int(faults.clock_offset_s * SECOND_US)

    # -- calls --

    def handle(self, method: str, target: str, body: bytes, now_us: int) -> StoreReply:
        """Serve one call; `target` is path and query as sent. Never raises for anything a caller sends."""
        self.run_due(now_us)
        path, _, query = target.partition("?")
        if path.startswith("/orders/"):
            return self._order_call(method, path.split("/")[2:], body, now_us)
        if path.startswith("/subscriptions"):
            return self._subscription_call(method, path.split("/")[1:], body, now_us)
        allowed = _METHODS.get(path)
        if allowed is None:
            return error(404, "no_such_path", "nothing is here")
        if method not in allowed:
            reply = error(405, "method_not_allowed", f"use {' or '.join(allowed)}")
            return evolve(reply, headers=(("Allow", ", ".join(allowed)),))
        match method, path:
            case "PUT", "/levels":
                return self._put_levels(body, now_us)
            case "GET", "/listings" | "/orders":
                call: CallKind = "listings" if path == "/listings" else "orders"
                return self._read(call, self._page(call, query, now_us), now_us)
            case "POST", "/orders":
                return self._post_order(body, now_us)
            case "POST", "/edits":
                return self._post_edit(body, now_us)
            case "POST", "/faults":
                return self._post_faults(body)
            case "GET", "/faults":
                return answer(self.faults)
            case "GET", "/ledger":
                return answer(ledger_json(self.name, self.shop, self.outbox, self.ledger, now_us))
            case _:
                return answer({"status": "ok", "name": self.name})

    def _order_call(self, method: str, parts: Sequence[str], body: bytes, now_us: int) -> StoreReply:
        order = self.shop.orders.get(unquote(parts[0]))
        match method, parts[1:]:
            case "GET", []:
                missing = error(404, "unknown_order", "there is no such order")
                return self._read("orders", missing if order is None else answer(order_json(order)), now_us)
            case "POST", [name] if name in _ACTIONS:
                if order is None:
                    return error(404, "unknown_order", "there is no such order")
                return self._act(order, _ACTIONS[name], body, now_us)
            case _:
                return error(404, "no_such_path", "nothing is here")

    # -- what the daemon calls, and what becomes of it --

    def _subscription_call(self, method: str, parts: Sequence[str], body: bytes, now_us: int) -> StoreReply:
        """What is asked for is done although the answer may suffer, as elsewhere."""
        desk = self.subscriptions
        match method, parts:
            case "GET", ["subscriptions"]:
                reply = desk.listed()
            case "POST", ["subscriptions"]:
                reply = desk.create(body)
            case "PUT", ["subscriptions", name]:
                reply = desk.switch(unquote(name), body)
            case _:
                return error(404, "no_such_path", "nothing is here")
        return self._read("subscriptions", reply, now_us)

    def _page(self, call: CallKind, query: str, now_us: int) -> StoreReply:
        fields = calls.read_query(query)
        if isinstance(fields, Refusal):
            return refused(fields)
        if call == "listings":
            return listings_page(self.shop, fields, now_us, self._shows)
        return orders_page(self.shop, fields, now_us, int(self.faults.feed_lag_s * SECOND_US))

    def _put_levels(self, body: bytes, now_us: int) -> StoreReply:
        fate = self._fate()
        listings = calls.listings_of(body) if self.faults.script else []
        rule = self._script.befalls("levels", listings)
        if rule is not None:
            return self._seen("levels", self._scripted_write(rule, body, listings, now_us), rule.do, now_us)
        fault = "" if fate.kind == "as_usual" else fate.kind
        return self._seen("levels", self._chanced_write(fate, body, now_us), fault, now_us)

    def _chanced_write(self, fate: Fate, body: bytes, now_us: int) -> StoreReply:
        match fate.kind:
            case "throttle":
                return throttled(fate.seconds)
            case "fail_before":
                # Real shops do not say whether a fault came before the effect; some do, so both are met.
                return error(500, "fault", "something broke", **({"applied": False} if fate.honest else {}))
            case "fail_after":
                self._desk.put(body, now_us, "error_500")
                return error(500, "fault", "something broke")
            case "hold":
                return held()
            case "hold_late":
                self._apply_late(body, now_us + int(fate.seconds * SECOND_US))
                return held()
            case "hold_applied":
                self._desk.put(body, now_us, "timeout")
                return held()
            case "lose":
                self._desk.put(body, now_us, "lose_answer")
                return lost()
            case "lie":
                return self._desk.put(body, now_us, "lie")
            case "as_usual":
                return self._desk.put(body, now_us)

    def _scripted_write(self, rule: Rule, body: bytes, listings: Sequence[str], now_us: int) -> StoreReply:
        match rule.do:
            case "hold":
                return evolve(self._desk.put(body, now_us, "hold"), delay_s=rule.seconds)
            case "lose":
                self._desk.put(body, now_us, "lose_answer")
                return lost()
            case "late":
                self._apply_late(body, now_us + int(rule.seconds * SECOND_US))
                return held()
            case "fail":
                return error(rule.status, "fault", "something broke")
            case "partial":
                self._desk.put(body, now_us, "partial", rows=rule.rows)
                return error(rule.status, "fault", "something broke")
            case "refuse" if len(listings) > 1:
                return error(422, "invalid", "a row of this call takes no level")
            case "refuse":
                return self._desk.put(body, now_us, "refuse", invalid=rule.listing)

    def _read(self, call: CallKind, reply: StoreReply, now_us: int) -> StoreReply:
        """A read has no effect, so only its answer can suffer."""
        fate, rule = self._fate(), self._script.befalls(call, ())
        if rule is not None:
            return self._seen(call, _scripted_read(rule, reply), rule.do, now_us)
        match fate.kind:
            case "throttle":
                reply = throttled(fate.seconds)
            case "fail_before" | "fail_after":
                reply = error(500, "fault", "something broke")
            case "hold" | "hold_late" | "hold_applied":
                reply = held()
            case "lose":
                reply = lost()
            case "lie" | "as_usual":
                return self._seen(call, reply, "", now_us)
        return self._seen(call, reply, fate.kind, now_us)

    def _seen(self, call: CallKind, reply: StoreReply, fault: str, now_us: int) -> StoreReply:
        self.ledger.calls.append(CallSeen(now_us, call, 0 if reply.drop else reply.status, fault))
        return reply

    def _fate(self) -> Fate:
        fate = draw(self.faults.api, self._dice)
        self.fates[fate.kind] += 1
        return fate

    def _apply_late(self, body: bytes, due_us: int) -> None:
        if len(self._late) < LATE_MAX:
            self._late_count += 1
            heappush(self._late, (due_us, self._late_count, body))

    # -- what shoppers and staff do: never faulty --

    def _post_order(self, body: bytes, now_us: int) -> StoreReply:
        wanted = calls.read_body(body, calls.NewOrder)
        if isinstance(wanted, Refusal):
            return refused(wanted)
        order = self.shop.place([(line.sku, line.quantity) for line in wanted.lines], now_us)
        if isinstance(order, Refusal):
            self.ledger.refused_orders += order.status == 409
            return refused(order)
        lines = {line.id: line.ordered for line in order.lines.values()}
        self._tell_order(order, "sold", lines, now_us)
        for line in order.lines.values():
            if line.listing.id in self.faults.quirks.twice:
                left = max(0, line.listing.quantity - line.ordered)
                self._desk.edit(line.listing, left, now_us, "twice")
        return answer(order_json(order), 201)

    def _act(self, order: Order, action: Action, body: bytes, now_us: int) -> StoreReply:
        wanted = calls.read_body(body or b"{}", calls.ActionBody)
        if isinstance(wanted, Refusal):
            return refused(wanted)
        amounts = None if wanted.lines is None else {line.id: line.quantity for line in wanted.lines}
        if wanted.lines is not None and amounts is not None and len(amounts) != len(wanted.lines):
            return error(422, "invalid", "a line is named twice")
        done = self.shop.change(order, action, amounts, now_us, restock=wanted.restock)
        if isinstance(done, Refusal):
            return refused(done)
        self._tell_order(order, _KINDS[action], done, now_us, restock=wanted.restock)
        return answer(order_json(order))

    def _post_edit(self, body: bytes, now_us: int) -> StoreReply:
        wanted = calls.read_body(body, calls.Edit)
        if isinstance(wanted, Refusal):
            return refused(wanted)
        listing = self.shop.by_sku.get(wanted.sku)
        if listing is None:
            return error(422, "unknown_sku", "no listing sells this SKU")
        self._desk.edit(listing, wanted.quantity, now_us)
        return answer(listing_json(listing))

    def _post_faults(self, body: bytes) -> StoreReply:
        faults = read_faults(body)
        if isinstance(faults, str):
            return error(400, "invalid", faults)
        self.set_faults(faults)
        return answer(self.faults)

    # -- telling --

    def _tell_order(
        self, order: Order, kind: str, lines: dict[str, int], now_us: int, *, restock: bool = True
    ) -> None:
        stamp = rfc3339(order.updated_us)
        self.ledger.changes.append(OrderChange(stamp, now_us, order.id, kind, lines, restock))
        message = {"topic": "order.updated", "order": order_json(order)}
        self.outbox.post("order.updated", msgspec.json.encode(message), now_us)
        touched = {line.listing.id: line.listing for line in order.lines.values() if line.id in lines}
        for listing in touched.values():
            if listing.changed_us == order.updated_us:
                self._tell_level(listing, now_us)

    def _tell_level(self, listing: Listing, now_us: int) -> None:
        content = listing_json(listing, self.faults.garbled, self.faults.quirks.labels) | {
            "as_of": rfc3339(listing.changed_us)
        }
        self.outbox.post("level.changed", msgspec.json.encode({"topic": "level.changed", "listing": content}), now_us)


def _scripted_read(rule: Rule, reply: StoreReply) -> StoreReply:
    match rule.do:
        case "hold":
            return evolve(reply, delay_s=rule.seconds)
        case "lose" | "late":
            return lost()
        case "fail" | "partial" | "refuse":
            return error(rule.status, "fault", "something broke")
