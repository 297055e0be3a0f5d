"""Shopify: every document that is sent, its variables and what comes back, against the vendor's GraphQL schema."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from daemon.domain.exchange import Request, Response
from tests import specs
from tests.adapters.oracles.libraries import library

VERSION = "2026-10"
GRANT = "/admin/oauth/access_token"


@cache
def schema() -> Any:
    """The vendor's schema, cut to what we need."""
    return library("graphql").build_schema(specs.text(f"shopify/shopify_admin_{VERSION}_inventory_subset.graphql"))


@cache
def _valid(query: str) -> Any:
    """The document, parsed and found valid."""
    graphql = library("graphql")
    document = graphql.parse(query)
    problems = graphql.validate(schema(), document)
    assert problems == [], problems
    return document


class Graph:
    """See `judge.Judge`."""

    def kind(self, request: Request, *, wire: bool) -> str:
        del wire
        path = urlsplit(request.url).path
        if path == GRANT:
            return ""
        assert (request.method, path) == ("POST", f"/admin/api/{VERSION}/graphql.json"), f"{request.method} {path}"
        asked = json.loads(request.body)
        assert set(asked) <= {"query", "variables", "operationName"}, sorted(asked)
        (operation,) = _valid(asked["query"]).definitions
        values = import_module("graphql.execution.values")
        found = values.get_variable_values(schema(), operation.variable_definitions or (), asked.get("variables", {}))
        # A list of what is wrong, or an object that holds one, as graphql-core's version has it.
        wrong = found if isinstance(found, list) else getattr(found, "errors", None)
        assert not wrong, wrong
        return f"{operation.operation.value} {operation.name.value}"

    def answered(self, request: Request, response: Response) -> bool:
        if urlsplit(request.url).path == GRANT or response.status != 200:
            return False
        asked, said = json.loads(request.body), json.loads(response.body)
        if not isinstance(said.get("data"), dict) or said.get("errors"):
            return False
        result = library("graphql").execute(
            schema(), _valid(asked["query"]), root_value=said["data"], variable_values=asked.get("variables", {}),
            type_resolver=lambda value, *_: str(value["id"].split("/")[3]),
        )  # fmt: skip
        assert not result.errors, result.errors
        extra = sorted(_beyond(said["data"], result.data))
        assert not extra, f"nobody asked for {extra}"
        return True


def _beyond(said: Any, asked: Any, where: str = "data") -> set[str]:
    """The fields of an answer that its question did not name: such a server never gives them."""
    if isinstance(said, dict) and isinstance(asked, dict):
        found = {f"{where}.{name}" for name in said.keys() - asked.keys()}
        return found.union(
            *(_beyond(said[name], asked[name], f"{where}.{name}") for name in said.keys() & asked.keys())
        )
    if isinstance(said, list) and isinstance(asked, list):
        return set().union(*(_beyond(*pair, where) for pair in zip(said, asked, strict=True)))
    return set() if said == asked else {where}
