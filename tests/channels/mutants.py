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


EVERY: Final = ("amazon", "bigcommerce", "ebay", "etsy", "shopify", "tiktok_shop", "walmart", "woocommerce")
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
    ),
    Planted(
        Mutant(
            "open_orders_forgotten_walmart",
            "What Walmart is told lacks the units of its open orders, which it takes off by itself.",
            "I7",
            (Patch("adapters.walmart.push:_request", '"amount": push.level}', '"amount": max(0, push.level - 1)}'),),
        ),
        ("walmart",),
    ),
)  # fmt: skip

MUTANTS: Final[dict[str, Planted]] = {each.mutant.name: each for each in _LISTED}
