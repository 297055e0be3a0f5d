"""The console's line to the daemon: one bounded exchange with the admin socket, any trouble as an answer."""

from __future__ import annotations

from typing import Final

import trio
from attrs import field, frozen

from daemon.admin.answers import error_answer
from daemon.admin_exchange import BrokenAnswerError, exchange
from daemon.ingress.http_types import HttpResponse

READS_MAX: Final = 8
"""Queries under way at the same time; the page has three at most, a few tabs may be open."""
COMMANDS_MAX: Final = 4
READ_S: Final = 60.0
COMMAND_S: Final = 3600.0
"""A reconcile talks to the channel for as long as that takes."""
ANSWER_MAX: Final = 8 << 20


@frozen
class Link:
    """Asks the daemon whose admin socket is at `path`."""

    path: str
    _reads: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(READS_MAX))
    _commands: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(COMMANDS_MAX))

    async def read(self, target: str) -> HttpResponse:
        """The daemon's answer to a query, refusals included."""
        return await self._ask("GET", target, b"", self._reads, READ_S)

    async def command(self, target: str, body: bytes) -> HttpResponse:
        """The daemon's answer to a command, refusals included."""
        return await self._ask("POST", target, body, self._commands, COMMAND_S)

    async def _ask(
        self, method: str, target: str, body: bytes, room: trio.CapacityLimiter, patience_s: float
    ) -> HttpResponse:
        with trio.move_on_after(patience_s):
            try:
                async with room:
                    answer = await exchange(self.path, method, target, body, answer_max=ANSWER_MAX)
            except OSError as error:
                why = error.strerror or type(error).__name__
                hint = "start it with `onhand run`; this page goes on by itself"
                return error_answer(502, "no_daemon", f"no daemon answers on {self.path} ({why})", hint)
            except BrokenAnswerError as error:
                return error_answer(502, "no_answer", str(error), "see the daemon's log, then try again")
            return HttpResponse(answer.status, answer.body, content_type=answer.content_type)
        return error_answer(504, "no_answer", "the daemon does not answer in time", "see its log, then try again")
