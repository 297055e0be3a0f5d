"""What every HTTP client here shares: one deadline, one limiter, one count, and failures as values.

An implementation only has to carry one request over one connection (`_exchange`) and to say in `Attempt` how far
it came; whether the channel may have seen the request is decided here alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import trio
from attrs import define, frozen

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.outbound.address import AddressPolicy, UnreachableError
from daemon.outbound.message import ExchangeError, Outgoing, outgoing

_CLOSED = "the client is closed"


@frozen
class HttpClientStatistics:
    """What one client did since it was opened, and what it is doing now."""

    answered: int
    unanswered: int
    """No usable answer, though the channel may have seen the request."""
    unreached: int
    """No usable answer, and the channel certainly saw nothing."""
    repeated: int
    """GETs sent a second time because their pooled connection had gone stale."""
    rebuilt: int
    """Connection pools thrown away because they no longer gave out connections."""
    in_flight: int
    waiting: int
    max_connections: int


@define
class Attempt:
    """How far one request came. `sent` never goes back to False, so doubt is never forgotten."""

    clock_us: Callable[[], int]
    phase: str = "waiting for a free connection"
    sent: bool = False
    fresh: bool = False
    answered: bool = False
    sent_us: int = 0

    def connecting(self) -> None:
        self.phase, self.fresh = "connecting", True

    def sending(self) -> None:
        """Call just before the first byte of the request may leave."""
        self.phase, self.sent, self.sent_us = "sending the request", True, self.clock_us()

    def awaiting(self) -> None:
        self.phase = "waiting for the answer"

    def reading(self) -> None:
        self.phase, self.answered = "reading the answer", True


class BoundedClient(ABC):
    """The shared life of a request: policy, limiter, deadline, and never an exception for the network's doing."""

    def __init__(
        self, *, policy: AddressPolicy, max_connections: int, max_answer_bytes: int, clock_us: Callable[[], int]
    ) -> None:
        self._policy = policy
        self._max_answer_bytes = max_answer_bytes
        self._clock_us = clock_us
        self._limiter = trio.CapacityLimiter(max_connections)
        self._closed = False
        self._answered = self._unanswered = self._unreached = self._repeated = self._rebuilt = 0

    async def send(self, request: Request) -> Reply:
        """See `HttpClient.send`."""
        refusal = _CLOSED if self._closed else self._policy.refusal(request.url)
        if refusal is not None:
            return self._counted(NoAnswer(refusal, reached=False))
        attempt = Attempt(self._clock_us)
        reason = ""
        with trio.move_on_after(request.timeout_s):
            try:
                return self._counted(await self._converse(outgoing(request), attempt))
            except (ExchangeError, UnreachableError) as failure:
                reason = str(failure)
        reason = reason or f"the deadline of {request.timeout_s:g} s passed while {attempt.phase}"
        return self._counted(NoAnswer(reason, reached=attempt.sent))

    async def _converse(self, out: Outgoing, attempt: Attempt) -> Response:
        async with self._limiter:
            if self._closed:
                raise UnreachableError(_CLOSED)
            try:
                return await self._exchange(out, attempt)
            except ExchangeError:
                # A pooled connection can be closed by the other side in the very moment we use it. Asking again is
                # harmless for a GET; anything else may have been applied, and only the dispatcher may repeat it.
                if out.method != "GET" or not attempt.sent or attempt.fresh or attempt.answered:
                    raise
            self._repeated += 1
            return await self._exchange(out, attempt)

    @abstractmethod
    async def _exchange(self, out: Outgoing, attempt: Attempt) -> Response:
        """Carry one request over one connection, once. Raises `UnreachableError` or `ExchangeError`, nothing else."""

    @abstractmethod
    async def aclose(self) -> None:
        """See `HttpClient.aclose`."""

    def statistics(self) -> HttpClientStatistics:
        """See `HttpClient.statistics`."""
        limiter = self._limiter.statistics()
        return HttpClientStatistics(
            answered=self._answered,
            unanswered=self._unanswered,
            unreached=self._unreached,
            repeated=self._repeated,
            rebuilt=self._rebuilt,
            in_flight=limiter.borrowed_tokens,
            waiting=limiter.tasks_waiting,
            max_connections=int(limiter.total_tokens),
        )

    def _counted(self, reply: Reply) -> Reply:
        match reply:
            case Response():
                self._answered += 1
            case NoAnswer(reached=True):
                self._unanswered += 1
            case NoAnswer():
                self._unreached += 1
        return reply
