"""What must hold for every value that a parser hands on, whatever it was made from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from adapters.bigcommerce.values import listing_id as bigcommerce_listing
from adapters.shopify.payloads import is_alias, is_listing
from adapters.woocommerce.payloads import listing_id
from daemon.domain.channel import Facts, LevelSeen, ListingPage, OrderPage, OrderSeen, Webhook
from daemon.domain.exchange import Request
from daemon.domain.instants import Span
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind
from daemon.outbound.message import outgoing
from daemon.storage.codec import pack

RECORDED = Path(__file__).parents[1] / "adapters"
VERSION_MAX = 2**63 - 1
KINDS = get_args(OutcomeKind)


def units(value: object, least: int = 0) -> None:
    """A quantity: a whole number within bounds, never a bool, a float or a text."""
    assert type(value) is int, f"{value!r} is no quantity"
    assert least <= value <= QUANTITY_MAX, f"{value} is out of bounds"


def text(value: object, longest: int = 1 << 20) -> None:
    """Something that can be stored and shown."""
    assert type(value) is str
    value.encode()
    assert len(value) <= longest


def span(value: Span | None) -> None:
    assert value is None or (type(value.lo) is type(value.hi) is int and 0 <= value.lo <= value.hi < 2**60)


def order(seen: OrderSeen) -> None:
    text(seen.order)
    assert seen.order
    assert type(seen.version) is int
    assert 0 <= seen.version <= VERSION_MAX
    span(seen.updated)
    span(seen.placed)
    for line in seen.lines:
        text(line.line)
        text(line.listing)
        assert line.seller_sku is None or text(line.seller_sku) is None
        for value in (line.ordered, line.cancelled, line.restocked, line.fulfilled):
            units(value)
    assert pack([(line.line, line.listing) for line in seen.lines])


def level(seen: LevelSeen) -> None:
    text(seen.listing)
    assert seen.listing
    assert seen.level is None or units(seen.level, -QUANTITY_MAX) is None
    assert seen.seller_sku is None or text(seen.seller_sku) is None
    text(seen.title)
    span(seen.own)
    assert type(seen.version) is int
    assert 0 <= seen.version <= VERSION_MAX


def woocommerce_ids(seen: OrderSeen | LevelSeen) -> None:
    """A listing of WooCommerce is one that a push could name again."""
    named = [line.listing for line in seen.lines if line.listing] if isinstance(seen, OrderSeen) else [seen.listing]
    for listing in named:
        assert listing_id(listing) is not None, f"{listing!r} is no listing of WooCommerce"


def bigcommerce_ids(seen: OrderSeen | LevelSeen) -> None:
    """The same for BigCommerce."""
    named = [line.listing for line in seen.lines if line.listing] if isinstance(seen, OrderSeen) else [seen.listing]
    for listing in named:
        assert bigcommerce_listing(listing) is not None, f"{listing!r} is no listing of BigCommerce"


def shopify_ids(seen: OrderSeen | LevelSeen) -> None:
    """The same for Shopify: an inventory item, or the variant that orders name."""
    named = [line.listing for line in seen.lines if line.listing] if isinstance(seen, OrderSeen) else [seen.listing]
    for listing in named:
        assert is_listing(listing) or is_alias(listing), f"{listing!r} is no listing of Shopify"


def outcome(told: Outcome) -> None:
    assert told.kind in KINDS
    text(told.reason, 500)
    assert told.level is None or units(told.level, -QUANTITY_MAX) is None
    span(told.own)
    wait = told.retry_after_s
    assert wait is None or (isinstance(wait, float) and math.isfinite(wait) and wait >= 0)


def facts(told: Facts, longest_kept: int) -> None:
    text(told.identity, 200)
    text(told.topic)
    assert type(told.kept) is bytes
    assert len(told.kept) <= longest_kept
    text(told.puzzle)
    for each in told.orders:
        order(each)
    for seen in told.levels:
        level(seen)
    for wanted in told.refetch:
        text(wanted, 100)
    if told.puzzle:
        assert (told.orders, told.levels, told.refetch) == ((), (), ()), "a puzzle tells nothing"


def answered(result: object) -> None:
    """What an exchange with a channel came to."""
    match result:
        case OrderPage() | ListingPage():
            page(result)
        case Failure():
            outcome(result.outcome)
        case tuple() | list():
            for each in result:
                answered(each)
        case None:
            pass
        case OrderSeen() | LevelSeen() | Outcome() | Webhook():
            _JUDGES[type(result)](result)
        case _:
            raise AssertionError(f"{type(result).__name__} is nothing that an exchange gives")


def page(result: OrderPage | ListingPage) -> None:
    text(result.next_page)
    if isinstance(result, ListingPage):
        answered(result.levels)
        return
    assert type(result.high_water_us) is int
    assert 0 <= result.high_water_us < 2**60
    answered(result.orders)
    for puzzle in result.puzzles:
        text(puzzle)


def webhook(seen: Webhook) -> None:
    text(seen.topic)
    text(seen.url)
    assert seen.state in ("active", "paused", "disabled")


_JUDGES: dict[type, Any] = {OrderSeen: order, LevelSeen: level, Outcome: outcome, Webhook: webhook}


def request(asked: Request, base_url: str) -> None:
    """It goes where the channel is, and its headers can be written."""
    assert asked.url.startswith(base_url + "/")
    assert asked.url.isascii()
    assert asked.url.isprintable()
    assert " " not in asked.url
    assert urlsplit(asked.url).netloc == urlsplit(base_url).netloc
    assert "/../" not in asked.url
    outgoing(asked)


# --- JSON ----------------------------------------------------------------------------------------------------


class _RefusedError(ValueError):
    """Not as JSON should be."""


def strict_json(body: bytes) -> bool:
    """Is this JSON as it should be: UTF-8 without a mark, no key twice, no NaN, no infinity, no half characters?"""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key is there twice")
    return found


def _refuse(word: str) -> None:
    raise _RefusedError(word)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _RefusedError(digits)
    return value


def recorded(platform: str, folder: str) -> list[dict[str, Any]]:
    """The cases that the adapters' own tests keep."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((RECORDED / platform / folder).glob("*.json"))]
