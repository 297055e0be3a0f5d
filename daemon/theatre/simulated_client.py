"""The twin of `HttpClient` for simulations: straight to a storefront's core, on Trio's clock, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Final
from urllib.parse import urlencode, urlsplit

import trio
from attrs import define

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US
from daemon.outbound.bounded import HttpClientStatistics
from daemon.theatre.store_host import StoreHost

MAX_CONNECTIONS: Final = 4


class SimulatedClient:
    """See `daemon.outbound.http.HttpClient` for what it promises.

    `one_way_s` draws how long each half of the way takes, in seconds. While `cut_off` is set no connection can be
    made, and the answers to requests already under way do not come back.
    """

    def __init__(
        self,
        host: StoreHost,
        now_us: Callable[[], int],
        *,
        one_way_s: Callable[[], float] = lambda: 0.0,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.cut_off = False
        self._host = host
        self._now_us = now_us
        self._one_way_s = one_way_s
        self._limiter = trio.CapacityLimiter(max_connections)
        self._under_way: dict[trio.CancelScope, None] = {}
        self._closed = False
        self._answered = self._unanswered = self._unreached = 0

    async def send(self, request: Request) -> Reply:
        """Send `request` once; see `HttpClient.send`."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return self._counted(NoAnswer("the client is closed", reached=False))
        attempt = _Attempt()
        scope = trio.CancelScope(deadline=trio.current_time() + request.timeout_s)
        self._under_way[scope] = None
        try:
            with scope:
                async with self._limiter:
                    return self._counted(await self._exchange(request, attempt))
        finally:
            del self._under_way[scope]
        reason = "the client was closed" if self._closed else f"the deadline of {request.timeout_s:g} s passed"
        return self._counted(NoAnswer(reason, reached=attempt.sent))

    async def _exchange(self, request: Request, attempt: _Attempt) -> Reply:
        if self.cut_off:
            await trio.sleep(self._one_way_s())
            return NoAnswer("no connection could be made", reached=False)
        sent_us, attempt.sent = self._now_us(), True
        await trio.sleep(self._one_way_s())
        reply = self._host.handle(request.method, _target(request), request.body)
        await trio.sleep(reply.delay_s + self._one_way_s())
        if reply.drop or self.cut_off:
            return NoAnswer("the connection was closed without an answer", reached=True)
        headers = {name.lower(): value for name, value in reply.headers}
        now_us = self._now_us()
        headers["date"] = formatdate(self._host.own_us() // SECOND_US, usegmt=True)
        return Response(reply.status, headers, reply.body, sent_us, now_us)

    async def aclose(self) -> None:
        """Give up every request under way; later ones are refused. Idempotent."""
        self._closed = True
        for scope in list(self._under_way):
            scope.cancel()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> HttpClientStatistics:
        """See `HttpClient.statistics`."""
        limiter = self._limiter.statistics()
        return HttpClientStatistics(
            answered=self._answered,
            unanswered=self._unanswered,
            unreached=self._unreached,
            repeated=0,
            rebuilt=0,
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


@define
class _Attempt:
    """Whether the request has left."""

    sent: bool = False


def _target(request: Request) -> str:
    """Path and query as they would stand in the request line."""
    parts = urlsplit(request.url)
    query = "&".join(part for part in (parts.query, urlencode(request.secret_query)) if part)
    return (parts.path or "/") + (f"?{query}" if query else "")
