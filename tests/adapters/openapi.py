"""Enough of OpenAPI 3.0 and 3.1, and of Swagger 2.0, to hold an adapter's requests and a shop's answers against a
vendor's document.

Types, required, enum, bounds, lengths, nullable, the combinators, arrays and objects, parameters of query and header;
what a document says beyond is not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from attrs import evolve, frozen

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
    sizes: bool = True
    """Are lengths held, too?"""

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
                operation = {**item[method.lower()], "template": template}
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
        if self.sizes or _is_a(value, "number"):
            yield from _out_of_bounds(value, schema, where)
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


def _out_of_bounds(value: Json, schema: Json, where: str) -> Iterator[str]:
    size: Any = value if _is_a(value, "number") else None
    low, high = "minimum", "maximum"
    if isinstance(value, (str, list)):
        size = len(value)
        low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minItems", "maxItems")
    if size is not None and low in schema and size < schema[low]:
        yield f"{where or 'it'} is less than {schema[low]}"
    if size is not None and high in schema and size > schema[high]:
        yield f"{where or 'it'} is more than {schema[high]}"


def _parameter_errors(document: Document, parameters: Sequence[Json], query: str) -> Iterator[str]:
    """What is wrong with a query; in it, lists stand with commas, or say their name again and again."""
    offered = {each["name"]: each for each in parameters if each["in"] == "query"}
    asked = parse_qs(query, keep_blank_values=True)
    if strange := sorted(set(asked) - set(offered)):
        yield f"takes no {strange}"
    for name, each in offered.items():
        if each.get("required") and name not in asked:
            yield f"{name} is missing"
        schema = document.resolve(each.get("schema", each))
        many = schema.get("type") == "array" or name.endswith(":in")
        single = document.resolve(schema.get("items", schema))
        for text in asked.get(name, ()):
            for part in text.split(",") if many else [text]:
                yield from document.errors(_meant(part, single), single, f"?{name}")


def _meant(text: str, schema: Json) -> Json:
    """The value that a query's text stands for, where the schema wants another than text."""
    kinds = schema.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if kinds & {"integer", "number"} and re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return text == "true" if "boolean" in kinds and text in ("true", "false") else text


def check_call(documents: Sequence[Document], request: Request, *, wire: bool = True) -> tuple[Document, Json]:
    """The operation that a request calls; raises `AssertionError` where it asks what the document does not offer.

    wire: it is as it leaves, so that every header which the document wants must be there."""
    parts = urlsplit(request.url)
    for document in documents:
        operation = document.operation(request.method, parts.path)
        if operation is None:
            continue
        parameters = [document.resolve(each) for each in operation["parameters"]]
        problems = list(_parameter_errors(document, parameters, parts.query))
        assert problems == [], f"{request.method} {parts.path}: {problems}"
        sent = {name.lower() for name in request.headers}
        for each in parameters:
            wanted = (
                wire and each["in"] == "header" and each.get("required") and each["name"].lower() != "content-type"
            )
            assert not wanted or each["name"].lower() in sent, f"{each['name']} is missing"
        schema = _body_schema(document, operation, parameters)
        assert schema is not None or not request.body, f"{request.method} {parts.path} takes no body"
        if request.body:
            kinds = {value for name, value in request.headers.items() if name.lower() == "content-type"}
            is_form = kinds == {"application/x-www-form-urlencoded"}
            body = dict(parse_qsl(request.body.decode())) if is_form else json.loads(request.body)
            problems = list(document.errors(body, schema))
            assert problems == [], f"{request.method} {parts.path}: {problems}"
        return document, operation
    raise UnknownCallError(f"{request.method} {parts.path} is in no document")


def _body_schema(document: Document, operation: Json, parameters: Sequence[Json]) -> Json | None:
    for each in parameters:
        if each["in"] == "body":
            return each["schema"]
    wanted = document.resolve(operation.get("requestBody", {})).get("content", {})
    return next(iter(wanted.values()))["schema"] if wanted else None


def check_answer(document: Document, operation: Json, response: Response) -> bool:
    """Does the answer have the shape that the document gives its status? False where it gives it none."""
    described = document.resolve(operation["responses"].get(str(response.status), {}))
    schemas = [each["schema"] for each in described.get("content", {}).values() if "schema" in each]
    schemas += [described["schema"]] if "schema" in described else []
    if not schemas or not response.body:
        return False
    # Lists that must not be empty are, in answers of more than one platform: only what we send is held to a size.
    problems = list(evolve(document, sizes=False).errors(json.loads(response.body), schemas[0]))
    assert problems == [], problems
    return True
