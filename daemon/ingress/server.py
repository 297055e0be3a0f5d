"""A small HTTP/1 server on Trio, for the webhook port and the admin socket: accepts, bounds and stops connections."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from daemon.ingress.answers import AnswerEncoder
from daemon.ingress.connection import Connection
from daemon.ingress.framing import plain_refusal
from daemon.ingress.http_types import (
    Handler,
    Headers,
    HttpRequest,
    HttpResponse,
    HttpStatistics,
    Limits,
    RequestHead,
)
from daemon.ingress.listeners import peer_of
from daemon.ingress.places import Places
from daemon.ingress.reaper import Reaper
from daemon.ingress.shared import Shared

__all__ = [
    "Handler", "Headers", "HttpRequest", "HttpResponse", "HttpServer", "HttpStatistics", "Limits", "RequestHead",
]  # fmt: skip

ACCEPT_PAUSE_S: Final = 0.1
"""How long to leave the accept queue alone when the system has no descriptor or memory left."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
FAREWELLS_MAX: Final = 64
"""Clients told at the same time that the server is full; more than that are closed without a word."""


class HttpServer:
    """Serves one handler on any number of listeners, within `limits`.

    Each connection has at most one request in work; what is pipelined behind it waits unparsed. Nothing a client
    does raises here or cancels a handler. `on_error` is told of each exception of the handler (or of a stream it
    gave): the client gets a bare 500 and the server lives on, unless `on_error` itself raises, which ends `serve`.
    `wall_clock` (seconds since 1970) puts a Date on every answer; `refuse` words the server's own refusals.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits | None = None,
        *,
        on_error: Callable[[Exception], None],
        wall_clock: Callable[[], float] | None = None,
        refuse: Callable[[int, str], HttpResponse] = plain_refusal,
    ) -> None:
        limits = limits or Limits()
        self._places: Places[Connection] = Places(limits)
        self._reaper = Reaper(self._places.clients.keys())
        self._shared = Shared(handler, limits, AnswerEncoder(wall_clock), self._reaper, on_error, refuse)
        self._farewells = 0
        self._accepting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._started = False
        self._done = trio.Event()

    def statistics(self) -> HttpStatistics:
        """A record of the counters at this moment."""
        counters = self._shared.counters
        return HttpStatistics(
            connections=len(self._places.clients),
            in_flight=counters.in_flight,
            buffered_bytes=counters.buffered_bytes,
            accepted=counters.accepted,
            turned_away=counters.turned_away,
            gave_way=self._places.gave_way,
            accept_pauses=counters.accept_pauses,
            requests=counters.requests,
            refusals=dict(sorted(counters.refusals.items())),
            handler_errors=counters.handler_errors,
            idle_closed=counters.idle_closed,
            lost_clients=counters.lost_clients,
            cut_off=counters.cut_off,
        )

    async def serve(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until stopped, once in a server's life; closes the listeners.

        Returns when `close_gracefully` is through, or when all listeners were closed and all clients are gone.
        Cancelling it cuts everything at once, handlers too. An error of a listener other than exhaustion is raised.
        """
        self._started = True
        self._shared.now = trio.lowlevel.current_clock().current_time
        try:
            async with trio.open_nursery() as background:
                background.start_soon(self._reaper.run)
                with self._serving:
                    async with trio.open_nursery() as clients:
                        await self._accept_all(listeners, clients, task_status)
                background.cancel_scope.cancel()
        finally:
            self._done.set()

    async def close_gracefully(self, timeout_s: float = math.inf) -> bool:
        """Stop accepting, part from idle clients, answer the requests begun with `Connection: close`, return.

        What is not through after `timeout_s` is cancelled, handlers too; the result says whether all went well.
        Listeners handed over by a parent stay open there, so clients just wait for the next process.
        """
        shared = self._shared
        shared.stopping = True
        if not self._started:
            return True
        self._accepting.cancel()
        for connection in self._places.clients:
            connection.prepare_to_stop()
        with trio.move_on_after(timeout_s):
            await self._done.wait()
            return True
        shared.counters.cut_off += len(self._places.clients)
        self._serving.cancel()
        await self._done.wait()
        return False

    async def _accept_all(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        clients: trio.Nursery,
        task_status: trio.TaskStatus[None],
    ) -> None:
        with self._accepting:
            async with trio.open_nursery() as acceptors:
                for listener in listeners:
                    acceptors.start_soon(self._accept, listener, clients)
                task_status.started()

    async def _accept(self, listener: trio.abc.Listener[Any], clients: trio.Nursery) -> None:
        counters = self._shared.counters
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except trio.ClosedResourceError:
                    return
                except OSError as exc:
                    if exc.errno not in _EXHAUSTED:
                        raise
                    counters.accept_pauses += 1
                    await trio.sleep(ACCEPT_PAUSE_S)
                else:
                    counters.accepted += 1
                    peer = peer_of(stream)
                    if objection := self._places.objection(peer, self._shared.now()):
                        counters.turned_away += 1
                        clients.start_soon(self._turn_away, stream, objection)
                    else:
                        self._welcome(stream, peer, clients)

    def _welcome(self, stream: trio.abc.Stream, peer: str, clients: trio.Nursery) -> None:
        connection = Connection(stream, self._shared, peer)
        self._places.take(connection, peer)
        if self._shared.stopping:
            connection.prepare_to_stop()
        clients.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._places.leave(connection)

    async def _turn_away(self, stream: trio.abc.Stream, reason: str) -> None:
        shared = self._shared
        if self._farewells >= FAREWELLS_MAX:
            await trio.aclose_forcefully(stream)
            return
        self._farewells += 1
        try:
            await Connection(stream, shared, "").refuse(shared.overloaded(reason))
        finally:
            self._farewells -= 1
