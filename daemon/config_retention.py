"""`retention:` -> how long, and how much, is kept."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from daemon.config_fields import Section
from daemon.domain.instants import DAY_US
from daemon.storage.dead_letters import DEAD_LETTERS_MAX
from daemon.storage.drifts import DAYS_MAX, DRIFTS_MAX
from daemon.storage.tables import CHAIN_EVERY

MOVED = {"dedup_days": "dedup_days", "retention_days": "deliveries_days"}
"""Keys that stood under `storage` once, and what they are here."""

HISTORY_DAYS_MIN = 30
"""Events that a person, or a channel that tells late, may still come back to."""


@frozen
class RetentionSettings:
    """Days, and numbers at most.

    history_days: events, 0: for ever; the newest of each SKU stay however old ·
    dedup_days: delivery ids (correctness does not rest on them) · deliveries_days, deliveries_max: bodies of
    deliveries, neither of which ends one before its id · drifts_max: drifts in full · drift_days: how many there were
    of each cause, day by day · dead_letters_max: dead letters, see `DeadLetters.add` for what gives way ·
    dead_letters_days: those that hold no sale (puzzles, and what came after its time was settled)
    """

    history_days: int = 1_095
    dedup_days: int = 14
    deliveries_days: int = 90
    deliveries_max: int = 10_000_000
    drifts_max: int = DRIFTS_MAX
    drift_days: int = DAYS_MAX
    dead_letters_max: int = DEAD_LETTERS_MAX
    dead_letters_days: int = 3_650
    history_grain: ClassVar[int] = CHAIN_EVERY
    """Events that go together: up to where the chain is stored, so that it can be checked first."""

    @property
    def history_us(self) -> int:
        return self.history_days * DAY_US

    @property
    def dedup_us(self) -> int:
        return self.dedup_days * DAY_US

    @property
    def deliveries_us(self) -> int:
        return self.deliveries_days * DAY_US

    @property
    def dead_letters_us(self) -> int:
        return self.dead_letters_days * DAY_US


def read_retention(section: Section) -> RetentionSettings:
    """Read the section; each bound below is what the daemon needs to stay right."""
    default = RetentionSettings()
    found = RetentionSettings(
        history_days=section.whole("history_days", default.history_days, 0, 36_500),
        # The most patient sender we know tries again for three days; seven leave room for a long weekend.
        dedup_days=section.whole("dedup_days", default.dedup_days, 7, 3_650),
        deliveries_days=section.whole("deliveries_days", default.deliveries_days, 1, 36_500),
        deliveries_max=section.whole("deliveries_max", default.deliveries_max, 10_000, 1_000_000_000),
        # Judging a drift looks at the newest hundreds of its channel.
        drifts_max=section.whole("drifts_max", default.drifts_max, 1_000, 1_000_000),
        drift_days=section.whole("drift_days", default.drift_days, 30, 36_500),
        dead_letters_max=section.whole("dead_letters_max", default.dead_letters_max, 1_000, 1_000_000),
        dead_letters_days=section.whole("dead_letters_days", default.dead_letters_days, 30, 36_500),
    )
    if 0 < found.history_days < HISTORY_DAYS_MIN:
        section.problem("history_days", f"must be 0 (for ever) or {HISTORY_DAYS_MIN} at least")
    section.finish()
    return found


def say_where_moved(storage: Section) -> None:
    """Keys that once stood under `storage`."""
    for old, new in MOVED.items():
        if storage.node(old) is not None:
            storage.problem(old, f"write it as retention.{new} now")
