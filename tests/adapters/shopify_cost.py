"""What a GraphQL document may cost at Shopify at most, by the sheet's figures: computed from its text alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, field

_TOKEN = re.compile(r'\.\.\.|[{}()\[\]:$!@=]|"[^"]*"|[A-Za-z_0-9]+')
MUTATION = 10.0


@define
class Field:
    """A field (or an inline fragment, named "..."): its arguments as they are written, and what is asked of it."""

    name: str
    arguments: dict[str, str] = field(factory=dict)
    children: list[Field] = field(factory=list)


def parsed(document: str) -> tuple[str, Field]:
    """The operation, "query" or "mutation", and its fields under one root. Small: what our documents use, no more."""
    tokens = _TOKEN.findall(document)
    start = tokens.index("{")
    root = Field("")
    _selection(tokens, start + 1, root)
    return tokens[0], root


def _selection(tokens: list[str], at: int, into: Field) -> int:
    while tokens[at] != "}":
        if tokens[at] == "...":
            found, at = Field("..."), at + 3  # ... on Type
        else:
            found, at = Field(tokens[at]), at + 1
        if tokens[at] == "(":
            at = _arguments(tokens, at + 1, found)
        while tokens[at] == "@":
            at = _arguments(tokens, at + 3, found)
        if tokens[at] == "{":
            at = _selection(tokens, at + 1, found)
        into.children.append(found)
    return at + 1


def _arguments(tokens: list[str], at: int, found: Field) -> int:
    while tokens[at] != ")":
        name, at = tokens[at], at + 2
        value = ""
        while tokens[at] != ")" and tokens[at + 1] != ":":
            value += tokens[at]
            at += 1
        found.arguments[name] = value
    return at + 1


def cost_of(document: str, variables: Mapping[str, Any]) -> float:
    """Objects 1, lists by their length, connections by `first`, a mutation 10; everything nested multiplied."""
    kind, root = parsed(document)
    return (MUTATION if kind == "mutation" else 0.0) + _cost(root.children, variables)


def _cost(fields: list[Field], variables: Mapping[str, Any]) -> float:
    return sum(_field_cost(each, variables) for each in fields if each.children)


def _field_cost(found: Field, variables: Mapping[str, Any]) -> float:
    inner = _cost(found.children, variables)
    if found.name == "...":
        return inner
    times = _times(found, variables)
    nodes = next((child for child in found.children if child.name == "nodes"), None)
    if nodes is None:
        return times * (1.0 + inner)
    return 1.0 + times * (1.0 + _cost(nodes.children, variables))


def _times(found: Field, variables: Mapping[str, Any]) -> float:
    if "first" in found.arguments:
        spoken = found.arguments["first"]
        return float(variables[spoken[1:]]) if spoken.startswith("$") else float(spoken)
    return float(len(variables[found.arguments["ids"][1:]])) if "ids" in found.arguments else 1.0
