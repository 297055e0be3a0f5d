"""README.md, "As a service": the lines of its shell blocks as they stand there, and where each of them is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from enum import Enum
from typing import Final

from attrs import frozen

HEADING: Final = "### As a service"
LINES_MAX: Final = 50
"""Of a block; more is no page that anybody types."""


class Place(Enum):
    """Where a line is run: while the disk is built, if it needs a network; once the machine has booted, else."""

    DISK = "disk"
    MACHINE = "machine"


PLACES: Final = {
    "apt-get update": Place.DISK,
    "apt-get install": Place.DISK,
    "git clone URL": Place.DISK,
    "cd": Place.DISK,
    "python3 -m venv": Place.DISK,
    "/opt/onhand/bin/pip install": Place.DISK,
    "install": Place.MACHINE,
    "editor": Place.MACHINE,
    "/opt/onhand/bin/onhand check-config": Place.MACHINE,
    "systemctl edit": Place.MACHINE,
    "systemctl daemon-reload": Place.MACHINE,
    "systemctl stop": Place.MACHINE,
    "systemctl enable": Place.MACHINE,
    "ln -s": Place.MACHINE,
    "onhand status": Place.MACHINE,
}
"""The first words of every command that the page may have."""


class PageError(Exception):
    """The page has a line that nobody knows how to try, or one that does not do what it says."""


@frozen
class Plan:
    """The lines of the page, in its order: the first block in two parts, and the second, on the socket."""

    disk: tuple[str, ...]
    service: tuple[str, ...]
    socket: tuple[str, ...]


def blocks(page: str) -> list[list[str]]:
    """The lines of each shell block of the section. Raises `PageError` where there is no such section."""
    _, found, rest = page.partition(f"\n{HEADING}\n")
    if not found:
        raise PageError(f"README.md has no section {HEADING!r}")
    section = re.split(r"(?m)^#{1,3} ", re.sub(r"(?ms)^```sh$.*?^```$", _hide_comments, rest), maxsplit=1)[0]
    texts = re.findall(r"(?ms)^```sh\n(.*?)^```$", section)
    return [[line for line in text.replace("\\\n", "").splitlines() if line.strip()] for text in texts]


def _hide_comments(block: re.Match[str]) -> str:
    """A comment at the beginning of a shell line is no heading; nobody types it."""
    return re.sub(r"(?m)^#.*\n", "", block[0])


def commands(line: str) -> list[list[str]]:
    """The words of each command of a line; they are joined by && alone. Raises `PageError`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word == "&&":
            found.append([])
        elif set(word) <= set("();<>|&"):
            raise PageError(f"README.md: {line!r} has {word!r}; only && is understood between its commands")
        else:
            found[-1].append(word)
    return found


def place_of(line: str) -> Place:
    """Where it is run, the whole of it. Raises `PageError` for a command that is not in `PLACES`."""
    found = {_place(words, line) for words in commands(line)}
    if len(found) > 1:
        raise PageError(f"README.md: {line!r} needs a network and systemd at once: make it two lines")
    return found.pop()


def _place(words: Sequence[str], line: str) -> Place:
    for beginning, place in PLACES.items():
        first = beginning.split()
        if list(words[: len(first)]) == first:
            return place
    raise PageError(f"README.md: {line!r}: tests/vm/page.py does not say where {' '.join(words)!r} is to be run")


def plan(page: str) -> Plan:
    """Every line of the section's two blocks. Raises `PageError` where one has no place, or is out of order."""
    found = blocks(page)
    if len(found) != 2 or not all(0 < len(each) <= LINES_MAX for each in found):
        raise PageError(f"README.md: {HEADING!r} is to have two shell blocks, and has {len(found)}")
    places = [place_of(line) for line in found[0]]
    built = places.count(Place.DISK)
    if Place.DISK in places[built:] or Place.DISK in map(place_of, found[1]):
        raise PageError(f"README.md: {HEADING!r}: a line that needs a network comes after one that needs systemd")
    return Plan(tuple(found[0][:built]), tuple(found[0][built:]), tuple(found[1]))


def filled(lines: Sequence[str], word: str, values: Sequence[str]) -> list[str]:
    """The lines with a placeholder of the page filled in, once for each value; the others as they are."""
    return [
        re.sub(rf"\b{word}\b", value, line)
        for line in lines
        for value in (values if re.search(rf"\b{word}\b", line) else [""])
    ]
