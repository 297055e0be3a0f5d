"""What all connections of one server have in common: handler, limits, counters, and the words of refusals."""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from daemon.ingress.answers import AnswerEncoder
from daemon.ingress.framing import plain_refusal
from daemon.ingress.http_types import Handler, HttpResponse, Limits, RequestHead
from daemon.ingress.reaper import Reaper


@define
class Counters:
    """What `HttpStatistics` is made from; shared by all connections of a server."""

    in_flight: int = 0
    buffered_bytes: int = 0
    accepted: int = 0
    turned_away: int = 0
    accept_pauses: int = 0
    requests: int = 0
    refusals: dict[int, int] = field(factory=dict)
    handler_errors: int = 0
    idle_closed: int = 0
    lost_clients: int = 0
    cut_off: int = 0

    def count_refusal(self, status: int) -> None:
        self.refusals[status] = self.refusals.get(status, 0) + 1


@define(eq=False)
class Shared:
    """What all connections of one server have in common."""

    handler: Handler
    limits: Limits
    encoder: AnswerEncoder
    reaper: Reaper
    on_error: Callable[[Exception], None]
    refuse: Callable[[int, str], HttpResponse] = plain_refusal
    counters: Counters = field(factory=Counters)
    stopping: bool = False
    fatal: bool = False
    now: Callable[[], float] = trio.current_time
    """Trio's clock; while serving, without the look-up of the running one."""

    def admit(self, head: RequestHead) -> HttpResponse | int:
        """The handler's verdict; a fault in it is a 500."""
        try:
            return self.handler.admit(head)
        except Exception as exc:
            self.report(exc)
            return self.refuse(500, "internal error")

    def report(self, exc: Exception) -> None:
        """Tell `on_error`. If that raises, the error is to end the server, and must not be reported again."""
        self.counters.handler_errors += 1
        self.fatal = True
        self.on_error(exc)
        self.fatal = False

    def overloaded(self, reason: str) -> HttpResponse:
        """503 with the time to wait; nothing was taken in."""
        answer = self.refuse(503, reason)
        retry = ("Retry-After", str(self.limits.retry_after_s))
        return HttpResponse(503, answer.body, (*answer.headers, retry), answer.content_type)
