"""Mishaps to the letter: which call of the daemon, the how-manieth, meets which trouble. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from attrs import define
from msgspec import Meta, Struct

CallKind = Literal["levels", "listings", "orders", "subscriptions"]
Deed = Literal["hold", "lose", "late", "fail", "partial", "refuse"]
RULES_MAX = 100


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One mishap. It lets `skip` fitting calls pass, befalls the next `times` of them (None: all), and is over.

    call: the kind of call; "any" for every kind · listing: only pushes that carry it ("": all) · do:

    - hold: serve it at once, and answer truly after `seconds`
    - lose: serve it, and close the connection without an answer
    - late: no answer; a push is applied all the same, after `seconds`
    - fail: do nothing, and answer `status`
    - partial: write the first `rows` items of a push, then answer `status`
    - refuse: a push of several items is refused whole with 422, naming no row; alone, `listing` is `invalid`

    A read has no effect: to it, late is the same as lose, and partial and refuse are the same as fail.
    """

    do: Deed
    call: CallKind | Literal["any"] = "levels"
    listing: Annotated[str, Meta(max_length=200)] = ""
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    status: Annotated[int, Meta(ge=400, le=599)] = 500
    rows: Annotated[int, Meta(ge=0, le=1000)] = 0
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    times: Annotated[int, Meta(ge=1, le=1_000_000)] | None = 1


class Lateness(Struct, frozen=True, forbid_unknown_fields=True):
    """Of webhooks on `topic` ("": any), let `skip` pass, then send the next `times` (None: all) `delay_s` late."""

    delay_s: Annotated[float, Meta(ge=0, le=3600)]
    topic: Annotated[str, Meta(max_length=64)] = ""
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    times: Annotated[int, Meta(ge=1, le=1_000_000)] | None = 1


@define
class _Progress:
    """How far one entry of a script has come."""

    skip: int
    times: int | None

    def meets(self) -> bool:
        """A fitting call or webhook comes by: is it the one?"""
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            if not self.times:
                return False
            self.times -= 1
        return True


class CallScript:
    """The rules for calls, in their order: the first that fits a call and is not over befalls it."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = [(rule, _Progress(rule.skip, rule.times)) for rule in rules]

    def befalls(self, call: CallKind, listings: Collection[str]) -> Rule | None:
        """The rule for this call; `listings` are those a push carries."""
        for rule, progress in self._rules:
            fits = rule.call in (call, "any") and (not rule.listing or rule.listing in listings)
            if fits and progress.meets():
                return rule
        return None


class HookScript:
    """The lateness of webhooks, in its order."""

    def __init__(self, entries: Sequence[Lateness] = ()) -> None:
        self._entries = [(entry, _Progress(entry.skip, entry.times)) for entry in entries]

    def delay_s(self, topic: str) -> float:
        """How late this webhook leaves."""
        for entry, progress in self._entries:
            if entry.topic in ("", topic) and progress.meets():
                return entry.delay_s
        return 0.0
