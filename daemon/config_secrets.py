"""A secret in the configuration -> a reference to where it is kept. No sentence ever repeats what stands there."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from daemon.config_fields import Problems, Section
from daemon.config_yaml import Mapping, Node, Scalar, Sequence
from daemon.credentials import Secret, SecretRef, name_problem

FORMS: Final = "{credential: NAME}, {file: PATH} or {env: NAME}"

_KINDS: Final[tuple[Literal["credential", "file", "env"], ...]] = ("credential", "file", "env")


def read_secret(
    node: Node, path: str, problems: Problems, *, inline: bool, may_end: bool = False
) -> SecretRef | None:
    """A reference, or None where it is wrong. `inline`: the secret itself may stand here; `may_end`: with `until`."""
    match node:
        case Scalar() if inline and not node.empty and node.text:
            return SecretRef("inline", inline=Secret(node.text))
        case Scalar() | Sequence():
            problems.add(path, f"a secret must not stand in this file: write {FORMS}", node.line)
            return None
        case Mapping():
            return _read_reference(Section(node, path, problems), may_end=may_end)


def _read_reference(section: Section, *, may_end: bool) -> SecretRef | None:
    until = section.text("until", None) if may_end else None
    until_us = None if until is None else _instant_us(until)
    if until is not None and until_us is None:
        section.problem("until", "write a moment with its offset, like 2027-01-31T00:00:00Z")
    names = {kind: name for kind in _KINDS if (name := section.text(kind, None)) is not None}
    section.finish(secretly=True)
    if len(names) != 1:
        section.own_problem(f"say in one way where the secret is kept: {FORMS}")
        return None
    kind, name = names.popitem()
    sentence = name_problem(kind, name)
    if sentence is not None:
        section.problem(kind, sentence)
    return SecretRef(kind, name, until_us=until_us)


def _instant_us(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or "T" not in text.upper():
        return None
    return round(moment.timestamp() * 1_000_000)
