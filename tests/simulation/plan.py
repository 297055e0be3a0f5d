"""What kind of world a seed makes."""

from __future__ import annotations

import random

from attrs import evolve, frozen

from tests.simulation.kits import NO_KITS, Recipes, drawn

KINDS = (
    "zombies", "throttling", "failing", "stale", "pages", "partial", "bad rows", "meddling", "muted", "new listings",
    "gone listings", "strangers", "full disk", "clock jumps", "wall jumps",
)  # fmt: skip
"""Kinds of weather; a world has about half of them, so that none hides what another would show."""

SHADOWS = 0.2
"""The share of worlds in which a channel is only watched, for ever or for a while."""
FORGETS = 0.4
"""The share in which events are compacted when they are old."""
LONG_EVERY = 64
LONG_STRETCH = 800.0
"""A world of twelve minutes lives a week then."""


ODDITIES = ("alias", "struck lines", "nulls", "nonsense", "poison")
"""Kinds of odd things; see `oddities`."""


@frozen
class Plan:
    """What kind of world a seed makes."""

    skus: tuple[str, ...]
    """What is on the shelf."""
    hot: frozenset[str]
    heat: float
    stock_max: int
    first_hour: float
    visits_s: float
    rush: float
    poll_s: float
    catalogue_s: float
    operator_s: float
    weather_s: float
    crash_s: float
    bolts: float
    drops: bool
    staff: bool
    stalls: bool
    early: bool
    blind: bool
    reforms: float = 0.0
    """How often a policy is another one after a restart."""
    stumbles: float = 0.0
    """How often it crashes again soon after a start."""
    fair: bool = False
    """Nothing ever goes wrong: then everything must also be prompt, and beliefs right without being mended."""
    lies: bool = False
    eio: float = 0.0
    """How often a commit fails."""
    late: float = 0.0
    """How often a webhook comes hours or days late."""
    twins: float = 0.0
    """How often a webhook comes over two connections at once."""
    drift_ppm: float = 0.0
    """How fast a storefront's clock runs away at most."""
    subscribes: bool = False
    """One channel's webhooks must be subscribed, and may be switched off."""
    settlement_days: int = 30
    stretch: float = 1.0
    """So many times longer than asked for it lives, a week and a half at most."""
    kinds: frozenset[str] = frozenset()
    """Which kinds of weather there are, beside the ordinary."""
    oddities: frozenset[str] = frozenset()
    """Which odd things happen (`oddities.KINDS`)."""
    channels: tuple[str, ...] = ("eu", "site", "outlet")
    narrow: bool = False
    """Channels allow a call every two seconds: what is to be pushed waits for its turn."""
    tears: float = 0.0
    """How often the power goes while a commit is on its way to the disk."""
    kits: Recipes = NO_KITS
    """What is sold as one and taken from the shelf as these."""
    shadow: str = ""
    """A channel that is only watched: for ever, or where `switched` says so, until a person says otherwise."""
    switched: bool = False
    history_s: float = 0.0
    """How long events are kept before they are compacted; 0: for ever."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The world of this seed; one in `LONG_EVERY` lives for weeks, at the pace of a small shop."""
        plan = cls._of(seed).shadowed(seed, SHADOWS).forgetting(seed, FORGETS)
        return plan._long() if seed % LONG_EVERY == LONG_EVERY - 1 else plan

    def shadowed(self, seed: int, share: float = 1.0) -> Plan:
        """The same world, one of whose channels is only watched, in this share of the worlds. What is drawn for it
        changes nothing else. Never in fair weather, where whatever is wished must leave at once; nor for ever where
        only subscribed webhooks tell in time."""
        rng = random.Random(f"{seed}:shadow")
        drawn, switched = rng.random(), rng.random() < 0.6
        channel = rng.choice(self.channels[: 3 if switched or not self.subscribes else 2])
        return self if self.fair or drawn >= share else evolve(self, shadow=channel, switched=switched)

    def forgetting(self, seed: int, share: float = 1.0) -> Plan:
        """The same world, in which events are compacted, in this share of the worlds; it changes nothing else."""
        rng = random.Random(f"{seed}:history")
        drawn, history_s = rng.random(), rng.choice((5.0, 20.0, 60.0, 300.0))
        return self if drawn >= share else evolve(self, history_s=history_s)

    def _long(self) -> Plan:
        """The same world at the pace of real life: 20 to 100 orders a day, quiet nights, weeks instead of hours."""
        return evolve(
            self, stretch=LONG_STRETCH, settlement_days=1, visits_s=self.visits_s / 15, rush=min(self.rush, 0.02),
            poll_s=300.0, catalogue_s=3600.0, operator_s=self.operator_s * 20, weather_s=self.weather_s * 10,
            crash_s=self.crash_s * 10, bolts=self.bolts / 50, eio=self.eio / 10, tears=self.tears / 10, drops=True,
            history_s=self.history_s * LONG_STRETCH / 8,
        )  # fmt: skip

    @classmethod
    def _of(cls, seed: int) -> Plan:
        rng = random.Random(f"{seed}:plan")
        skus = tuple(f"SKU-{number:02d}" for number in range(1, rng.choice((2, 6, 14)) + 1))
        kits = drawn(seed, skus)
        lazy = rng.random() < 0.25
        return cls(
            skus=skus,
            hot=frozenset(rng.sample(skus, k=min(len(skus), rng.choice((1, 2, 3))))) | frozenset(kits),
            kits=kits,
            heat=rng.choice((0.1, 0.5, 0.9)),
            stock_max=rng.choice((3, 15, 60)),
            first_hour=rng.uniform(0, 24),
            visits_s=rng.choice((1 / 400, 1 / 120, 1 / 40)),
            rush=rng.choice((0.0, 0.05, 0.3)),
            poll_s=10_000.0 if lazy else rng.choice((30.0, 60.0, 300.0)),
            catalogue_s=rng.choice((600.0, 3600.0)),
            operator_s=rng.choice((300.0, 1200.0)),
            weather_s=rng.choice((120.0, 600.0, 3000.0)),
            crash_s=rng.choice((25.0, 200.0, 2000.0)),
            bolts=rng.choice((0.0, 0.0005, 0.005)),
            drops=not lazy,
            staff=rng.random() < 0.3,
            stalls=rng.random() < 0.3,
            early=rng.random() < 0.5,
            blind=rng.random() < 0.35,
            fair=rng.random() < 0.15,
            reforms=rng.choice((0.0, 0.0, 0.3)),
            stumbles=rng.choice((0.0, 0.4, 0.8)),
            eio=rng.choice((0.0, 0.0, 0.01)),
            tears=rng.choice((0.0, 0.001, 0.005)),
            late=rng.choice((0.0, 0.02, 0.2)),
            twins=rng.choice((0.0, 0.05, 0.3)),
            drift_ppm=rng.choice((0.0, 20.0, 200.0, 800.0)),
            subscribes=rng.random() < 0.5,
            kinds=frozenset(kind for kind in KINDS if rng.random() < 0.4),
            lies=rng.random() < 0.25,
            oddities=frozenset(kind for kind in ODDITIES if rng.random() < 0.4),
            narrow=rng.random() < 0.25,
        )  # fmt: skip
