"""Typed reading of a YAML tree that collects problems instead of raising at the first one.

cattrs was weighed for this and not taken: its values arrive here as text, so every type needs a hook of ours
anyway; which keys a channel takes depends on its platform; and its errors would have to be translated back into
a path, a line and a sentence that says what to do, which is all that this module is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TypeVar

from attrs import define, field

from daemon.config_yaml import MAX_PROBLEMS, Mapping, Node, Problem, Scalar, Sequence

D = TypeVar("D")
C = TypeVar("C", bound=str)

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_SHOWN_CHARS = 40
_GUESSED_SECRET_CHARS = 12
"""A longer value in the wrong place may be a secret that was pasted there: only its beginning is repeated."""


@define
class Problems:
    """The problems found so far, at most one for a path: what follows from the first would only distract."""

    found: list[Problem] = field(factory=list)

    def add(self, path: str, sentence: str, line: int = 0) -> None:
        if len(self.found) < MAX_PROBLEMS and all(path != known.path for known in self.found):
            self.found.append(Problem(path, sentence, line))


class Section:
    """A mapping of the file that is read key by key. A reader that finds a problem notes it and gives the default.

    `finish` notes every key that nobody asked for. Keys are never empty; a key without a value is a problem.
    """

    def __init__(self, node: Node | None, path: str, problems: Problems, line: int = 0) -> None:
        """`line` is where the section would stand, for the case that it is not there."""
        self.path = path
        self.line = node.line if node is not None else line
        self._problems = problems
        self._entries: dict[str, Node] = {}
        self._asked: list[str] = []
        if isinstance(node, Mapping):
            self._entries = node.entries
        elif node is not None and not (isinstance(node, Scalar) and node.empty):
            problems.add(path, "write keys and values here, one 'key: value' a line", node.line)

    def at(self, name: str) -> str:
        """The path of a key."""
        return f"{self.path}.{name}" if self.path else name

    def problem(self, name: str, sentence: str) -> None:
        """Note that something is wrong with the value of `name`."""
        entry = self._entries.get(name)
        self._problems.add(self.at(name), sentence, entry.line if entry is not None else self.line)

    def own_problem(self, sentence: str) -> None:
        """Note that something is wrong with this section as a whole."""
        self._problems.add(self.path, sentence, self.line)

    def has(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> Iterator[str]:
        """Every key, in the order of the file."""
        return iter(self._entries)

    def node(self, name: str) -> Node | None:
        """What stands at `name`, to be judged by the caller; None where the key is missing or has no value."""
        self._asked.append(name)
        entry = self._entries.get(name)
        if isinstance(entry, Scalar) and entry.empty:
            self.problem(name, "there is no value: write one, or take the key out")
            return None
        return entry

    def section(self, name: str) -> Section:
        """The mapping at `name`; an empty one where there is none."""
        entry = self._entries.get(name)
        line = self.line if entry is None else entry.line
        return Section(self.node(name), self.at(name), self._problems, line)

    def each(self, name: str) -> list[tuple[str, Node]]:
        """Path and node of every item of the list at `name`; a single value counts as a list of one."""
        node = self.node(name)
        if isinstance(node, Sequence):
            return [(f"{self.at(name)}[{index}]", item) for index, item in enumerate(node.items)]
        return [] if node is None else [(f"{self.at(name)}[0]", node)]

    def text(self, name: str, default: D) -> str | D:
        """The value as it is written."""
        node = self.node(name)
        if node is None:
            return default
        if not isinstance(node, Scalar):
            self.problem(name, "write a single value here, no list and no keys")
            return default
        return node.text

    def whole(self, name: str, default: D, low: int, high: int) -> int | D:
        """A whole number from `low` to `high`."""
        text = self.text(name, None)
        if text is None:
            return default
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            self.problem(name, f"write a whole number from {low} to {high}, not {_shown(text)}")
            return default
        return int(text)

    def number(self, name: str, default: D, low: float, high: float, *, above: bool = False) -> float | D:
        """A number from `low` (with `above`: greater than `low`) to `high`."""
        text = self.text(name, None)
        if text is None:
            return default
        value = float(text) if _NUMBER.fullmatch(text) else None
        if value is None or not low <= value <= high or (above and value == low):
            range_ = f"above {low:g} and up to {high:g}" if above else f"from {low:g} to {high:g}"
            self.problem(name, f"write a number {range_}, not {_shown(text)}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        """`true` or `false`, and none of YAML's other words for them."""
        return self.choice(name, "true" if default else "false", ("true", "false")) == "true"

    def choice(self, name: str, default: C, allowed: Iterable[C]) -> C:
        """One of `allowed`."""
        text = self.text(name, None)
        if text is None:
            return default
        for option in allowed:
            if text == option:
                return option
        self.problem(name, f"write {_listed(allowed)}, not {_shown(text)}{_meant(text, allowed)}")
        return default

    def finish(self, *, secretly: bool = False) -> None:
        """Note every key that was not asked for; `secretly`: without repeating one that could be a secret itself."""
        for name in self._entries:
            if name not in self._asked and secretly and len(name) > _GUESSED_SECRET_CHARS:
                self.own_problem(f"there is a key here that means nothing: the keys are {', '.join(self._asked)}")
            elif name not in self._asked:
                self._unknown(name)

    def _unknown(self, name: str) -> None:
        known = sorted(set(self._asked))
        hint = _meant(name, known) or f": the keys here are {', '.join(known)}"
        self.problem(name, f"there is no such key{hint}")


def _meant(text: str, allowed: Iterable[str]) -> str:
    close = get_close_matches(text[:_SHOWN_CHARS], list(allowed), n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def _listed(allowed: Iterable[str]) -> str:
    *first, last = allowed
    return f"{', '.join(first)} or {last}" if first else last


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _GUESSED_SECRET_CHARS else repr(text[:4]) + "…"
