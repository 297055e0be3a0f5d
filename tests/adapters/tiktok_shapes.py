"""The vendor's shapes of TikTok Shop's messages, as names and types, and what of a message does not fit them."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from daemon.domain.exchange import Request, Response
from tests import specs


def misfits(value: Any, kind: Any, models: dict[str, Any], at: str = "$") -> list[str]:
    """What of `value` is not as `kind` has it: "int", "str?", "list[X]", "Literal[7]", a model's name, an enum."""
    if isinstance(kind, dict) and "enum" in kind:
        return [] if value in kind["enum"] else [f"{at}: {value!r} is none of the values"]
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return [f"{at}: no object"]
        found = [f"{at}.{name}: unknown" for name in value if name not in kind]
        found += [f"{at}.{name}: missing" for name, of in kind.items() if not _free(of) and name not in value]
        for name in value.keys() & kind.keys():
            found += misfits(value[name], kind[name], models, f"{at}.{name}")
        return found
    if kind.endswith("?"):
        return [] if value is None else misfits(value, kind[:-1], models, at)
    if many := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            return [f"{at}: no list"]
        return [each for place, item in enumerate(value) for each in misfits(item, many[1], models, f"{at}[{place}]")]
    if literal := re.fullmatch(r"Literal\[([0-9]+)\]", kind):
        return [] if value == int(literal[1]) else [f"{at}: not {literal[1]}"]
    plain = {"int": int, "str": str, "bool": bool, "datetime.datetime": str}.get(kind)
    if plain is not None:
        return [] if type(value) is plain else [f"{at}: {value!r} is no {kind}"]
    return misfits(value, models[kind], models, at) if kind in models else []


def _free(kind: Any) -> bool:
    return isinstance(kind, str) and kind.endswith("?")


def operation_of(request: Request, operations: list[dict[str, Any]]) -> dict[str, Any]:
    path = urlsplit(request.url).path
    for each in operations:
        pattern = re.sub(r"\\\{[^}]*\\\}", "[0-9]+", re.escape(each["path"]))
        if each["method"].upper() == request.method and re.fullmatch(pattern, path):
            return each
    raise AssertionError(f"{request.method} {path} is no operation of the vendor's")


def exchange_misfits(request: Request, response: Response) -> list[str]:
    """What of a call and its answer is not as the vendor's pages have it; only JSON is looked at."""
    facts = specs.load("tiktok_shop/facts.json")
    operation = operation_of(request, facts["operations"])
    name, models = operation["operationId"][0].upper() + operation["operationId"][1:], facts["models"]
    found = [] if operation["requiresShopCipher"] == ("shop_cipher=" in request.url) else ["shop_cipher"]
    if request.body:
        found += misfits(json.loads(request.body), f"{name}Request", models)
    if response.body.startswith(b"{"):
        found += misfits(json.loads(response.body), f"{name}Response", models)
    return found
