"""Streamed answers: piece after piece, while looking out for the client leaving and the server stopping."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import trio

from daemon.ingress.answers import LAST_CHUNK
from daemon.ingress.direct import LOST, RECEIVE_BYTES
from daemon.ingress.shared import Shared


class StreamPump:
    """Sends one stream's pieces. `send` bounds each write in time; `wait_unbounded` is called before each wait.

    What the client sends meanwhile, one read of it at most, is given to `hold`.
    """

    __slots__ = (
        "_endless", "_hold", "_peer_left", "_scope", "_send", "_shared", "_stream", "_wait_unbounded", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        stream: trio.abc.Stream,
        shared: Shared,
        send: Callable[[bytes], Awaitable[None]],
        wait_unbounded: Callable[[], None],
        hold: Callable[[bytes | bytearray], None],
    ) -> None:
        self._stream = stream
        self._shared = shared
        self._send = send
        self._wait_unbounded = wait_unbounded
        self._hold = hold
        self._scope: Final = trio.CancelScope()
        self._endless = False
        self._waiting = False
        self._peer_left = False

    def prepare_to_stop(self) -> None:
        """End an endless stream: now if it waits for its next piece, else after the write, not to cut a chunk."""
        if self._endless and self._waiting:
            self._scope.cancel()

    async def run(self, pieces: AsyncIterator[bytes], *, chunked: bool, endless: bool) -> bool:
        """Send all pieces; True if the answer was ended cleanly. Errors of stream and client end here."""
        shared = self._shared
        self._endless = endless
        whole = False
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._notice_departure)
                whole = await self._pump(pieces, chunked=chunked)
                nursery.cancel_scope.cancel()
        if self._peer_left:
            if not endless:  # leaving is how a client ends an endless stream
                shared.counters.lost_clients += 1
            return False
        if not whole and not (endless and shared.stopping):
            return False  # without the last chunk, so that the client can tell
        if chunked:
            await self._send(LAST_CHUNK)
        return True

    async def _pump(self, pieces: AsyncIterator[bytes], *, chunked: bool) -> bool:
        """True if the stream came to its own end."""
        while not (self._endless and self._shared.stopping):
            self._wait_unbounded()
            self._waiting = True
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return True
            except Exception as exc:
                self._shared.report(exc)
                return False
            finally:
                self._waiting = False
            if self._scope.cancel_called:  # just as the piece came: its chunk might be cut
                return False
            if piece:
                try:
                    await self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                except LOST:
                    self._peer_left = True
                    return False
        return False

    async def _notice_departure(self) -> None:
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
        except LOST:
            data = b""
        if data:
            self._hold(data)  # a pipelined request; one look ahead is all we take
        else:
            self._peer_left = True
            self._scope.cancel()
