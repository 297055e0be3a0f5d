"""How far a channel's acknowledgements are believed, by what reading back found. Pure.

trusted: a small share of pushes is read back · doubted: a large one is · downgraded: every push is read back before
it counts as settled. One lie makes doubtful; several among the newest samples downgrade; a long row of kept ones is
asked for on the way back, so that a channel that lies now and then does not change its standing all the time.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from attrs import define, field

Trust = Literal["trusted", "doubted", "downgraded"]

WINDOW = 20
"""The newest samples that count."""
LIES_MAX = 3
"""So many lies among them downgrade a doubted channel. Fewer may be somebody at the shop, typing in between."""
CLEAN_TO_DOUBTED = 40
CLEAN_TO_TRUSTED = 20
"""So many kept ones in a row lead one step back."""
SHARES: dict[Trust, float] = {"trusted": 0.02, "doubted": 0.5, "downgraded": 1.0}
"""The part of the acknowledged pushes that is read back."""


@define
class Judge:
    """The standing of one channel."""

    trust: Trust = "trusted"
    since_us: int = 0
    """When it came to that; 0 while it was never otherwise."""
    kept: int = 0
    lies: int = 0
    _window: deque[bool] = field(factory=lambda: deque(maxlen=WINDOW))
    _clean: int = 0

    @property
    def share(self) -> float:
        """The part of the acknowledged pushes to be read back."""
        return SHARES[self.trust]

    def resume(self, since_us: int) -> None:
        """It was downgraded when a life before this ended."""
        self.trust, self.since_us = "downgraded", since_us

    def suspected(self, now_us: int) -> None:
        """Something that was not in the sample looks like a lie: look at more."""
        if self.trust == "trusted":
            self._become("doubted", now_us)

    def judged(self, *, kept: bool, now_us: int) -> Trust:
        """One more acknowledgement was held against what the channel showed; the standing after that."""
        self.kept += kept
        self.lies += not kept
        self._window.append(kept)
        self._clean = self._clean + 1 if kept else 0
        match self.trust:
            case "trusted" if not kept:
                self._become("doubted", now_us)
            case "doubted" if self._window.count(False) >= LIES_MAX:
                self._become("downgraded", now_us)
            case "doubted" if self._clean >= CLEAN_TO_TRUSTED:
                self._become("trusted", now_us)
                self._window.clear()
            case "downgraded" if self._clean >= CLEAN_TO_DOUBTED:
                self._become("doubted", now_us)
                self._window.clear()
            case _:
                pass
        return self.trust

    def _become(self, trust: Trust, now_us: int) -> None:
        self.trust, self.since_us = trust, now_us
        self._clean = 0
