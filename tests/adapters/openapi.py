"""Enough of OpenAPI 3.0 and 3.1 to hold an adapter's requests and its fixtures' answers against a vendor's document.

Types, required, enum, nullable, the combinators, arrays and objects; what a document says beyond is not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from attrs import frozen

from daemon.domain.exchange import Request, Response

Json = Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


class UnknownCallError(AssertionError):
    """No document knows this call."""


@frozen
class Document:
    """One OpenAPI document; `prefix` is what stands before its paths."""

    content: Json
    prefix: str

    def resolve(self, node: Json) -> Json:
        """A node with its reference followed."""
        while isinstance(node, dict) and "$ref" in node:
            found: Json = self.content
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def operation(self, method: str, path: str) -> Json | None:
        """The operation that a path leads to, the most literal one, its path's own parameters included."""
        if not path.startswith(self.prefix):
            return None
        for template, item in sorted(self.content["paths"].items(), key=lambda each: each[0].count("{")):
            pattern = "".join(
                "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", template)
            )
            if re.fullmatch(pattern, path.removeprefix(self.prefix)) and method.lower() in item:
                operation = item[method.lower()]
                return {**operation, "parameters": [*item.get("parameters", ()), *operation.get("parameters", ())]}
        return None

    def errors(self, value: Json, schema: Json, where: str = "") -> Iterator[str]:
        """What is wrong with `value`."""
        schema = self.resolve(schema)
        if value is None and (schema.get("nullable") or schema.get("x-nullable")):
            return
        yield from self._combined(value, schema, where)
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if kinds and not any(_is_a(value, kind) for kind in kinds):
            yield f"{where or 'it'} is no {' or '.join(kinds)}"
            return
        if "const" in schema and value != schema["const"]:
            yield f"{where} is not {schema['const']}"
        if "minimum" in schema and _is_a(value, "number") and value < schema["minimum"]:
            yield f"{where} is less than {schema['minimum']}"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where} is none of {schema['enum']}"
        if isinstance(value, dict):
            yield from self._object(value, schema, where)
        if isinstance(value, list) and "items" in schema:
            for place, item in enumerate(value):
                yield from self.errors(item, schema["items"], f"{where}[{place}]")

    def _combined(self, value: Json, schema: Json, where: str) -> Iterator[str]:
        for part in schema.get("allOf", ()):
            yield from self.errors(value, part, where)
        for name in ("oneOf", "anyOf"):
            fitting = [part for part in schema.get(name, ()) if not any(self.errors(value, part, where))]
            if name in schema and not fitting:
                yield f"{where or 'it'} is none of its alternatives"

    def _object(self, value: Json, schema: Json, where: str) -> Iterator[str]:
        known = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, item in value.items():
            if name in known:
                yield from self.errors(item, known[name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}.{name} is not known"


def _is_a(value: Json, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def check_call(documents: Sequence[Document], request: Request) -> tuple[Document, Json]:
    """The operation that a request calls; raises `AssertionError` where it asks what the document does not offer."""
    parts = urlsplit(request.url)
    for document in documents:
        operation = document.operation(request.method, parts.path)
        if operation is None:
            continue
        parameters = [document.resolve(each) for each in operation["parameters"]]
        offered = {each["name"] for each in parameters if each["in"] == "query"}
        asked = set(parse_qs(parts.query, keep_blank_values=True))
        assert asked <= offered, f"{request.method} {parts.path} takes no {sorted(asked - offered)}"
        sent = {name.lower() for name in request.headers}
        for each in parameters:
            wanted = each["in"] == "header" and each.get("required") and each["name"].lower() != "content-type"
            assert not wanted or each["name"].lower() in sent, f"{each['name']} is missing"
        if request.body:
            schema = next(iter(document.resolve(operation["requestBody"])["content"].values()))["schema"]
            kinds = {value for name, value in request.headers.items() if name.lower() == "content-type"}
            is_form = kinds == {"application/x-www-form-urlencoded"}
            body = dict(parse_qsl(request.body.decode())) if is_form else json.loads(request.body)
            problems = list(document.errors(body, schema))
            assert problems == [], f"{request.method} {parts.path}: {problems}"
        return document, operation
    raise UnknownCallError(f"{request.method} {parts.path} is in no document")


def check_answer(document: Document, operation: Json, response: Response) -> bool:
    """Does the answer have the shape that the document gives its status? False where it gives it none."""
    described = document.resolve(operation["responses"].get(str(response.status), {}))
    schemas = [each["schema"] for each in described.get("content", {}).values() if "schema" in each]
    if not schemas or not response.body:
        return False
    problems = list(document.errors(json.loads(response.body), schemas[0]))
    assert problems == [], problems
    return True
