"""A circuit breaker per channel: stops asking a channel that does not answer, and tries it with one probe."""

from __future__ import annotations

from typing import Literal

from attrs import define

from daemon.domain.instants import SECOND_US

FAILURES_MAX = 5
"""So many failures in a row open the breaker."""
FIRST_OPEN_US = SECOND_US
MOST_OPEN_US = 30 * SECOND_US
"""A channel that answers again is asked within this: what changed while it was down is right soon after."""
PROBE_PATIENCE_US = 300 * SECOND_US
"""A probe that never reports back is forgotten after this."""

BreakerState = Literal["closed", "open", "half_open"]


@define
class Breaker:
    """`failed` and `succeeded` are told after every call; `wait_us` is asked before one; `heard` is told when
    the channel called us. Times are our clock's µs."""

    failures: int = 0
    opened: int = 0
    """How often it opened without a success in between: each time it stays open twice as long."""
    since_us: int = 0
    """When it opened last."""
    until_us: int = 0
    probing_since_us: int = 0

    def state(self, now_us: int) -> BreakerState:
        """closed: calls flow · open: none do · half_open: one probe may, or is under way."""
        if not self.opened:
            return "closed"
        return "open" if now_us < self.until_us else "half_open"

    def wait_us(self, now_us: int) -> int:
        """0 if a call may be made now, else how long to wait before asking again."""
        match self.state(now_us):
            case "closed":
                return 0
            case "open":
                return self.until_us - now_us
            case "half_open":
                probing = self.probing_since_us and now_us < self.probing_since_us + PROBE_PATIENCE_US
                return SECOND_US // 20 if probing else 0

    def begin(self, now_us: int) -> None:
        """A call is being made."""
        if self.state(now_us) == "half_open":
            self.probing_since_us = now_us

    def heard(self, now_us: int) -> bool:
        """The channel itself called us, so it may work again: its probe need not wait any longer. True if that makes
        a difference: never within the first pause, and once each time it opened."""
        if self.state(now_us) != "open" or now_us < self.since_us + FIRST_OPEN_US:
            return False
        self.until_us = now_us
        return True

    def withdraw(self) -> None:
        """What was begun came to nothing: no call was made, so nothing is known."""
        self.probing_since_us = 0

    def succeeded(self) -> bool:
        """The channel answered as it should; True if that closed the breaker."""
        closed = bool(self.opened)
        self.failures = self.opened = self.until_us = self.probing_since_us = 0
        return closed

    def failed(self, now_us: int) -> bool:
        """The channel did not; True if that opened the breaker."""
        self.failures += 1
        probe = self.probing_since_us > 0
        self.probing_since_us = 0
        if not probe and (self.opened or self.failures < FAILURES_MAX):
            return False
        first = not self.opened
        self.opened += 1
        self.since_us = now_us
        self.until_us = now_us + min(MOST_OPEN_US, FIRST_OPEN_US << min(self.opened - 1, 10))
        return first
