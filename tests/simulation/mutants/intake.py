"""Bugs in how facts get in: webhooks, polls, strangers, poison."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants.planting import Mutant, Patch

_RECEIVER: Final = "daemon.ingress.receiver:Receiver"

INTAKE: Final = (
    Mutant(
        "dedup_key_not_committed",
        "The key under which a repeated delivery is known is not kept.",
        "I2",
        (Patch(f"{_RECEIVER}._keep", "self.seen.add(key, stored)", "pass"),),
    ),
    Mutant(
        "ack_before_commit",
        "A webhook is answered when its observations are in the mailbox.",
        "I3",
        (Patch(f"{_RECEIVER}._accept", "await self.registry.deliver(parts, finish)",
               "self.registry._post(Unit(parts, finish))"),),
    ),
    Mutant(
        "twin_acknowledged_before_the_first",
        "A copy of a delivery that is still under way is acknowledged at once.",
        "I3",
        (Patch(f"{_RECEIVER}._known", "with trio.move_on_after(ANSWER_S):",
               "if key in self.under_way:\n        return 1\n    with trio.move_on_after(ANSWER_S):"),),
    ),
    Mutant(
        "effects_before_the_raw_body",
        "What a webhook says is applied in one transaction, its body kept in the next.",
        "I3",
        (Patch(f"{_RECEIVER}._accept", "await self.registry.deliver(parts, finish)",
               "finish(await self.registry.deliver(parts)); await self.store.flush()"),),
    ),
    Mutant(
        "cursor_moved_before_the_page_is_durable",
        "The place in the order feed is written before the orders up to it.",
        "I3",
        (Patch("daemon.ingress.poller:Poller._read_feed",
               "finish = None if page else lambda done=done: self.cursors.move(account.name, done)",
               "finish = None if page else self.cursors.move(account.name, done)\n"
               "        await self.receiver.store.flush()"),),
    ),
    Mutant(
        "mailbox_overflow_drops_silently",
        "A mailbox holds the newest three messages; older ones make room.",
        "I11",
        (Patch("daemon.actors.actor:Actor.post", "self.mailbox = deque()", "self.mailbox = deque(maxlen=3)"),),
    ),
    Mutant(
        "strangers_delivery_wakes_an_actor",
        "The actors a delivery is for are woken while its signature is checked.",
        "I12",
        (Patch(f"{_RECEIVER}.receive", "if finding != \"ok\":",
               "for sku in intake.normaliser.likely_skus(intake.adapter.parse(delivery)):\n"
               "        self.registry.actor(sku)\n"
               "    if finding != \"ok\":"),),
    ),
    Mutant(
        "unsigned_deliveries_accepted",
        "A delivery without any signature is taken for one that needs none.",
        "I12",
        (Patch(f"{_RECEIVER}.receive", "if finding != \"ok\":", "if finding not in (\"ok\", \"missing\"):"),),
    ),
    Mutant(
        "wrong_sku_of_an_alias",
        "An order line belongs to the SKU it names, whatever its listing is linked to.",
        "I4",
        (Patch("daemon.ingress.normalise:Normaliser._sku_of",
               "known = self.orders.sku_of(self.channel, order, line.line) or "
               "self.links.sku_of(self.channel, line.listing)",
               "known = line.seller_sku or self.links.sku_of(self.channel, line.listing)"),),
    ),
    Mutant(
        "dead_letter_swallowed",
        "What cannot be understood is counted, and not kept.",
        "I9",
        (Patch("daemon.storage.dead_letters:DeadLetters.add",
               "self.store.put(DEAD, number(letter.letter), _dump(letter))", "pass"),),
    ),
    Mutant(
        "quarantine_blocks_the_sku",
        "One observation that an actor crashes on stops the whole SKU.",
        "I9",
        (Patch("daemon.actors.registry:Registry._crashed", "if len(fresh.crashes) >= CRASHES_MAX:",
               "if fresh.crashes:"),),
    ),
    Mutant(
        "first_counts_under_way_forgotten",
        "A SKU whose first count is on its way is counted once more, by the next channel.",
        "I4",
        (Patch("daemon.ingress.catalogue:FirstCounts._uncounted",
               "if sku in self._telling or sku in self.registry.kits:", "if sku in self.registry.kits:"),),
    ),
)  # fmt: skip
