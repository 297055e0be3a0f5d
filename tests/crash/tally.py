"""What came of killing, in numbers: of one round, of all, and of several loops side by side."""

from __future__ import annotations

from attrs import define, field


@define
class Result:
    """What came of it; `problems` empty means that all is well."""

    kills: int = 0
    seed: int = 0
    rounds: int = 0
    kills_during_start: int = 0
    kills_during_stop: int = 0
    starts: int = 0
    start_to_ready_ms: float = 0.0
    slowest_start_ms: float = 0.0
    orders: int = 0
    changes: int = 0
    posts: int = 0
    """By the tellers, repeats included."""
    audits: int = 0
    """Restarts after which the log was read and held everything acknowledged until then."""
    acked: int = 0
    lost: int = 0
    twice: int = 0
    refused: int = 0
    miscounted: int = 0
    units_miscounted: int = 0
    oversold_skus: int = 0
    oversold_units: int = 0
    converged_s: float = 0.0
    """The slowest round."""
    events: int = 0
    seconds: float = 0.0
    kills_per_minute: float = 0.0
    problems: list[str] = field(factory=list)

    def add(self, other: Result) -> None:
        """Take in what another round, or another loop at the same time, found. Seconds are the caller's."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _WORST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.problems += other.problems

    def timed(self, seconds: float) -> None:
        """How long it took in all."""
        self.seconds = round(seconds, 1)
        self.kills_per_minute = round(self.kills * 60 / seconds, 1)


_SUMMED = (
    "kills", "rounds", "kills_during_start", "kills_during_stop", "starts", "orders", "changes", "posts", "audits",
    "acked", "lost", "twice", "refused", "miscounted", "units_miscounted", "oversold_skus", "oversold_units",
    "events",
)  # fmt: skip
_WORST = ("start_to_ready_ms", "slowest_start_ms", "converged_s")
