"""Calls to the storefront, typed: bodies, queries and cursors. What is nonsense becomes a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Raw, Struct

from adapters.stamps import rfc3339_span
from adapters.storefront.shop import Refusal
from daemon.domain.observations import QUANTITY_MAX

Name = Annotated[str, Meta(min_length=1, max_length=200)]
T = TypeVar("T")

PAGE_SIZE = 250
FIELDS_MAX = 1000


class LevelItem(Struct, frozen=True):
    listing: Name
    quantity: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
    if_quantity: Annotated[int, Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)] | None = None


class LevelsBody(Struct, frozen=True):
    """Each item is read by itself: a bad one is `invalid`, its neighbours are not."""

    items: Annotated[list[Raw], Meta(min_length=1, max_length=1000)]
    idempotency_key: Annotated[str, Meta(max_length=200)] = ""


class Edit(Struct, frozen=True):
    """A number typed over the one on show."""

    sku: Name
    quantity: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]


class NewLine(Struct, frozen=True):
    sku: Name
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]


class NewOrder(Struct, frozen=True):
    lines: Annotated[list[NewLine], Meta(min_length=1, max_length=100)]


class Amount(Struct, frozen=True):
    id: Name
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]


class ActionBody(Struct, frozen=True):
    """`lines` left out: as much as is possible. `restock` concerns refunds."""

    lines: Annotated[list[Amount], Meta(min_length=1, max_length=100)] | None = None
    restock: bool = True


def read_body(body: bytes | Raw, shape: type[T]) -> T | Refusal:
    """The body as `shape`, or a refusal: 400 for what is no JSON, 422 for what makes no sense."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as problem:
        return Refusal(422, "invalid", str(problem))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal(400, "not_json", "the body is not JSON")


def listing_named(item: Raw) -> str:
    """The listing that a bad item names, "" where it names none."""
    found = read_body(item, dict[str, object])
    name = "" if isinstance(found, Refusal) else found.get("listing", "")
    return name if isinstance(name, str) else ""


def listings_of(body: bytes) -> list[str]:
    """The listings that a push names, as far as it can be read."""
    wanted = read_body(body, LevelsBody)
    return [] if isinstance(wanted, Refusal) else [listing_named(item) for item in wanted.items]


def read_query(query: str) -> dict[str, list[str]] | Refusal:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return Refusal(400, "bad_query", "the query holds too many fields")


def read_since(query: Mapping[str, list[str]]) -> int | Refusal:
    """`updated_since` in µs of the shop's clock; 0 where it is left out."""
    text = query.get("updated_since", [""])[-1]
    if not text:
        return 0
    span = rfc3339_span(text)
    return Refusal(400, "bad_stamp", "updated_since is no RFC 3339 stamp with a zone") if span is None else span.lo


def read_order_cursor(query: Mapping[str, list[str]]) -> tuple[int, str] | Refusal:
    """The change after which the page begins: (stamp, order)."""
    text = query.get("cursor", [""])[-1]
    if not text:
        return (-1, "")
    stamp, _, order = text.partition("~")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 19 and order):
        return Refusal(400, "bad_cursor", "the cursor is none of ours")
    return (int(stamp), order)


def read_offset(query: Mapping[str, list[str]]) -> int | Refusal:
    """Where a page of the catalogue begins."""
    text = query.get("cursor", [""])[-1] or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return Refusal(400, "bad_cursor", "the cursor is none of ours")
    return int(text)
