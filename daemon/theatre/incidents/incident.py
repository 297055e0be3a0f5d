"""One named incident: what it is called, what is done, what is right, and how it is played and judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from daemon.theatre.evidence import Evidence, Verdict
from daemon.theatre.scene import Scene, Setting

Judge = Callable[[Evidence, Verdict], None]


@frozen
class Incident:
    """`deed` and `right` are for a shop owner. `judge` looks at the storefronts' ledgers alone, and must say what
    happened; `inside` judges what only the system can say of itself. Judges are pure."""

    name: str
    deed: str
    right: str
    setting: Setting
    play: Callable[[Scene], Awaitable[None]]
    judge: Judge
    inside: Judge | None = None
