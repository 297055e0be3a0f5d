"""A feed of many pages is read to its end although calls fail now and then; what cannot be mended is said at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from daemon.domain.exchange import NoAnswer
from daemon.domain.outcomes import Failure, Outcome
from daemon.ingress.paging import PATIENCE_S, WAITS_S, read_page


def failing(kind: Any) -> Failure:
    return Failure(Outcome(kind, "it failed"))


@define
class Scripted:
    """Answers what it is given, one after the other, and notes when it was asked."""

    answers: Iterator[Any]
    waits: Iterator[float] = field(factory=lambda: iter(()))
    asked_s: list[float] = field(factory=list)

    async def converse(self, _: object) -> Any:
        self.asked_s.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        return next(self.answers)

    def wait_s(self) -> float:
        return next(self.waits, 0.0)


async def read(account: Any, page: str) -> Any:
    return await read_page(account, page, lambda: iter(()))  # type: ignore[arg-type,return-value]  # nobody looks at it


@pytest.mark.parametrize(
    "failure", [NoAnswer("time-out", reached=True), failing("transient"), failing("throttled"), failing("unknown")]
)
async def test_a_later_page_is_asked_for_again_where_that_may_help(autojump_clock: MockClock, failure: Any) -> None:
    account = Scripted(iter([failure, failure, "the page"]))
    assert await read(account, "2") == "the page"
    assert account.asked_s == [0, WAITS_S[0], sum(WAITS_S[:2])]


async def test_it_is_asked_for_so_often_and_no_more(autojump_clock: MockClock) -> None:
    account = Scripted(iter([failing("transient")] * 99))
    assert await read(account, "2") == failing("transient")
    assert len(account.asked_s) == len(WAITS_S) + 1


@pytest.mark.parametrize(
    ("page", "failure", "wait_s"),
    [("", failing("transient"), 0.0), ("2", failing("permanent"), 0.0), ("2", failing("throttled"), PATIENCE_S + 1)],
    ids=["the first page", "what never works", "a channel that is closed for long"],
)
async def test_what_is_not_worth_waiting_for_is_said_at_once(page: str, failure: Failure, wait_s: float) -> None:
    account = Scripted(iter([failure]), iter([wait_s] * 9))
    assert await read(account, page) == failure


async def test_a_channel_that_says_how_long_to_wait_is_not_asked_before(autojump_clock: MockClock) -> None:
    account = Scripted(iter([failing("throttled"), "the page"]), iter([30.0, 30.0]))
    assert await read(account, "2") == "the page"
    assert account.asked_s == [0, 30]
