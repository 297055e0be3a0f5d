"""When to try again, and when to stop: full-jitter exponential backoff per class of outcome."""

from __future__ import annotations

from attrs import frozen

from daemon.domain.outcomes import Outcome, OutcomeKind


@frozen
class Backoff:
    """`first_s` doubles with every attempt up to `most_s`; after `attempts_max` attempts it is a dead letter."""

    first_s: float
    most_s: float
    attempts_max: int


SCHEDULE: dict[OutcomeKind, Backoff] = {
    # A throttle is the channel's own word about when to come back: it never kills a push.
    "throttled": Backoff(1.0, 300.0, 1_000_000),
    # Patience of more than a day, longer than the most patient webhook sender we know.
    "transient": Backoff(0.25, 900.0, 300),
    "unknown": Backoff(0.25, 900.0, 300),
    "conflict": Backoff(0.05, 30.0, 1_000),
    "permanent": Backoff(0.0, 0.0, 1),
}


def next_attempt(outcome: Outcome, attempt: int, chance: float) -> float | None:
    """Seconds until attempt `attempt + 1`, or None: give up and make it a dead letter.

    `attempt` counts from 1; `chance` is uniform in [0, 1). A `Retry-After` is obeyed exactly: never earlier,
    and never later than what one further jitter of the first step spreads.
    """
    if outcome.kind in ("ok", "superseded"):
        raise ValueError(f"nothing to retry after {outcome.kind}")
    backoff = SCHEDULE[outcome.kind]
    if attempt >= backoff.attempts_max:
        return None
    if outcome.retry_after_s is not None:
        return outcome.retry_after_s
    return chance * float(min(backoff.most_s, backoff.first_s * 2.0 ** min(attempt - 1, 40)))
