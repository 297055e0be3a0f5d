"""Bugs in adapters and in the daemon, and the channels where they must be found: is the judge awake?"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from tests.simulation.mutants.planting import Mutant, Patch


@frozen
class Planted:
    """A bug, and the channels that it concerns."""

    mutant: Mutant
    channels: tuple[str, ...]
    within: int = 0
    """In so many worlds of a channel, from seed 0 on, it is found; 0: nobody states a number, see the README."""
    every: bool = False
    """Does it take worlds where each kind has its turn and nobody compares listings, because others write little?"""


EVERY: Final = (
    "amazon",
    "bigcommerce",
    "ebay",
    "etsy",
    "shopify",
    "tiktok_shop",
    "vendure",
    "walmart",
    "woocommerce",
)
_HELD: Final = "daemon.outbound.tokens:_Held"

_LISTED: Final = (
    Planted(
        Mutant(
            "token_never_renewed",
            "An access token that was given once is used for ever, also when it is refused.",
            "I7",
            (
                Patch(f"{_HELD}.fresh", "bool(self.value) and now < self.renew_at", "bool(self.value)"),
                Patch("daemon.outbound.tokens:Tokens.refused", "if held.value == value:", "if not held.value:"),
            ),
        ),
        ("shopify", "walmart", "tiktok_shop"),
        within=8,
    ),
    Planted(
        Mutant(
            "timeout_taken_as_success",
            "A push that nobody answered was done.",
            "I6",
            (Patch("daemon.outbound.sender:Sender.send", '"unknown" if answer.reached', '"ok" if answer.reached'),),
        ),
        EVERY,
    ),
    Planted(
        Mutant(
            "stale_read_believed",
            "What a listing shows just before it is written does not matter.",
            "I5",
            (Patch("daemon.outbound.reader:Reader.as_believed", "if astray:", "astray = []\n    if astray:"),),
        ),
        ("bigcommerce", "ebay", "woocommerce"),
    ),
    Planted(
        Mutant(
            "feed_without_overlap",
            "The order feed goes on exactly where it ended, though what it shows may lag.",
            "I4",
            (Patch("daemon.ingress.poller:Poller._read_feed",
                   "since_us = high_us - int(traits.overlap_s * SECOND_US)", "since_us = high_us"),),
        ),
        ("ebay", "etsy", "walmart"),
    ),
    Planted(
        Mutant(
            "partly_refused_taken_as_done_woocommerce",
            "A row of a batch that the store refused within its 200 was written.",
            "I7",
            (Patch("adapters.woocommerce.push:_settled", "return _item_refused(item.error)",
                   'return Outcome("ok")'),),
        ),
        ("woocommerce",),
        within=8,
    ),
    Planted(
        Mutant(
            "partly_refused_taken_as_done_ebay",
            "An entry that eBay refused within its 207 was written.",
            "I7",
            (Patch("adapters.ebay.push:_outcome", "if not 200 <= each.status_code < 300]",
                   "if each.status_code < 200]"),),
        ),
        ("ebay",),
    ),
    Planted(
        Mutant(
            "partly_refused_taken_as_done_tiktok_shop",
            "A SKU that an error names under a code of 0 was written.",
            "I7",
            (Patch("adapters.tiktok_shop.push:_read", "if name is None:", 'if name is not None or stray == "":'),),
        ),
        ("tiktok_shop",),
    ),
    Planted(
        Mutant(
            "accepted_taken_as_done_amazon",
            "A level that Amazon took in shows at once.",
            "I6",
            (Patch("adapters.amazon.push:_submitted", 'Outcome("accepted", job=', 'Outcome("ok", reason='),),
        ),
        ("amazon",),
        every=True,
    ),
    Planted(
        Mutant(
            "cancelled_receipts_never_read",
            "Etsy's feed is read in one pass, which lacks the cancelled receipts.",
            "I4",
            (Patch("adapters.etsy.receipts:read_receipts",
                   'next_page = "" if cursor.cancelled else str(start._replace(cancelled=True))', 'next_page = ""'),),
        ),
        ("etsy",),
        within=8,
    ),
    Planted(
        Mutant(
            "unpaid_orders_hold_nothing_amazon",
            "An order of Amazon's that is not paid yet takes no units.",
            "I4",
            (Patch("adapters.amazon.orders:_line", "if status == NOT_YET:", 'if status in (NOT_YET, "PENDING"):'),),
        ),
        ("amazon",),
        within=8,
    ),
    Planted(
        Mutant(
            "cancelled_orders_hold_amazon",
            "An order that Amazon cancelled as a whole keeps its units.",
            "I4",
            (Patch("adapters.amazon.orders:_line", "elif status == CANCELLED or item.cancelled():",
                   "elif item.cancelled():"),),
        ),
        ("amazon",),
        within=8,
    ),
    Planted(
        Mutant(
            "feed_taken_as_done_when_made_amazon",
            "Every level of a feed shows once the feed is made.",
            "I6",
            (Patch("adapters.amazon.feed:_hand_in", 'return Outcome("accepted", job=FEED + feed)',
                   'return Outcome("ok")'),),
        ),
        ("amazon",),
        every=True,
    ),
    Planted(
        Mutant(
            "shown_written_as_on_hand_bigcommerce",
            "What shoppers are to see is written as what lies on the shelf, without the safety stock.",
            "I7",
            (Patch("adapters.bigcommerce.push:_ready", "return _Row(push, listing, push.level + safety)",
                   "return _Row(push, listing, push.level)"),),
        ),
        ("bigcommerce",),
        within=8,
    ),
    Planted(
        Mutant(
            "refund_gives_back_bigcommerce",
            "A refunded order of BigCommerce's has put its units back, and a cancelled one has not.",
            "I4",
            (Patch("adapters.bigcommerce.payloads:order_seen", "released = order.status_id in _HOLDING_NOTHING or",
                   "released = order.status_id == REFUNDED or"),),
        ),
        ("bigcommerce",),
        within=8,
    ),
    Planted(
        Mutant(
            "unpaid_purchases_never_read_ebay",
            "Purchases that only eBay's older interface tells of are left out until they are paid.",
            "I4",
            (Patch("adapters.ebay.trading:read_page", "if is_paid(order):", "if order is not None:"),),
        ),
        ("ebay",),
        within=8,
    ),
    Planted(
        Mutant(
            "cancelled_purchases_hold_ebay",
            "A purchase that was cancelled keeps its units.",
            "I4",
            (Patch("adapters.ebay.payloads:_line_seen", "cancelled=ordered if cancelled and not shipped else 0",
                   "cancelled=0"),),
        ),
        ("ebay",),
        within=8,
    ),
    Planted(
        Mutant(
            "cancelled_receipts_hold_etsy",
            "A cancelled receipt keeps the units that were never sent.",
            "I4",
            (Patch("adapters.etsy.payloads:_line_seen",
                   'held = 0 if receipt.status.lower() == "canceled" and not sent else quantity',
                   "held = quantity"),),
        ),
        ("etsy",),
        within=8,
    ),
    Planted(
        Mutant(
            "new_refresh_token_not_kept",
            "A refresh token that took the place of another is used, and not written down.",
            "I3",
            (Patch("daemon.outbound.tokens:Tokens._use",
                   "why = await self.vault.keep(held.source.name, held.source.refresh, token.refresh)", 'why = ""'),),
        ),
        ("etsy", "tiktok_shop"),
        within=8,
    ),
    Planted(
        Mutant(
            "returned_units_not_on_the_shelf_shopify",
            "What was sent and came back still counts as sent.",
            "I4",
            (Patch("adapters.shopify.payloads:_line_seen", "- cancelled - restocked)", "- cancelled)"),),
        ),
        ("shopify",),
        within=8,
    ),
    Planted(
        Mutant(
            "refund_without_restock_counted_shopify",
            "Whatever is refunded lies on the shelf again.",
            "I4",
            (Patch("adapters.shopify.payloads:_line_seen", "if row.restock in RETURNED)",
                   "if row.restock in RETURNED | KEPT_AWAY)"),),
        ),
        ("shopify",),
        within=8,
    ),
    Planted(
        Mutant(
            "unpaid_units_hold_nothing_tiktok_shop",
            "A unit that nobody paid for yet is free.",
            "I4",
            (Patch("adapters.tiktok_shop.payloads:_fate", "return _Fate(cancelled=False, sent=False)",
                   'return _Fate(cancelled=status == "UNPAID", sent=False)'),),
        ),
        ("tiktok_shop",),
        within=8,
    ),
    Planted(
        Mutant(
            "allocated_forgotten_vendure",
            "What is free is written as what lies on the shelf, without the units that are allocated.",
            "I7",
            (Patch("adapters.vendure.push:_ready", "on_hand = push.level + _allocated(variant, shelf.location)",
                   "on_hand = push.level"),),
        ),
        ("vendure",),
        within=8,
    ),
    Planted(
        Mutant(
            "cancelled_units_hold_vendure",
            "Units that were cancelled are still taken.",
            "I4",
            (Patch("adapters.vendure.payloads:_line_seen", "cancelled=ordered - line.quantity", "cancelled=0"),),
        ),
        ("vendure",),
        within=8,
    ),
    Planted(
        Mutant(
            "open_orders_forgotten_walmart",
            "What Walmart is told lacks the units of its open orders, which it takes off by itself.",
            "I7",
            (Patch("daemon.app.assembly:assemble", "adds_held=traits.includes_held", "adds_held=False"),),
        ),
        ("walmart",),
        within=8,
    ),
    Planted(
        Mutant(
            "acknowledged_taken_as_sent_walmart",
            "Units of an order that the seller acknowledged have left the shelf.",
            "I4",
            (Patch("adapters.walmart.orders:_quantities", 'case "Created" | "Acknowledged":', 'case "Created":'),),
        ),
        ("walmart",),
        within=8,
    ),
    Planted(
        Mutant(
            "refused_in_a_feed_taken_as_done_walmart",
            "A feed that was processed did all that stood in it.",
            "I7",
            (Patch("adapters.walmart.feeds:_of_item", 'return Outcome("permanent", reason)',
                   'return Outcome("ok", level=level)'),),
        ),
        ("walmart",),
    ),
    Planted(
        Mutant(
            "all_orders_are_sent_woocommerce",
            "An order of WooCommerce's that is in process has left the shelf.",
            "I4",
            (Patch("adapters.woocommerce.payloads:_line_seen", "fulfilled=held if sent else 0", "fulfilled=held"),),
        ),
        ("woocommerce",),
        within=8,
    ),
)  # fmt: skip

MUTANTS: Final[dict[str, Planted]] = {each.mutant.name: each for each in _LISTED}
