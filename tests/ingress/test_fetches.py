"""Orders that somebody wished for are fetched at once; what is refused for want of a key is not forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from daemon.domain.outcomes import Failure, Outcome
from daemon.outbound.account import Account
from tests.reconcile.mall import Mall, Rules, now_us, opened, play

SHOPS = {"shop": {"MUG": 20}, "site": {"MUG": 20}}


def channel(mall: Mall) -> Any:
    assert mall.daemon is not None
    return mall.daemon.parts.channels["shop"]


def wish(mall: Mall, order: str) -> None:
    """As a webhook does that says no more than an order's name."""
    poller = channel(mall).poller
    poller.refetches.ask("shop", order, now_us())
    poller.fetch_soon()


def wished(mall: Mall) -> list[str]:
    return [order for order, _ in channel(mall).poller.refetches.wanted("shop", now_us())]


class Refusals:
    """A channel that refuses calls for good: all, or those that fetch one order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.everything = False
        self.orders: list[Any] = []
        self.refused = 0
        converse = Account.converse

        async def guarded(account: Account, call: Any, **options: Any) -> Any:
            if account.name == "shop" and (self.everything or any(call is each for each in self.orders)):
                self.refused += 1
                return Failure(Outcome("permanent", "401 the key is not valid"))
            return await converse(account, call, **options)

        monkeypatch.setattr(Account, "converse", guarded)

    def refuse_orders_of(self, adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every fetch of one order from here on."""
        order = adapter.order

        def noted(self_: Any, name: str) -> Any:
            self.orders.append(order(self_, name))
            return self.orders[-1]

        monkeypatch.setattr(adapter, "order", noted)


def test_a_fetch_that_is_refused_for_want_of_a_key_is_made_again_when_the_key_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals(monkeypatch)

    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules()) as mall:
            refusals.everything = True
            wish(mall, mall.sell("shop", "MUG", 2))
            await trio.sleep(30)
            assert refusals.refused
            assert len(wished(mall)) == 1
            refusals.everything = False
            await trio.sleep(30)
            assert wished(mall) == []
            assert mall.available("MUG") == 18

    play(main)


def test_an_order_that_the_channel_will_never_give_is_asked_for_until_the_feed_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals(monkeypatch)

    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules()) as mall:
            refusals.refuse_orders_of(type(channel(mall).account.adapter), monkeypatch)
            wish(mall, "O-1")
            await trio.sleep(30)
            assert wished(mall) == []
            assert refusals.refused == 2
            assert not channel(mall).poller.broken

    play(main)
