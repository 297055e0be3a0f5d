"""One client connection: read, answer, read on; every wait with a deadline, every ending an orderly one."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Final

import trio

from daemon.ingress.answers import CONTINUE, has_no_body
from daemon.ingress.direct import LOST, RECEIVE_BYTES, DirectStream
from daemon.ingress.framing import Refusal, RequestFramer
from daemon.ingress.http_types import HttpRequest, HttpResponse
from daemon.ingress.shared import Shared
from daemon.ingress.streamed import StreamPump

# What a connection is waiting for, which is what its deadline is about. Plain numbers: set several times a request.
_FIRST_REQUEST: Final = 1
_REQUEST: Final = 2
_HEAD: Final = 3
_BODY: Final = 4
_HANDLER: Final = 5
_WRITE: Final = 6


class Connection:
    """Serves one stream until either side ends it.

    One cancel scope lasts for the whole conversation; the server's reaper watches `deadline` and calls `expire`.
    While the handler runs the deadline is infinite and nobody reads, so nothing that a client does or omits
    cancels a handler: its commit is never abandoned.
    """

    __slots__ = (
        "_draining", "_framer", "_gives_way", "_held_bytes", "_linger", "_overdue", "_pump", "_scope", "_shared",
        "_stream", "_waits_for", "deadline", "served",
    )  # fmt: skip

    def __init__(self, stream: trio.abc.Stream, shared: Shared, peer: str) -> None:
        self._stream = DirectStream(stream) if isinstance(stream, trio.SocketStream) else stream
        self._shared = shared
        self._framer = RequestFramer(shared.limits, shared.admit, shared.refuse, peer)
        self._scope = trio.CancelScope()
        self._pump: StreamPump | None = None
        self._draining: trio.CancelScope | None = None
        self._waits_for = _FIRST_REQUEST
        self.served = 0
        self._held_bytes = 0
        self._overdue = False
        self._gives_way = False
        self._linger = False
        self.deadline = math.inf
        self._set_deadline(shared.limits.header_timeout_s)

    def expire(self) -> None:
        """The deadline has passed: end the conversation where it stands, unless its next request is there already:
        then it is we who are late."""
        idle = self._waits_for is _REQUEST or (self._waits_for is _FIRST_REQUEST and self._shared.stopping)
        if idle and not self._gives_way and isinstance(self._stream, DirectStream):
            if self._stream.readable():
                self._waits_for = _HEAD
                self._set_deadline(self._shared.limits.header_timeout_s)
                return
            self._stream.hang_up()  # not a turn later: in that one the next request could come
        self.deadline = math.inf
        self._overdue = True
        self._scope.cancel()

    def awaited_since(self) -> float | None:
        """Since when we wait for this client; None while it waits for us."""
        limits, phase = self._shared.limits, self._waits_for
        if phase in (_FIRST_REQUEST, _HEAD):
            return self.deadline - limits.header_timeout_s
        if phase is _BODY:
            return self.deadline - limits.body_timeout_s
        if phase is _REQUEST:
            return self.deadline - limits.idle_timeout_s
        return None if self._draining is None else self._draining.deadline - limits.linger_timeout_s

    def give_way(self) -> None:
        """Somebody else needs the place: leave it at once, without the courtesies of an expiry."""
        self._gives_way = True
        self.expire()
        if self._draining is not None:
            self._draining.cancel()

    def prepare_to_stop(self) -> None:
        """The server stops: leave soon if idle, end an endless stream; anything else begun is finished."""
        if self._waits_for in (_FIRST_REQUEST, _REQUEST):
            self._await_last_request()
        elif self._pump is not None:
            self._pump.prepare_to_stop()

    async def run(self) -> None:
        """Serve until the end, then close the stream. Raises nothing, whatever the client does."""
        shared = self._shared
        try:
            with self._scope:
                await self._converse()
            if self._overdue:
                await self._end_overdue()
            if self._linger:
                await self._drain()
        except LOST:
            shared.counters.lost_clients += 1
        except Exception as exc:
            if shared.fatal:
                raise
            shared.report(exc)  # a fault of this module costs the one connection
        finally:
            self._hold_body(0)
            await self._close()

    async def refuse(self, answer: HttpResponse) -> None:
        """Instead of `run`: give one answer, unasked, and part. Bounded by twice the linger time-out."""
        try:
            with trio.move_on_after(self._shared.limits.linger_timeout_s), suppress(*LOST):
                await self._stream.send_all(self._shared.encoder.whole(answer, close=True))
            await self._drain()
        finally:
            await self._close()

    async def _close(self) -> None:
        self._framer.close()
        # A forced close does not wait. Unshielded, its Cancelled would take the place of an error on its way out.
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    async def _converse(self) -> None:
        framer = self._framer
        receive_some = self._stream.receive_some
        while True:
            step = None
            if framer.has_rest:
                await trio.lowlevel.checkpoint()  # neither handler nor send must be one, and a burst may be long
                step = framer.receive(b"")
            while step is None:
                if framer.wants_continue:
                    framer.wants_continue = False
                    await self._send(CONTINUE)
                self._time_reading()
                data = await receive_some(RECEIVE_BYTES)
                if not data:
                    return
                step = framer.receive(data)
                if step is None and framer.in_body:
                    step = self._hold_body(framer.body_bytes)
            # An expiry may come with the last bytes: no handler must start in a cancelled scope.
            if self._overdue or not await self._answer(step):
                return

    # Deadlines.

    def _set_deadline(self, seconds: float) -> None:
        self.deadline = deadline = self._shared.now() + seconds
        if deadline < self._shared.reaper.wake_at:
            self._shared.reaper.wake_by(deadline)

    def _time_reading(self) -> None:
        """Start the clock of the phase we wait in; within one phase it just runs on."""
        framer, limits, before = self._framer, self._shared.limits, self._waits_for
        if framer.in_body:
            if before is not _BODY:
                self._waits_for = _BODY
                self._set_deadline(limits.body_timeout_s)
        elif framer.is_idle:
            if before is not _FIRST_REQUEST:
                self._waits_for = _REQUEST
                self._set_deadline(limits.idle_timeout_s)
                if self._shared.stopping:
                    self._await_last_request()
        elif before is not _HEAD:
            self._waits_for = _HEAD
            if before is not _FIRST_REQUEST:  # whose clock has run since the connection was accepted
                self._set_deadline(limits.header_timeout_s)

    def _await_last_request(self) -> None:
        limits = self._shared.limits
        self._set_deadline(limits.stop_idle_grace_s if self.served else limits.stop_fresh_grace_s)

    # Answering.

    async def _answer(self, step: HttpRequest | Refusal) -> bool:
        """Send the answer to one request; True if the connection goes on."""
        framer, shared = self._framer, self._shared
        self.served += 1
        if isinstance(step, Refusal):
            response = step.answer
            shared.counters.count_refusal(response.status)
            complete = step.complete
        else:
            response = await self._respond(step)
            complete = True
        if self._held_bytes:
            self._hold_body(0)
        keep = framer.keep_alive and not shared.stopping
        keep = keep and self.served < shared.limits.max_requests_per_connection
        # Where closing is our choice, or input is left unread, the client may be sending: see _drain.
        self._linger = not keep and (framer.keep_alive or not complete)
        if response.stream is not None:
            return await self._answer_streamed(response, response.stream, keep=keep)
        head_only, http_10 = framer.method == "HEAD", framer.http_10
        try:
            payload = shared.encoder.whole(response, close=not keep, http_10=http_10, head_only=head_only)
        except ValueError as exc:
            shared.report(exc)
            response = shared.refuse(500, "internal error")
            payload = shared.encoder.whole(response, close=not keep, http_10=http_10, head_only=head_only)
        await self._send(payload)
        return keep

    async def _respond(self, request: HttpRequest) -> HttpResponse:
        shared = self._shared
        counters = shared.counters
        self._wait_unbounded()
        counters.requests += 1
        counters.in_flight += 1
        try:
            return await shared.handler.respond(request)
        except Exception as exc:
            shared.report(exc)
            return shared.refuse(500, "internal error")
        finally:
            counters.in_flight -= 1

    async def _send(self, data: bytes) -> None:
        self._waits_for = _WRITE
        self._set_deadline(self._shared.limits.write_timeout_s)
        await self._stream.send_all(data)

    async def _answer_streamed(self, response: HttpResponse, pieces: AsyncIterator[bytes], *, keep: bool) -> bool:
        framer, shared = self._framer, self._shared
        http_10 = framer.http_10
        keep = keep and not http_10
        try:
            await self._send(shared.encoder.stream_head(response, close=not keep, http_10=http_10))
            if framer.method == "HEAD" or has_no_body(response.status):
                return keep
            self._pump = StreamPump(self._stream, shared, self._send, self._wait_unbounded, framer.hold)
            whole = await self._pump.run(pieces, chunked=not http_10, endless=response.endless)
        finally:
            self._pump = None
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        self._linger = self._linger and whole
        return whole and keep and not shared.stopping

    def _wait_unbounded(self) -> None:
        """From here on the handler, or the stream it gave, takes the time it takes."""
        self._waits_for = _HANDLER
        self.deadline = math.inf

    # Bounds and endings.

    def _hold_body(self, size: int) -> Refusal | None:
        """Account for `size` bytes held of an unfinished body; the refusal if all connections hold too much."""
        shared = self._shared
        shared.counters.buffered_bytes += size - self._held_bytes
        grew = size > self._held_bytes
        self._held_bytes = size
        if not grew or shared.counters.buffered_bytes <= shared.limits.max_buffered_bytes:
            return None
        self._framer.keep_alive = False
        return Refusal(shared.overloaded("too many unfinished requests"))

    async def _end_overdue(self) -> None:
        """Tell a slow sender; part silently from an idle client and from one that does not take its answer."""
        shared = self._shared
        if self._gives_way:
            self._linger = False
        elif self._waits_for in (_HEAD, _BODY):
            refusal = shared.refuse(408, "request too slow")
            shared.counters.count_refusal(408)
            self._linger = True
            with trio.move_on_after(shared.limits.linger_timeout_s):
                await self._stream.send_all(shared.encoder.whole(refusal, close=True))
        elif self._waits_for is _WRITE:
            self._linger = False
            shared.counters.lost_clients += 1
        else:
            shared.counters.idle_closed += 1

    async def _drain(self) -> None:
        """Read and throw away what the client still sends: closing on it would reset and lose our last answer."""
        limits = self._shared.limits
        left = limits.linger_max_bytes
        with trio.move_on_after(limits.linger_timeout_s) as self._draining, suppress(*LOST):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while left > 0 and (data := await self._stream.receive_some(RECEIVE_BYTES)):
                left -= len(data)
