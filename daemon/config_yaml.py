"""YAML text -> a tree of plain nodes: every scalar is the text as written, and nothing clever is allowed.

Built on PyYAML's event parser with the base loader, so `0123`, `NO` and `12:30` stay what they are. Aliases,
tags, merge keys and second documents are refused: a configuration needs none of them, and with them go alias
bombs and object construction. The tree is built without recursion and its depth is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from attrs import define, frozen

MAX_CONFIG_BYTES = 1024 * 1024
MAX_DEPTH = 12
MAX_PROBLEMS = 100
"""More than anybody mends in one go; it bounds what a file of nonsense can make us say."""


_UNKEEPABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""What an escape in quotes can make, and neither a path nor a key nor a log line can hold."""


@frozen
class Problem:
    """One thing that is wrong: where (`channels.shop-eu.buffer`; "" is the file), what to do, and the line."""

    path: str
    sentence: str
    line: int = 0
    """From 1; 0 where there is none to name."""

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line else ""
        return f"{self.path}: {self.sentence}{where}" if self.path else f"{self.sentence}{where}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are in the order of the file; its text has one a line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (not problem.line, problem.line)))
        super().__init__("\n".join(map(str, self.problems)))


@frozen
class Scalar:
    """A single value, as written; `empty` where nothing was written at all (`key:`)."""

    text: str
    line: int
    empty: bool = False


@define
class Sequence:
    items: list[Node]
    line: int


@define
class Mapping:
    entries: dict[str, Node]
    line: int


Node = Scalar | Sequence | Mapping


@define
class _Open:
    """A collection that is being read. `key` is set between a mapping's key and its value."""

    node: Sequence | Mapping
    path: str
    key: str | None = None

    def child_path(self) -> str:
        name = f"[{len(self.node.items)}]" if isinstance(self.node, Sequence) else f".{self.key}"
        return f"{self.path}{name}".removeprefix(".")


def read_yaml(text: str) -> tuple[Node | None, list[Problem]]:
    """The document's root and everything wrong with the file as YAML, at most `MAX_PROBLEMS`. Never raises.

    The root is None where the file is empty, or so broken that reading on would only mislead.
    """
    if len(text.encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        return None, [Problem("", f"the file is larger than {MAX_CONFIG_BYTES >> 20} MiB: is it the right one?")]
    reader = _TreeReader()
    try:
        for event in _events(text):
            if not reader.take(event):
                return None, reader.problems
    except yaml.YAMLError as exc:
        return None, [*reader.problems, _yaml_problem(exc)]
    except (ValueError, OverflowError):
        # PyYAML hands an escape like \UFFFFFFFF, and the number of a %YAML line, on as they are.
        sentence = "this is not YAML: an escape in quotes is no character, or a number in a % line is too long"
        return None, [*reader.problems, Problem("", sentence)]
    return reader.root, reader.problems


def _events(text: str) -> Iterator[Any]:
    events: Iterator[Any] = yaml.parse(text, Loader=yaml.BaseLoader)
    return events


class _TreeReader:
    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[_Open] = []

    def take(self, event: Any) -> bool:
        """Take the next event in. False: no use in reading on."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.AliasEvent():
                self._problem("aliases are not taken here: write the value out", line)
                self._place(Scalar("", line))
            case yaml.ScalarEvent():
                self._refuse_extras(event, line)
                self._scalar(Scalar(event.value, line, empty=not event.value and event.style is None))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                return self._start(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
            case yaml.DocumentStartEvent() if self.root is not None:
                self._problem("there is a second document: keep everything in one, without '---'", line)
                return False
        return len(self.problems) < MAX_PROBLEMS

    def _start(self, event: Any, line: int) -> bool:
        self._refuse_extras(event, line)
        if len(self._open) >= MAX_DEPTH:
            self._problem(f"this is nested deeper than {MAX_DEPTH} levels: nothing in this file is", line)
            return False
        if self._awaits_key():
            self._problem("a key must be a plain word", line)
            return False
        node = Mapping({}, line) if isinstance(event, yaml.MappingStartEvent) else Sequence([], line)
        path = self._open[-1].child_path() if self._open else ""
        self._place(node)
        self._open.append(_Open(node, path))
        return True

    def _scalar(self, scalar: Scalar) -> None:
        if _UNKEEPABLE.search(scalar.text):
            self._problem(
                "take the NUL or half character (such as \\ud800) out: nothing can be called so", scalar.line
            )
            scalar = Scalar(_UNKEEPABLE.sub("?", scalar.text), scalar.line)
        if self._awaits_key():
            top = self._open[-1]
            top.key = scalar.text
            if isinstance(top.node, Mapping) and scalar.text in top.node.entries:
                self.problems.append(
                    Problem(top.child_path(), "this key is there twice: keep one of the two", scalar.line)
                )
        else:
            self._place(scalar)

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if isinstance(top.node, Sequence):
            top.node.items.append(node)
        elif top.key is None:  # an alias in a key's place; the problem is noted
            top.key = ""
        else:
            top.node.entries.setdefault(top.key, node)  # the first of two equal keys is checked like any other
            top.key = None

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].node, Mapping) and self._open[-1].key is None

    def _refuse_extras(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            self._problem("anchors are not taken here: write the value out where it is needed", line)
        if event.tag is not None:
            self._problem("tags are not taken here: write the plain value", line)

    def _problem(self, sentence: str, line: int) -> None:
        path = self._open[-1].child_path() if self._open and not self._awaits_key() else ""
        path = path or (self._open[-1].path if self._open else "")
        self.problems.append(Problem(path, sentence, line))


def _yaml_problem(exc: yaml.YAMLError) -> Problem:
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        told = " ".join(str(part) for part in (exc.context, exc.problem) if part)
        return Problem("", f"this is not YAML: {told}", exc.problem_mark.line + 1)
    return Problem("", "this is not YAML: it holds a character that no text file should")
