"""The OpenAPI 3.1 description of the admin socket, made from the very routes and structures that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from daemon import __version__
from daemon.admin.answers import JSON
from daemon.admin.requests import BODY_MAX, SKU_SCHEMA, Param, Word
from daemon.admin.route import Route, is_name
from daemon.admin.shapes import Error

Document = dict[str, Any]

_PLACE: Final = "#/components/schemas/{name}"

_WORDS: Final = {
    400: "the request is not as described here",
    404: "there is nothing of this name",
    408: "the request came too slowly",
    409: "this cannot be done as things are; nothing was changed",
    413: f"the body is larger than {BODY_MAX >> 10} KiB, or a query has one",
    414: "the request target is too long",
    415: "the body is compressed",
    417: "an unknown expectation",
    431: "the headers are too large",
    500: "a bug of the daemon: its log has the details",
    502: "the channel could not be asked",
    503: "nothing can be taken now; nothing was changed",
}
_ALWAYS: Final = (400, 408, 413, 414, 415, 417, 431, 500, 503)
"""What any path may be refused with, most of it by the listener."""

_NAMES: Final[dict[str, Document]] = {
    "{sku}": {"description": "percent-encoded UTF-8, of 1 to 200 bytes", "schema": {"type": "string", **SKU_SCHEMA}},
    "{id}": {"description": "a dead letter's number", "schema": {"type": "integer", "minimum": 0, "maximum": 10**17}},
    "{channel}": {"description": "as in the configuration", "schema": {"type": "string", "minLength": 1}},
}


def description(routes: Sequence[Route]) -> bytes:
    """The document as JSON."""
    bodies = [route.body for route in routes if route.body is not None]
    gives = [route.gives for route in routes if not isinstance(route.gives, str)]
    _, schemas = msgspec.json.schema_components([Error, *gives, *bodies], ref_template=_PLACE)
    paths: dict[str, Document] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "onhand, the admin socket",
                "version": __version__,
                "description": "HTTP over a Unix socket, like: curl --unix-socket admin.sock http://onhand/v1/status",
            },
            "servers": [{"url": "http://onhand", "description": "any host name will do"}],
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _operation(route: Route) -> Document:
    names = [
        {"name": segment.strip("{}"), "in": "path", "required": True, **_NAMES[segment]}
        for segment in route.path
        if is_name(segment)
    ]
    operation: Document = {
        "operationId": "_".join([route.method.lower(), *(part.strip("{}").replace("-", "_") for part in route.path)]),
        "summary": route.about,
        "parameters": names + [_parameter(param) for param in route.takes],
        "responses": {
            "200": {"description": "done", "content": _content(route)},
            **{str(status): _refusal(status) for status in sorted({*_ALWAYS, *route.refusals})},
        },
    }
    if route.body is not None:
        fields = msgspec.structs.fields(route.body)
        content = {JSON: {"schema": {"$ref": _PLACE.format(name=route.body.__name__)}}}
        operation["requestBody"] = {"required": any(field.required for field in fields), "content": content}
    return operation


def _content(route: Route) -> Document:
    if not isinstance(route.gives, str):
        return {JSON: {"schema": {"$ref": _PLACE.format(name=route.gives.__name__)}}}
    return {route.gives: {"schema": {"type": "object" if route.gives == JSON else "string"}}}


def _parameter(param: Param) -> Document:
    schema: Document
    if isinstance(param, Word):
        schema = {"type": "string", **({"anyOf": [SKU_SCHEMA, {"maxLength": 0}]} if param.is_sku else {})}
    else:
        schema = {"type": "integer", "minimum": param.low, "maximum": param.high, "default": param.default}
    return {"name": param.name, "in": "query", "description": param.about, "schema": schema}


def _refusal(status: int) -> Document:
    said: Document = {
        "description": _WORDS[status],
        "content": {JSON: {"schema": {"$ref": _PLACE.format(name=Error.__name__)}}},
    }
    if status == 503:
        said["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return said
