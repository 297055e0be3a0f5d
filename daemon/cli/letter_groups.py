"""Dead letters by cause: those that failed in the same way, at the same channel, have the same next action."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field, frozen

_PARTICULARS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|\d+", re.IGNORECASE)
"""What makes one cause of every letter: names in quotes, long ids, numbers."""
IDS_SHOWN: Final = 5


@frozen
class Wanted:
    """Which letters are meant: every filter that is given must hold."""

    channel: str = ""
    kind: str = ""
    sku: str = ""
    cause: str = ""
    """Part of the cause, in whatever case."""

    def __bool__(self) -> bool:
        return bool(self.channel or self.kind or self.sku or self.cause)

    def takes(self, letter: Any) -> bool:
        """Is this letter meant? `letter`: as the socket shows it."""
        exact = all(
            not wanted or letter[name] == wanted
            for name, wanted in (("channel", self.channel), ("kind", self.kind), ("sku", self.sku))
        )
        return exact and self.cause.casefold() in letter["cause"].casefold()


@define
class Group:
    """Letters of one kind, channel and cause."""

    kind: str
    channel: str | None
    cause: str
    next_action: str
    oldest: str
    newest: str
    count: int = 0
    ids: list[int] = field(factory=list)
    """The first of them."""
    skus: dict[str, None] = field(factory=dict)
    """Theirs."""

    def add(self, letter: Any) -> None:
        """One more."""
        self.count += 1
        self.newest = max(self.newest, letter["at"])
        self.oldest = min(self.oldest, letter["at"])
        if self.cause != letter["cause"]:
            self.cause = likeness(self.cause)
        if letter["sku"]:
            self.skus[letter["sku"]] = None
        if len(self.ids) < IDS_SHOWN:
            self.ids.append(letter["id"])

    def shown_ids(self) -> str:
        """The first ids, and how many more there are."""
        return _some(list(map(str, self.ids)), self.count)

    def shown_skus(self) -> str:
        """The first SKUs, and how many more there are."""
        return _some(list(self.skus)[:IDS_SHOWN], len(self.skus))


def _some(names: list[str], of: int) -> str:
    more = of - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def likeness(cause: str) -> str:
    """The cause without what is particular to one letter."""
    return _PARTICULARS.sub("…", cause)


def grouped(letters: Iterable[Any]) -> list[Group]:
    """The groups, the largest first."""
    groups: dict[tuple[str, str | None, str], Group] = {}
    for each in letters:
        key = (each["kind"], each["channel"], likeness(each["cause"]))
        if key not in groups:
            groups[key] = Group(
                each["kind"], each["channel"], each["cause"], each["next_action"], each["at"], each["at"]
            )
        groups[key].add(each)
    return sorted(groups.values(), key=lambda group: (-group.count, group.ids))
