"""A socket stream for request and answer in turn: the same promises as Trio's, at about half the cost."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import trio

RECEIVE_BYTES: Final = 64 << 10
BOTH_WAYS: Final = 2
"""SHUT_RDWR, the same on every POSIX system; nothing here may import what opens sockets."""
LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What a stream says when the client is gone."""


class DirectStream(trio.abc.HalfCloseableStream):
    """Wraps a connected `trio.SocketStream`, which it then owns.

    Two differences in cost, for a peer that waits for our answer before it speaks again. Receiving waits first,
    since nothing can be there yet: no failing system call. Sending is no checkpoint while the kernel takes
    everything at once; `receive_some` always is one.
    """

    __slots__ = ("_fd", "_stream")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._fd = stream.socket.fileno()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As `trio.SocketStream.receive_some`: b"" at the end, BrokenResourceError if the peer is gone."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                return os.read(self._fd, max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise trio.BrokenResourceError from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As `trio.SocketStream.send_all`, but no checkpoint where one system call does it."""
        try:
            sent = os.write(self._fd, data)  # Python ignores SIGPIPE, so a closed peer is an error here, too
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise trio.BrokenResourceError from exc
        if sent < len(data):
            await self._stream.send_all(memoryview(data)[sent:])

    def readable(self) -> bool:
        """Is something there to be received, or the end?"""
        return self._stream.socket.is_readable()

    def hang_up(self) -> None:
        """Let the peer see the end at once; the stream is yet to be closed."""
        with suppress(OSError):  # it hung up first
            self._stream.socket.shutdown(BOTH_WAYS)

    async def wait_send_all_might_not_block(self) -> None:
        """As Trio's."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As Trio's."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """As Trio's. Nobody may be waiting in another method then."""
        self._fd = -1
        await self._stream.aclose()
