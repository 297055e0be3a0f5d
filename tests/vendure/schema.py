"""The adapter's documents, and the schema that its tests are held against, against the real server's schema."""

from __future__ import annotations

from pathlib import Path

import graphql

from adapters.vendure import documents
from tests.vendure.graphql import Client

SUBSET = Path(__file__).resolve().parents[1] / "adapters" / "vendure" / "admin_subset.graphql"
DOCUMENTS = {name: text for name, text in vars(documents).items() if str(text).startswith(("query", "mutation"))}


async def real_schema(admin: Client) -> graphql.GraphQLSchema:
    """The server's admin API as it describes itself."""
    return graphql.build_client_schema(await admin.ask(graphql.get_introspection_query()))


def complaints(real: graphql.GraphQLSchema) -> list[str]:
    """What the real server would refuse of our documents, and what the subset says otherwise than it."""
    found = [
        f"document {name}: {error.message}"
        for name, text in DOCUMENTS.items()
        for error in graphql.validate(real, graphql.parse(text))
    ]
    subset = graphql.build_schema(SUBSET.read_text("utf-8"))
    for name, ours in subset.type_map.items():
        theirs = real.type_map.get(name)
        if name.startswith("__") or graphql.is_specified_scalar_type(ours):
            continue
        if theirs is None or type(theirs) is not type(ours):
            found.append(f"type {name} is not what the server calls so")
            continue
        found += _differences(name, ours, theirs)
    return found


def _differences(name: str, ours: graphql.GraphQLNamedType, theirs: graphql.GraphQLNamedType) -> list[str]:
    if isinstance(ours, graphql.GraphQLEnumType) and isinstance(theirs, graphql.GraphQLEnumType):
        return [f"enum {name}: no {value}" for value in ours.values if value not in theirs.values]
    fields, others = getattr(ours, "fields", {}), getattr(theirs, "fields", {})
    found = []
    for field, said in fields.items():
        other = others.get(field)
        if other is None or str(other.type) != str(said.type):
            found.append(f"{name}.{field} is {other.type if other else 'not there'}, not {said.type}")
            continue
        for argument, meant in getattr(said, "args", {}).items():
            there = other.args.get(argument)
            if there is None or str(there.type) != str(meant.type):
                found.append(f"{name}.{field}({argument}) is {there.type if there else 'not there'}")
    return found
