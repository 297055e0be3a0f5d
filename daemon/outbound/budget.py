"""A channel account's call budget: a token bucket, and the channel's own word about what is left and when to come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio
from attrs import define, field

from daemon.domain.access import Limits

SHORTEST_S = 0.001
"""The shortest wait: one too short for the clock to show would be waited for for ever."""


@define
class Budget:
    """At most `rate_per_s` calls a second, `burst` at once, and none before `paused_until` (Trio's clock).

    A throttle halves the rate for a while: the true limit is learned from the channel. Where that counts something
    else than calls, so does this.
    """

    rate_per_s: float
    burst: int
    throttled: int = 0
    paused_until: float = 0.0
    _tokens: float = field(init=False)
    _filled_at: float = field(init=False)
    _slowed_until: float = 0.0
    _under_way: float = 0.0
    _turn: trio.Lock = field(factory=trio.Lock)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.burst)
        self._filled_at = -1.0

    async def spend(self, cost: float = 1.0) -> None:
        """Wait for one call's worth. First come, first served. What costs more than there ever is leaves a debt."""
        async with self._turn:
            while True:
                wanted = min(cost, float(self.burst))
                wait = max(self.paused_until - trio.current_time(), self._missing(wanted) / self._rate())
                if wait <= 0:
                    break
                await trio.sleep(max(wait, SHORTEST_S))
            self._tokens -= cost

    @contextmanager
    def under_way(self, cost: float) -> Iterator[None]:
        """A call that was spent for is with the channel: what that says is left may not hold it yet."""
        self._under_way += cost
        try:
            yield
        finally:
            self._under_way -= cost

    def owe(self, cost: float) -> None:
        """A call that has had its turn costs so much more: the next ones wait for it."""
        self._tokens -= cost

    def learn(self, limits: Limits) -> None:
        """The channel's own figures, of a call that is answered. What others under way will cost is not in them."""
        if limits.capacity is not None and limits.capacity >= 1:
            self.burst = int(limits.capacity)
        if limits.rate_per_s is not None and limits.rate_per_s > 0:
            self._missing()  # what came in so far came in at the old rate
            self.rate_per_s = limits.rate_per_s
        if limits.remaining is not None:
            self._missing()  # from here on, it fills from what is left
            self._tokens = min(float(self.burst), limits.remaining - self._under_way)
        if limits.pause_s is not None and limits.pause_s > 0:
            self.paused_until = max(self.paused_until, trio.current_time() + limits.pause_s)

    def pause(self, retry_after_s: float) -> None:
        """The channel throttled us: nothing leaves before that, and then at half the pace for a minute."""
        now = trio.current_time()
        self.throttled += 1
        self.paused_until = max(self.paused_until, now + retry_after_s)
        self._slowed_until = self.paused_until + 60.0
        # One call when the pause is over, not everything that a pause would have saved up.
        self._tokens = 1.0
        self._filled_at = self.paused_until

    def spare(self) -> bool:
        """Is there room for a call that nobody waits for: nobody else waits, and half of a burst is saved up?"""
        if self._turn.locked() or self.paused_s():
            return False
        self._missing()
        return self._tokens >= max(1.0, self.burst / 2) - 1e-9

    def paused_s(self) -> float:
        """Seconds until the channel may be asked again; 0 if now."""
        return max(0.0, self.paused_until - trio.current_time())

    def _rate(self) -> float:
        return self.rate_per_s / 2 if trio.current_time() < self._slowed_until else self.rate_per_s

    def _missing(self, wanted: float = 1.0) -> float:
        now = trio.current_time()
        if 0 <= self._filled_at < now:
            self._tokens = min(float(self.burst), self._tokens + (now - self._filled_at) * self._rate())
        self._filled_at = max(self._filled_at, now)
        return max(0.0, wanted - self._tokens - 1e-9)
