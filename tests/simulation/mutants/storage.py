"""Bugs in what survives: the log, the rows behind it, the start after a crash."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants.planting import Mutant, Patch

_REGISTRY: Final = "daemon.actors.registry:Registry"

STORAGE: Final = (
    Mutant(
        "fold_order_changed_across_replay",
        "At a start the log's tail is repeated newest first.",
        "I10",
        (Patch(f"{_REGISTRY}.replay", "for record in self.store.replay():",
               "for record in reversed(list(self.store.replay())):"),),
    ),
    Mutant(
        "nothing_repeated_after_a_crash",
        "The log's tail is not repeated at a start: the rows are taken for the state.",
        "I10",
        (Patch(f"{_REGISTRY}.replay", "for record in self.store.replay():", "for record in ():"),),
    ),
    Mutant(
        "log_record_without_state",
        "The mark up to which rows are complete is written before the rows.",
        "I10",
        (Patch("daemon.storage.store:Store.checkpoint", "rows = list(behind)",
               "rows = list(behind)\n    self.put(META, b\"checkpoint\", pack((seq, delivery)))\n"
               "    await self.flush()"),),
    ),
    Mutant(
        "state_without_log_record",
        "What an order line changes is applied, and every fiftieth time not written down.",
        "I10",
        (Patch(f"{_REGISTRY}._logged", "if not step.log:", "if not step.log or now_us % 50 == 0:"),),
    ),
    Mutant(
        "base_without_the_last_event",
        "What compacted events made of a SKU is folded up to the last but one of them.",
        "I10",
        (Patch("daemon.app.compaction:Compactor._found", "Folding.begin(store, sku, end,",
               "Folding.begin(store, sku, (store.history(sku, before=end + 1, limit=1)[0].seq - 1),"),),
    ),
    Mutant(
        "events_gone_before_their_floor",
        "Compacted events go in a transaction of their own, before the one that says where the log begins.",
        "I10",
        (Patch("daemon.storage.store:Store.compact", "self.head.records -= events",
               "self.head.records -= events\n    await self.flush()"),),
    ),
    Mutant(
        "no_work_taken_up_after_a_start",
        "Listings that needed a push before a crash wait for their next change.",
        "I7",
        (Patch(f"{_REGISTRY}.resume", "self._offer(slot, now_us)", "pass"),),
    ),
    Mutant(
        "pause_forgotten_at_a_start",
        "A channel that a person paused is pushed to again after a restart.",
        "I8",
        (Patch("daemon.app.daemon:Daemon._recover", "parts.channels[name].account.paused = True", "pass"),),
    ),
    Mutant(
        "shadow_forgotten_at_a_start",
        "A channel that a person put into shadow is pushed to again after a restart.",
        "I8",
        (Patch("daemon.app.modes:ModeSwitch._become", "self.modes.keep(self.name, new)", "pass"),),
    ),
    Mutant(
        "shadow_is_only_a_word",
        "A channel in shadow is called so, and pushed to like any other.",
        "I8",
        (Patch("daemon.app.modes:ModeSwitch._obey", "watched = not self.mode.writes", "watched = False"),
         Patch("daemon.app.modes:ModeSwitch.go_shadow", "self.account.shadow = True", "pass")),
    ),
)  # fmt: skip
