"""Zero, null, absent and error are four things in the catalogue and in the reading of some listings: zero is a level;
null, absent and error are unknown; a listing that is not there is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from adapters import PLATFORMS
from daemon.domain.channel import Adapter, LevelSeen, ListingPage, Setup
from daemon.domain.exchange import Response
from daemon.domain.outcomes import Failure
from tests.adapters.contract import converse

Row = dict[str, Any]
SHOWN: Final[Mapping[str, int | None]] = {"1": 0, "2": None, "3": None, "4": None, "5": 7}
"""By listing: zero, null, absent, error (a word, a fraction), and a number."""


def sandbox() -> tuple[Adapter, Callable[[list[str]], bytes]]:
    rows: dict[str, Row] = {
        name: {"listing": name, "sku": f"S-{name}", "quantity": quantity, "version": 1}
        for name, quantity in {"1": 0, "2": None, "3": 0, "4": "#ERR", "5": 7}.items()
    }
    del rows["3"]["quantity"]

    def page(names: list[str]) -> bytes:
        items = [rows[name] for name in names]
        return json.dumps({"items": items, "next": None, "as_of": "2026-01-01T00:00:00.000000Z"}).encode()

    return PLATFORMS["sandbox"].build(Setup("shop", "http://127.0.0.1:1", webhook_secrets=("s",))), page


def woocommerce() -> tuple[Adapter, Callable[[list[str]], bytes]]:
    rows: dict[str, Row] = {
        name: {
            "id": int(name), "type": "simple", "sku": f"S-{name}", "name": name, "manage_stock": True,
            "stock_quantity": quantity, "date_modified_gmt": "2026-01-01T00:00:00", "parent_id": 0, "variations": [],
            "status": "publish",
        }
        for name, quantity in {"1": 0, "2": None, "3": 0, "4": 1.5, "5": 7}.items()
    }  # fmt: skip
    del rows["3"]["stock_quantity"]
    secrets = {"consumer_key": "ck_1", "consumer_secret": "cs_2"}
    made = PLATFORMS["woocommerce"].build(Setup("shop", "https://shop.example.com", secrets=secrets))
    return made, lambda names: json.dumps([rows[name] for name in names]).encode()


MADE: Final = {"sandbox": sandbox, "woocommerce": woocommerce}


@pytest.fixture(params=sorted(MADE))
def platform(request: pytest.FixtureRequest) -> tuple[Adapter, Callable[[list[str]], bytes]]:
    return MADE[request.param]()


def answer(body: bytes, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, body)


def levels(seen: tuple[LevelSeen, ...]) -> dict[str, int | None]:
    return {each.listing: each.level for each in seen}


def test_the_catalogue_tells_them_apart(platform: Any) -> None:
    adapter, page = platform
    found, _ = converse(adapter.listings(""), iter([answer(page(list(SHOWN)))]))
    assert isinstance(found, ListingPage)
    assert levels(found.levels) == SHOWN


def test_the_reading_of_some_listings_tells_them_apart_and_leaves_out_what_is_gone(platform: Any) -> None:
    adapter, page = platform
    found, _ = converse(adapter.levels([*SHOWN, "6"]), iter([answer(page(list(SHOWN)))]))
    assert levels(found) == SHOWN
    assert levels(converse(adapter.levels(["6"]), iter([answer(page([]))]))[0]) == {}


@pytest.mark.parametrize(("body", "status"), [(b"", 500), (b"<html>", 200), (b"null", 200), (b"{}", 200), (b"", 429)])
def test_an_answer_that_is_none_says_nothing_of_any_listing(platform: Any, body: bytes, status: int) -> None:
    adapter, _ = platform
    for talk in (adapter.listings(""), adapter.levels(["1", "5"])):
        found, _ = converse(talk, iter([answer(body, status)] * 3))
        assert isinstance(found, Failure)
