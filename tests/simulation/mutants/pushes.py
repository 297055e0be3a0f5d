"""Bugs in how levels get out: slots, dispatchers, accounts."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants.planting import Mutant, Patch

_DISPATCHER: Final = "daemon.outbound.dispatcher:Dispatcher"
_SENDER: Final = "daemon.outbound.sender:Sender"
_SLOT: Final = "daemon.domain.slot:Slot"
_WANTED: Final = "if (current.desired, current.belief) == (sent.level, sent.believed) and not current.withheld():"

PUSHES: Final = (
    Mutant(
        "settle_the_wrong_generation",
        "An acknowledgement settles what is wanted now, not what was sent.",
        "I6",
        (Patch(f"{_SLOT}.confirm", "self.rebase(level, at, lines, now_us)",
               "self.rebase(self.desired or 0, at, lines, now_us)"),),
    ),
    Mutant(
        "lost_coalesced_last_value",
        "While a push is under way a new level is taken for the one that is on its way.",
        "I7",
        (Patch(f"{_SLOT}.want", "if level is None or level == self.desired:",
               "if level is None or level == self.desired or self.in_flight:"),),
    ),
    Mutant(
        "belief_not_lowered_by_own_sale",
        "A channel's own sale is not taken off what we believe it shows.",
        "I7",
        (Patch("daemon.domain.sku:Sku._line_changed", "self._touch(key, seen, now_us, unsure=", "bool("),),
    ),
    Mutant(
        "no_second_look_for_zombies",
        "A listing read back once is done with, also while an older request may still be alive.",
        "I6",
        (Patch(f"{_SLOT}.rechecked", "if self.alive_until_us > asked_us:",
               "if self.alive_until_us > asked_us * 2:"),),
    ),
    Mutant(
        "raise_without_watermark",
        "A level is raised although the channel's order feed has not been read since the wish.",
        "I5",
        (Patch(f"{_DISPATCHER}.raise_waits",
               "return slot.raises() and self.feed.watermark_us() < slot.raise_needs_us(compares=compares)",
               "return False"),),
    ),
    Mutant(
        "unknown_outcome_taken_as_failure",
        "A push whose answer never came did not happen, so it is sent again without a look.",
        "I6",
        (Patch(f"{_SENDER}._meaning",
               "return Doubted(*where, outcome.reason, retry_us, now_us + claim.life_us)",
               "return Failed(*where, outcome.reason, retry_us)"),),
    ),
    Mutant(
        "partial_batch_taken_as_whole_success",
        "One listing of a batch that was written speaks for all of them.",
        "I6",
        (Patch(f"{_SENDER}.send", "outcomes = answer",
               "written = [evolve(each, level=None) for each in answer if each.kind == 'ok']\n"
               "        outcomes = written[:1] * len(claims) or answer"),),
    ),
    Mutant(
        "idempotency_key_repeats",
        "The same wish for the same listing has the same key, also the second time (5, 6, 5).",
        "I6",
        (Patch("daemon.outbound.sender:_call_key",
               'digest.update(f"{claim.sent.listing}\\0{claim.sent.generation}\\0{claim.sent_us}\\n".encode())',
               'digest.update(f"{claim.sent.listing}\\0{claim.sent.level}\\n".encode())'),),
    ),
    Mutant(
        "level_carried_in_a_queue",
        "What was wanted when a push was planned is sent when its turn comes.",
        "I6",
        (Patch(f"{_SENDER}._still_wanted", _WANTED,
               "if current.desired is not None:"),),
    ),
    Mutant(
        "belief_carried_in_a_queue",
        "A push goes with what was believed when it was planned, as long as its level is still wanted.",
        "I6",
        (Patch(f"{_SENDER}._still_wanted", _WANTED,
               "if current.desired == sent.level:"),),
    ),
    Mutant(
        "push_leaves_before_its_mark_is_durable",
        "A push leaves at once; that it left is written meanwhile.",
        "I6",
        (Patch(f"{_DISPATCHER}._push", "await self.store.flush()", "pass"),),
    ),
    Mutant(
        "raise_of_kits_without_watermark",
        "With compare-and-set a kit, or a component, is raised over a sale of the other that nobody knows of.",
        "I5",
        (Patch(f"{_DISPATCHER}.raise_waits",
               "(traits.compare_and_set or traits.includes_held) and not self.shares(slot.sku)",
               "traits.compare_and_set or traits.includes_held"),),
    ),
    Mutant(
        "raise_over_a_dead_letter",
        "A listing is raised while an order line of its SKU lies in a dead letter.",
        "I5",
        (Patch(f"{_DISPATCHER}.raise_stuck", "return slot.raises() and", "return slot.dead_letter > 0 and"),),
    ),
    Mutant(
        "ignore_retry_after",
        "A throttled channel is asked again whenever the backoff says so.",
        "I11",
        (
            Patch("daemon.outbound.account:Account.throttle", "(meter or self.budget).pause(retry_after_s)",
                  "self.budget.pause(0.0)"),
            Patch("daemon.domain.retry:next_attempt", "if outcome.retry_after_s is not None:",
                  "if outcome.kind == 'never':"),
        ),
    ),
    Mutant(
        "breaker_never_half_opens",
        "An open breaker stays open: nothing ever tries whether the channel is back.",
        "I7",
        (Patch("daemon.domain.breaker:Breaker.wait_us", "return self.until_us - now_us",
               "return max(SECOND_US, self.until_us - now_us)"),
         Patch("daemon.domain.breaker:Breaker.state", 'return "open" if now_us < self.until_us else "half_open"',
               'return "open"')),
    ),
    Mutant(
        "restart_forgets_pushes_under_way",
        "After a start nothing is under way, so what was is not looked at.",
        "I6",
        (Patch("daemon.actors.registry:Registry.resume",
               'doubt = Doubted(slot.channel, slot.listing, slot.in_flight, "the daemon stopped", now_us, life)\n'
               '                self.tell([Part(actor.state.sku, doubt, Cause("start", slot.channel))])',
               "slot.in_flight = 0"),),
    ),
    Mutant(
        "settle_at_restart_without_grace",
        "After a start a push that was under way is looked at once; that it may still be alive is forgotten.",
        "I6",
        (Patch("daemon.actors.registry:Registry.resume", "life = now_us + request_life_us(slot.channel)",
               "life = now_us"),),
    ),
    Mutant(
        "new_policy_not_wished_anew",
        "After a start with other rules the listings keep what the old ones asked for.",
        "I7",
        (Patch("daemon.actors.registry:Registry.resume",
               "self._wish_all(self.store.head.seq + 1, now_us, self.policy_of)", "pass"),),
    ),
)  # fmt: skip
