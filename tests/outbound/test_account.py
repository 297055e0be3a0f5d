"""One account: conversations held to their end, the breaker, the clock, and a budget that every caller shares."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from daemon.domain.breaker import FAILURES_MAX
from daemon.domain.channel import OrderPage, Rarely, Traits
from daemon.domain.exchange import Exchange, NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.policy import Policy
from daemon.outbound.account import SHADOWED, Account, date_span
from tests.outbound.twin import START_US, wall_us

LOST = NoAnswer("time-out", reached=True)
REFUSED = NoAnswer("no connection", reached=False)


@define
class Line:
    """An HTTP client that answers what it holds, else 200."""

    replies: list[Reply] = field(factory=list)
    asked: list[Request] = field(factory=list)

    async def send(self, request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        self.asked.append(request)
        return self.replies.pop(0) if self.replies else Response(200, {}, b"ok")

    async def aclose(self) -> None: ...


class Plain(Rarely):
    traits = Traits(rate_per_s=1_000.0, burst=1_000)


def account(line: Line, **given: Any) -> Account:
    adapter: Any = Plain()
    return Account("shop", adapter, line, Policy(), wall_us, lambda: "nonce-0123456789", **given)


def asking(times: int, value: Any) -> Exchange[Any]:
    for place in range(times):
        yield Request("GET", f"/{place}")
    return value


async def test_a_conversation_is_held_to_its_end_and_its_value_returned(autojump_clock: MockClock) -> None:
    line = Line()
    assert await account(line).converse(asking(3, "done")) == "done"
    assert [request.url for request in line.asked] == ["/0", "/1", "/2"]


async def test_after_the_first_answer_a_missing_one_may_have_had_its_effect(autojump_clock: MockClock) -> None:
    assert await account(Line([REFUSED])).converse(asking(2, "done")) == REFUSED
    later = await account(Line([Response(200, {}, b""), REFUSED])).converse(asking(2, "done"))
    assert later == evolve(REFUSED, reached=True)


async def test_a_request_is_signed_just_before_it_leaves(autojump_clock: MockClock) -> None:
    line = Line()

    def signed(request: Request, now_us: int, nonce: str) -> Request:
        return evolve(request, headers={"stamp": str(now_us), "nonce": nonce})

    def exchange() -> Exchange[str]:
        yield Request("GET", "/", sign=signed)
        return "done"

    await trio.sleep(5)
    await account(line).converse(exchange())
    assert line.asked[0].headers == {"stamp": str(START_US + 5 * SECOND_US), "nonce": "nonce-0123456789"}


async def test_failures_in_a_row_open_the_breaker_and_one_answer_closes_it(autojump_clock: MockClock) -> None:
    line, said = Line([LOST] * FAILURES_MAX), []
    shop = account(line, notice=lambda event, **fields: said.append(event))
    for _ in range(FAILURES_MAX):
        assert shop.wait_s() == 0
        await shop.converse(asking(1, "done"))
    assert shop.wait_s() == pytest.approx(1.0)
    assert shop.last_error == "time-out"
    await trio.sleep(1.0)
    await shop.converse(asking(1, "done"))
    assert said == ["breaker_opened", "breaker_closed"]
    assert (shop.wait_s(), shop.last_error) == (0, "")


@pytest.mark.parametrize(
    ("value", "failed"),
    [
        ([Outcome("transient", "500")] * 2, True),
        ([Outcome("unknown"), Outcome("transient")], True),
        ([Outcome("transient"), Outcome("ok")], False),
        ([Outcome("permanent")], False),
        ([Outcome("conflict")], False),
        (Failure(Outcome("transient", "500")), True),
        (Failure(Outcome("permanent", "404")), False),
        ((), False),
    ],
)
async def test_only_what_the_channel_itself_fails_at_counts_against_it(
    autojump_clock: MockClock, value: Any, failed: bool
) -> None:
    shop = account(Line())
    await shop.converse(asking(1, value))
    assert shop.breaker.failures == failed


async def test_a_conversation_without_a_request_says_nothing_of_the_channel(autojump_clock: MockClock) -> None:
    shop = account(Line())
    for _ in range(FAILURES_MAX):
        shop.breaker.failed(wall_us())
    await shop.converse(asking(0, "done"))
    assert shop.breaker.opened


async def test_a_throttle_pauses_every_caller_exactly_as_long_as_it_says(autojump_clock: MockClock) -> None:
    line = Line()
    shop = account(line)
    await shop.converse(asking(1, [Outcome("throttled", "429", retry_after_s=12.5), Outcome("ok")]))
    assert shop.wait_s() == pytest.approx(12.5)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(shop.converse, asking(1, "done"))
    assert trio.current_time() - began >= 12.5
    assert trio.current_time() - began == pytest.approx(12.5, abs=0.05)


async def test_the_channels_clock_is_learned_from_its_answers_and_a_jump_is_told(autojump_clock: MockClock) -> None:
    said: list[str] = []
    dates = ["Sun, 15 Jun 2025 15:06:40 GMT"] * 2 + ["Sun, 15 Jun 2025 16:06:40 GMT"]
    line = Line([Response(200, {"date": date}, b"", START_US, START_US) for date in dates])
    shop = account(line, notice=lambda event, **fields: said.append(event))
    for _ in dates[:2]:
        await shop.converse(asking(1, "done"))
    assert shop.offset.span == Span(0, SECOND_US - 1)
    assert shop.instant(Span(START_US, START_US)).at.hi == START_US
    assert said == []
    await shop.converse(asking(1, "done"))
    assert said == ["clock_jumped"]
    assert shop.offset.span.lo == 3_600 * SECOND_US


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Jun 2025 25:00:00 GMT", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_a_date_that_cannot_be_read_is_no_date(date: str) -> None:
    assert date_span(Response(200, {"date": date} if date else {}, b"")) is None


async def test_what_a_channel_says_is_redacted_before_anybody_keeps_it(autojump_clock: MockClock) -> None:
    def hidden(text: str) -> str:
        return text.replace("hunter2", "-")

    told = account(Line(), redacted=hidden)
    failure = await told.converse(asking(1, Failure(Outcome("permanent", "no hunter2 here"))))
    assert failure.reason == "no - here"
    outcomes = await told.converse(asking(1, [Outcome("ok", level=3), Outcome("transient", "hunter2?")]))
    assert [outcome.reason for outcome in outcomes] == ["", "-?"]
    assert outcomes[0].level == 3
    page = await told.converse(asking(1, OrderPage((), "next", 7, ("order 1: hunter2",))))
    assert page == OrderPage((), "next", 7, ("order 1: -",))


async def test_how_many_calls_a_rate_allows_depends_on_what_calls_cost(autojump_clock: MockClock) -> None:
    mine = account(Line())

    def dear(cost: float) -> Exchange[None]:
        yield Request("GET", "/", cost=cost)

    assert mine.calls_per_s() == 1_000.0
    await mine.converse(asking(3, None))
    assert mine.calls_per_s() == 1_000.0
    other = account(Line())
    for _ in range(60):
        await other.converse(dear(10.0))
    assert other.calls_per_s() == pytest.approx(100.0)
    for _ in range(60):
        await other.converse(dear(100.0))
    assert other.calls_per_s() == pytest.approx(10.0, rel=0.05)


async def test_in_shadow_nothing_that_changes_the_channel_leaves_but_what_a_person_asks_for(
    autojump_clock: MockClock,
) -> None:
    line = Line()
    shop = account(line)
    assert await shop.change(asking(2, "changed")) == "changed"
    shop.shadow = True
    assert await shop.change(asking(2, "changed")) == NoAnswer(SHADOWED, reached=False)
    assert await shop.converse(asking(2, "read")) == "read"
    assert await shop.change(asking(1, "asked for"), asked=True) == "asked for"
    assert len(line.asked) == 5
    assert shop.breaker.state(wall_us()) == "closed"


async def test_a_change_of_many_requests_ends_where_the_word_for_shadow_meets_it(autojump_clock: MockClock) -> None:
    line = Line()
    shop = account(line)

    def changing() -> Exchange[Any]:
        yield Request("GET", "https://shop.example.com/1")
        shop.shadow = True
        yield Request("PUT", "https://shop.example.com/2")
        raise AssertionError("the second request must not leave")

    assert await shop.change(changing()) == NoAnswer(SHADOWED, reached=True)
    assert [each.method for each in line.asked] == ["GET"]
