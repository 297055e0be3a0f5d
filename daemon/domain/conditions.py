"""What the log says beside the facts about SKUs: the rules and circumstances under which they were applied.

What a listing should show, and the word for its state, follow from a SKU's own events and from these. They are in
the log so that both can be told for any moment of the past; each is written when it changes, never repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import astuple, field, frozen

from daemon.domain.mode import Mode
from daemon.domain.observations import Recipe
from daemon.domain.policy import Policy
from daemon.domain.slot import Slot


def _tuples(value: Any) -> Any:
    """Lists, as the codec gives them back, as tuples: equal values stay equal after a round trip."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list | tuple) else value


ChannelRules = tuple[str, tuple[Any, ...], bool]
"""(channel, its policy's fields in their order, does the channel itself compare a push with what it shows)"""


@frozen
class Rules:
    """The configured channels with their rules, and what kits are made of, from this event on."""

    channels: tuple[ChannelRules, ...] = field(converter=_tuples)
    kits: tuple[tuple[str, Recipe], ...] = field(default=(), converter=_tuples)

    def policies(self) -> dict[str, Policy]:
        """By channel. A later version's further fields are not ours to know."""
        return {name: Policy(*values[:POLICY_FIELDS]) for name, values, _ in self.channels}

    def compares(self, channel: str) -> bool:
        """Does this channel refuse a push over a sale we have not heard of?"""
        return any(compares for name, _, compares in self.channels if name == channel)


POLICY_FIELDS = 6


def rules_of(channels: Mapping[str, tuple[Policy, bool]], kits: Mapping[str, Recipe]) -> Rules:
    """`channels`: by name its policy, and whether it compares."""
    return Rules(
        tuple((name, astuple(policy), compares) for name, (policy, compares) in sorted(channels.items())),
        tuple(sorted(kits.items())),
    )


@frozen
class Standing:
    """The channels that a person has paused, and those that are not live, with their modes; from this event on."""

    paused: tuple[str, ...] = field(default=(), converter=_tuples)
    modes: tuple[tuple[str, Mode], ...] = field(default=(), converter=_tuples)

    @classmethod
    def of(cls, paused: Iterable[str], modes: Mapping[str, Mode]) -> Standing:
        """In one canonical order."""
        return cls(tuple(sorted(paused)), tuple(sorted(each for each in modes.items() if each[1] != "live")))


@frozen
class FeedRead:
    """Every order of the channel up to then (our clock) is absorbed. Written only where a raise waits for it."""

    channel: str
    up_to_us: int


@frozen
class Estranged:
    """The state was restored from a backup: nothing is known of what any listing shows. `lives_us`: how long a push
    of the lost life may be alive, by channel."""

    lives_us: tuple[tuple[str, int], ...] = field(converter=_tuples)

    def applied(self, slots: Iterable[Slot], at_us: int) -> list[Slot]:
        """Let it hold for these listings from `at_us` on."""
        lives_us = dict(self.lives_us)
        found = list(slots)
        for slot in found:
            slot.estrange(at_us, at_us + lives_us.get(slot.channel, 0))
        return found


@frozen
class Stuck:
    """Why a SKU is not worked on as usual; empty and false where it is.

    quarantined: nothing is applied to it · halted: what became of a push could not be applied, nothing is pushed ·
    poison: a fact about it lies in a dead letter, nothing is raised · differs: its books are not what the log makes
    of them, nothing is pushed
    """

    quarantined: str = ""
    halted: bool = False
    poison: str = ""
    differs: str = ""


@frozen
class Root:
    """The hash chain as it stood after event `seq`: what is published of a day (UTC) proves every event before it.

    `digest` is 16 bytes, as in the table `chain`."""

    day: str
    seq: int
    digest: bytes


@frozen
class Compacted:
    """The events up to `seq` were compacted; their chain ended with `chain`, 16 bytes, and what is kept in their
    place adds up to `rows`, 32 bytes (`storage.floor`): so the chain of the later events proves that too."""

    seq: int
    chain: bytes
    rows: bytes


Condition = Rules | Standing | FeedRead | Stuck | Root | Estranged | Compacted
