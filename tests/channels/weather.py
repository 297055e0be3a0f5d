"""What goes wrong in a world, when, and how often it did: all drawn from the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal

from attrs import define, field

from tests.channels.stage import Sort, Stage

Fate = Literal[
    "throttled", "500 before the effect", "503", "500 after the effect", "time-out after the effect",
    "time-out, effect later", "time-out without an effect", "answer cut short", "answer garbled", "partly refused",
    "",
]  # fmt: skip

READS: Final[tuple[Fate, ...]] = (
    "throttled", "500 before the effect", "503", "time-out without an effect", "answer cut short", "answer garbled",
)  # fmt: skip
WRITES: Final[tuple[Fate, ...]] = (
    *READS, "500 after the effect", "time-out after the effect", "time-out, effect later", "partly refused"
)  # fmt: skip
HOOKS: Final = ("webhook dropped", "webhook doubled", "webhook late", "webhook overtaken")
STALE: Final = ("old levels read", "old orders read")
EXPIRED: Final = "access token expired"
SAFE_FOR_TOKENS: Final[tuple[Fate, ...]] = ("throttled", "500 before the effect", "503", "time-out without an effect")
"""What leaves a refresh token that is good once as it was."""


def kinds_of(stage: type[Stage] | Stage) -> tuple[str, ...]:
    """Every kind of fault that this channel can have."""
    return (*(each for each in WRITES if each != "partly refused"), *STALE, *stage.kinds)


@define
class Spell:
    """A time during which one thing is wrong nearly always."""

    kind: str
    until_s: float


@define(eq=False)
class Weather:
    """Draws the fate of each call. `share`: chance of each kind that blows in this world, by call."""

    rng: random.Random
    share: dict[str, float]
    now_s: Callable[[], float]
    counts: Counter[str] = field(factory=Counter)
    stormy: bool = False
    spell: Spell | None = None

    @classmethod
    def drawn(cls, rng: random.Random, stage: Stage, *, every: bool = False) -> Weather:
        """Each world has about half of the kinds, so that none hides what another would show; or every one."""
        if every:
            # The channel's own kinds come first: what is in doubt after the others would hold up what they befall.
            share = dict.fromkeys((*stage.kinds, *kinds_of(stage)), 0.005)
        else:
            strength = rng.choice((0.02, 0.05, 0.12))
            share = {kind: strength * rng.uniform(0.3, 1.5) for kind in kinds_of(stage) if rng.random() < 0.55}
        if not stage.compared:
            share.pop(STALE[0], None)  # a level read twice from an old copy is believed until somebody compares
        return cls(rng, share, stage.around.now_s)

    def has(self, kind: str) -> bool:
        return self.stormy and kind in self.share

    def hit(self, kind: str) -> bool:
        """Does it happen now?"""
        return self.has(kind) and self.rng.random() < (0.85 if self._spells(kind) else self.share[kind])

    def _spells(self, kind: str) -> bool:
        return self.spell is not None and self.spell.kind == kind and self.now_s() < self.spell.until_s

    def happened(self, kind: str) -> None:
        self.counts[kind] += 1

    def fate(self, sort: Sort, *, fragile: bool) -> Fate:
        """`fragile`: what was answered must be heard."""
        if not self.stormy:
            return ""
        fates = self._fates(sort, fragile=fragile)
        spell = next((each for each in fates if self._spells(each)), "")
        if spell and self.rng.random() < 0.85:
            return spell
        return next((each for each in fates if each in self.share and self.rng.random() < self.share[each]), "")

    def _fates(self, sort: Sort, *, fragile: bool) -> Sequence[Fate]:
        if fragile:
            return SAFE_FOR_TOKENS
        return WRITES if sort == "write" else READS
