"""Bugs in what is true: counts, order lines, adjustments, levels."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants.planting import Mutant, Patch

_APPLY_LINE: Final = "daemon.domain.stock:Stock._apply_line"
_MET: Final = "daemon.domain.stock:Stock._met"

STOCK: Final = (
    Mutant(
        "clamp_negative_stock",
        "What is available never goes below zero, so debt is forgotten.",
        "I4",
        (
            Patch(
                "daemon.domain.stock:Stock.available",
                "return counted - sum(self.settled.values()) - self._units",
                "return max(0, counted - sum(self.settled.values()) - self._units)",
            ),
        ),
    ),
    Mutant(
        "last_write_wins_by_wall_clock",
        "What is told of an order line last replaces what was known of it.",
        "I1",
        (
            Patch(
                _MET,
                "line = line_of(seen) if known is None else known.join(line_of(seen))",
                "line = line_of(seen)",
            ),
        ),
    ),
    Mutant(
        "delta_instead_of_absolute_on_duplicates",
        "A line told again takes its units again.",
        "I2",
        (Patch(_APPLY_LINE, "if line is None or line == known:",
               "if line is None or line == known:\n        line and self._count_in(self._line_share(key, line))"),),
    ),
    Mutant(
        "cancel_before_create_dropped",
        "A cancellation of an order that is not known yet is dropped.",
        "I3",
        (
            Patch(
                _MET,
                "if known is None and (seen.placed or seen.at).at.hi < self.settled_us:",
                'if known is None and seen.cancelled:\n'
                '        return "known", None\n'
                "    if known is None and (seen.placed or seen.at).at.hi < self.settled_us:",
            ),
        ),
    ),
    Mutant(
        "older_count_overrides_newer",
        "Whichever count is told last is the anchor.",
        "I1",
        (
            Patch(
                "daemon.domain.stock:Stock._apply_count",
                "anchor.rank() <= current.rank()",
                "anchor.rank() == current.rank()",
            ),
        ),
    ),
    Mutant(
        "on_hand_count_read_as_available",
        "A count of what lies on the shelf is taken for one of what may be sold.",
        "I4",
        (Patch("daemon.domain.stock:Stock._line_share", 'if anchor.kind == "available":', "if anchor.kind:"),),
    ),
    Mutant(
        "adjustment_repeated_counts_twice",
        "An adjustment told again under its reference gets a second place beside the first.",
        "I2",
        (
            Patch(
                "daemon.domain.stock:Stock._apply_adjustment",
                "key = (seen.source, seen.reference)",
                "key = (seen.source, f'{seen.reference}#{len(self.adjustments)}')",
            ),
        ),
    ),
    Mutant(
        "refund_without_restock_gives_units_back",
        "Every refund counts as units that can be sold again.",
        "I4",
        (
            Patch(
                "adapters.sandbox_wire:WireLine",
                "restocked: Units = 0",
                'restocked: Units = msgspec.field(default=0, name="refunded")',
                ("WireOrder", "Message"),
            ),
        ),
    ),
    Mutant(
        "clock_offset_ignored",
        "A channel's stamps are read as if its clock were ours.",
        "I4",
        (
            Patch(
                "daemon.outbound.account:Account.instant",
                "return Instant(self.offset.ours(own, self.wall_us()), own)",
                "return Instant(own, own)",
            ),
        ),
    ),
    Mutant(
        "lines_of_a_deleted_order_kept",
        "A line that a newer version of its order no longer lists keeps its units.",
        "I4",
        (Patch("daemon.storage.orders:OrderEntry.learn", "if name not in listed:", "if not listed:"),),
    ),
    Mutant(
        "null_read_as_zero",
        "A listing whose quantity is null is one with none left.",
        "I8",
        (
            Patch(
                "adapters.sandbox_wire:level_seen",
                "return LevelSeen(level.listing, level.quantity, own",
                "return LevelSeen(level.listing, level.quantity or 0, own",
            ),
        ),
    ),
    Mutant(
        "freeze_ignored",
        "A frozen SKU's listings go on following its stock.",
        "I8",
        (Patch("daemon.domain.sku:Sku._wish", "if self.freeze is not None:",
               "if self.freeze is not None and now_us < 0:"),),
    ),
    Mutant(
        "buffer_forgotten_below_it",
        "The buffer is kept back only while there is more than it.",
        "I7",
        (Patch("daemon.domain.policy:explained", "if policy.buffer:",
               "if policy.buffer and available > policy.buffer:"),),
    ),
)  # fmt: skip
