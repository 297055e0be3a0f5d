"""What came of a call to a channel, as a value. Adapters report outcomes; the dispatcher decides what they mean."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from daemon.domain.instants import Span

OutcomeKind = Literal["ok", "conflict", "superseded", "throttled", "transient", "permanent", "unknown", "accepted"]


@frozen
class Outcome:
    """
    ok: the channel shows `level` as of `own` (its own clock, µs), for as long as nothing else happens there
    conflict: compare-and-set refused; the channel shows `level` (None where it does not say)
    superseded: a newer level is there already, nothing to do
    throttled: not done, too fast; wait `retry_after_s` where given
    transient: surely not done, may work later
    permanent: surely not done, will never work as it is
    unknown: may have been done, or may still be
    accepted: taken in, and decided later: `job` is followed to its end. It settles nothing by itself
    """

    kind: OutcomeKind
    reason: str = ""
    level: int | None = None
    own: Span | None = None
    retry_after_s: float | None = None
    whole_call: bool = False
    """True where the whole batch was refused and one bad row may be the cause: it is worth halving."""
    job: str = ""
    """What the channel calls the work that will decide an accepted push."""


@frozen
class Failure:
    """A read that gave nothing: why, and whether trying again can help."""

    outcome: Outcome

    @property
    def reason(self) -> str:
        return self.outcome.reason
