"""A slice of the race for the last unit; `python -m tests.reconcile.last_unit` runs as much of it as you like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from daemon.outbound.dispatcher import Dispatcher
from daemon.outbound.reader import Reader
from daemon.outbound.sender import Sender
from tests.reconcile.last_unit import play

pytestmark = pytest.mark.slow


def test_nothing_is_raised_over_a_sale_nor_sold_twice_that_could_have_been_helped() -> None:
    found, problems = play(150, seed=7)

    assert problems == []
    assert all(each.raises > 10 and each.sold > 40 and each.cancelled > 10 for each in found.values())


def test_a_daemon_that_raises_before_it_has_read_the_orders_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_of_them(_: Reader, keys: Sequence[Any]) -> list[Any]:
        await trio.lowlevel.checkpoint()
        return list(keys)

    monkeypatch.setattr(Dispatcher, "raise_waits", lambda *_: False)
    monkeypatch.setattr(Reader, "as_believed", all_of_them)
    _, problems = play(250, seed=1)
    assert any("over" in problem for problem in problems)


def test_a_daemon_that_takes_its_time_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Sender.send

    async def later(self: Sender, claims: list[Any], *, paid: bool = False) -> None:
        await trio.sleep(2.0)
        await send(self, claims, paid=paid)

    monkeypatch.setattr(Sender, "send", later)
    _, problems = play(50, seed=0)
    assert any("oversold" in problem for problem in problems)
