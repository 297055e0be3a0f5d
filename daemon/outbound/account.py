"""One channel account: drives an adapter's conversations through its HTTP client, within its budget and breaker.

Everything that talks to a channel (dispatcher, poller, catalogue, webhooks) goes through its account, so the
limits, the clock offset and the breaker are the account's, whoever called.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import trio
from attrs import define, evolve, field

from daemon.domain.breaker import Breaker
from daemon.domain.channel import Adapter, OrderPage
from daemon.domain.exchange import Exchange, NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US, ClockOffset, Instant, Span, true_when
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.policy import Policy
from daemon.outbound.budget import Budget
from daemon.outbound.tokens import NoVault, Tokens, Vault
from daemon.ports import HttpPort

T = TypeVar("T")

SHADOWED: Final = "the channel is in shadow: nothing is written there"


def _silent(event: str, **fields: Any) -> None:
    """Nobody listens."""


@define
class Account:
    """A configured channel: its adapter, and everything that is one per account."""

    name: str
    adapter: Adapter
    http: HttpPort
    policy: Policy
    wall_us: Callable[[], int]
    new_id: Callable[[], str]
    budget: Budget = field(init=False)
    breaker: Breaker = field(factory=Breaker)
    offset: ClockOffset = field(factory=ClockOffset)
    paused: bool = False
    """A person paused it: nothing is pushed until the same person resumes it."""
    ending: bool = False
    """The process ends: nothing more is pushed by it. No matter of the person's, nor of the next start."""
    shadow: bool = False
    """It is only watched: nothing is written there but what a person asks for by itself."""
    last_error: str = ""
    answered: bool = False
    """It did something as it should since this process began."""
    calls: int = 0
    notice: Callable[..., None] = _silent
    """Told `(event, **fields)`: breaker_opened, breaker_eased, breaker_closed, throttled, clock_jumped."""
    clock_learned: Callable[[], None] = lambda: None
    """Told when the channel's clock is read for the first time, or quite differently than before: what is counted by
    it must find it so after a crash."""
    redacted: Callable[[str], str] = str
    """Makes a channel's words fit to be kept: it may repeat to us the very secrets that we sent it."""
    vault: Vault = field(factory=NoVault)
    protect: Callable[[str], None] = lambda secret: None  # noqa: ARG005  # nobody writes a log
    replaced: Callable[[str], None] = lambda secret: None  # noqa: ARG005  # as above
    tokens: Tokens = field(init=False)
    _meters: dict[str, Budget] = field(factory=dict)
    _released: trio.Event = field(factory=trio.Event)
    _mean_cost: float = 0.0
    """What calls cost lately; 0 before the first."""

    def __attrs_post_init__(self) -> None:
        traits, adapter = self.adapter.traits, self.adapter
        self.budget = Budget(traits.rate_per_s, traits.burst)
        self._meters = {name: Budget(meter.rate_per_s, meter.burst) for name, meter in adapter.meters.items()}
        self.tokens = Tokens(self._ask, self.vault, self.protect, self.replaced)
        self.tokens.open(adapter.tokens)

    async def converse(self, exchange: Exchange[T], *, paid: bool = False) -> T | NoAnswer:
        """Hold the conversation to its end and return what it returns; NoAnswer where the channel gave none.

        After the first answered request of a conversation a missing answer always counts as `reached`: what
        came before it may have had its effect. `paid`: the caller has spent the first call's budget.
        """
        return await self._hold(exchange, paid=paid, may_go_on=lambda: True)

    async def change(self, exchange: Exchange[T], *, paid: bool = False, asked: bool = False) -> T | NoAnswer:
        """The same for a conversation that changes something at the channel: every one that does goes through here.

        In shadow no request of it leaves, unless a person `asked` for this very change."""
        return await self._hold(exchange, paid=paid, may_go_on=lambda: asked or not self.shadow)

    async def _hold(self, exchange: Exchange[T], *, paid: bool, may_go_on: Callable[[], bool]) -> T | NoAnswer:
        answered, meter = False, self.budget
        try:
            request = next(exchange)
            while True:
                meter = self._meters.get(request.meter, self.budget)
                if meter is self.budget:
                    self._mean_cost += (request.cost - self._mean_cost) * (0.1 if self._mean_cost else 1.0)
                if paid and meter is self.budget:
                    meter.owe(request.cost - 1.0)
                else:
                    await meter.spend(request.cost)
                paid = False
                if not may_go_on():
                    exchange.close()
                    return NoAnswer(SHADOWED, reached=answered)
                with meter.under_way(request.cost):
                    reply = await self._send(request)
                if isinstance(reply, NoAnswer):
                    exchange.close()
                    self._failed(reply.reason)
                    return reply if not answered else evolve(reply, reached=True)
                answered = True
                self._learn_clock(reply)
                if limits := self.adapter.limits(reply):
                    meter.learn(limits)
                request = exchange.send(reply)
        except StopIteration as done:
            value: T = self._discreet(done.value)
            if answered:
                self._judge(value, meter)
            return value

    async def _ask(self, exchange: Exchange[T]) -> T | NoAnswer:
        """Ask for a token: neither budgeted nor judged, and no call of it carries one."""
        try:
            request = next(exchange)
            while True:
                reply = await self._transmit(request)
                if isinstance(reply, NoAnswer):
                    exchange.close()
                    return reply
                self._learn_clock(reply)
                request = exchange.send(reply)
        except StopIteration as done:
            value: T = self._discreet(done.value)
            return value

    async def _send(self, request: Request) -> Reply:
        """Send it with the token it names; where that is refused, once more with a fresh one."""
        if not request.token:
            return await self._transmit(request)
        for again in (False, True):
            token = await self.tokens.get(request.token)
            if isinstance(token, NoAnswer):
                return token
            source = self.tokens.sources[request.token]
            reply = await self._transmit(source.place(request, token))
            if isinstance(reply, NoAnswer) or not source.refused(reply):
                break
            if again:
                self.tokens.distrust(request.token, token)
            else:
                self.tokens.refused(request.token, token)
        return reply

    async def _transmit(self, request: Request) -> Reply:
        self.calls += 1
        self.breaker.begin(self.wall_us())
        if request.sign is not None:
            request = request.sign(request, self.wall_us(), self.new_id())
        began_us = self.wall_us()
        reply = await self.http.send(request)
        return self._timed(reply, began_us) if isinstance(reply, Response) else reply

    def _timed(self, reply: Response, began_us: int) -> Response:
        """The answer with its times on our clock: its client may have read another, which may have been set."""
        received_us = max(began_us, self.wall_us())
        took_us = min(max(0, reply.received_us - reply.sent_us), received_us - began_us)
        return evolve(reply, sent_us=received_us - took_us, received_us=received_us)

    def _discreet(self, value: Any) -> Any:
        """The value with every text in it that is the channel's own wording redacted."""
        match value:
            case Outcome() if value.reason:
                return evolve(value, reason=self.redacted(value.reason))
            case Failure():
                return Failure(self._discreet(value.outcome))
            case OrderPage() if value.puzzles:
                return evolve(value, puzzles=tuple(map(self.redacted, value.puzzles)))
            case list() | tuple() if any(isinstance(each, Outcome) for each in value):
                return [self._discreet(each) for each in value]
        return value

    def _judge(self, value: object, meter: Budget) -> None:
        """Did the channel work? One outcome of many that is not a failure of the channel itself is enough."""
        outcomes = (
            [value.outcome] if isinstance(value, Failure) else value if isinstance(value, (list, tuple)) else []
        )
        judged = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        throttles = [outcome for outcome in judged if outcome.kind == "throttled"]
        if throttles:
            self.throttle(max(outcome.retry_after_s or 1.0 for outcome in throttles), meter)
        elif judged and all(outcome.kind in ("transient", "unknown") for outcome in judged):
            self._failed(judged[0].reason)
            return
        self.last_error = throttles[0].reason if throttles else ""
        self.answered = True
        if self.breaker.succeeded():
            self.notice("breaker_closed")

    def throttle(self, retry_after_s: float, meter: Budget | None = None) -> None:
        """The channel asked us to slow down."""
        (meter or self.budget).pause(retry_after_s)
        self.notice("throttled", retry_after_s=round(retry_after_s, 3))

    def _failed(self, reason: str) -> None:
        self.last_error = reason
        if self.breaker.failed(self.wall_us()):
            self.notice("breaker_opened", reason=reason)

    def calls_per_s(self) -> float:
        """How many calls the account's rate allows, as calls cost lately: some platforms count something else."""
        return self.budget.rate_per_s / (self._mean_cost or 1.0)

    def wait_s(self) -> float:
        """Seconds until the channel may be called; 0 if now."""
        return max(self.breaker.wait_us(self.wall_us()) / SECOND_US, self.budget.paused_s())

    def heard(self) -> None:
        """The channel told us something that is surely its own: if it seemed to be down, it is tried now."""
        if self.breaker.heard(self.wall_us()):
            self.notice("breaker_eased")
            self._released.set()
            self._released = trio.Event()

    async def wait_released(self) -> None:
        """Return when the channel may be tried before `wait_s` is over."""
        await self._released.wait()

    # -- its clock --

    def _learn_clock(self, response: Response) -> None:
        span = date_span(response)
        if span is None:
            return
        before = self.offset
        self.offset = before.learn(span, response.sent_us, response.received_us)
        if self.offset.samples == 1:
            self.clock_learned()
            if before.samples > 1:
                self.notice("clock_jumped", offset_s=round(self.offset.span.lo / SECOND_US, 3))

    def instant(self, own: Span) -> Instant:
        """A stamp of the channel's clock, also on ours."""
        return Instant(self.offset.ours(own, self.wall_us()), own)

    def true_at(self, moment: Span, own: Span | None) -> Instant:
        """When it was true what an answer shows that came within `moment` and says that it is as of `own`."""
        return Instant(true_when(moment, self.instant(own).at if own else None), own)

    def channel_now_us(self) -> int:
        """The channel's clock now, at the earliest it may show."""
        offset = self.offset.span.lo if self.offset.samples else -3600 * SECOND_US
        return self.wall_us() + offset


def date_span(response: Response) -> Span | None:
    """The second that the `Date` header names; None where there is none that can be read."""
    text = response.headers.get("date")
    if not text:
        return None
    try:
        second = int(parsedate_to_datetime(text).timestamp()) * SECOND_US
    except (ValueError, TypeError, OverflowError):
        return None
    return Span(second, second + SECOND_US - 1)
