"""A client without manners: sends exactly the bytes it is told to, as slowly and as rudely as it is told to."""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field

from tests.acceptance.processes import LOOPBACK, Process
from tests.acceptance.webhooks import order_body, post, request, signed

SECRET = "secret-north"
HOOK = "/webhooks/north"
NUMBERS = itertools.count(1)


@define(eq=False)
class Target:
    """The daemon under attack, seen from outside."""

    folder: Path
    port: int
    process: Process

    @property
    def pid(self) -> int:
        assert self.process.child is not None
        return self.process.child.pid

    def resident_kb(self) -> int:
        """Its memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])

    def files(self) -> int:
        """Its open files."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def reported_bugs(self) -> list[dict[str, Any]]:
        """Lines that say that something of the daemon's own failed; alarms tell of the world outside."""
        errors = (each for each in self.process.records() if each["severity"] == "error")
        return [each for each in errors if each["event"] != "alarm.raised"]

    async def ask(self, path: str) -> Any:
        """A query of the admin socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.folder / "admin.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            answer = await client.get(f"http://onhand{path}")
            answer.raise_for_status()
            return answer.json()

    async def events(self) -> int:
        """Events in its log."""
        return int((await self.ask("/v1/status"))["events"])

    async def serve_honestly(self, within_s: float = 5) -> None:
        """An honest webhook is taken and committed."""
        number = f"honest-{os.getpid()}-{next(NUMBERS)}"
        answer = await post(self.port, "north", order_body(number), SECRET, delivery=number, within_s=within_s)
        assert answer.status == 200, answer

    async def settle(self, files_max: int, within_s: float = 20) -> None:
        """Until it has let go of the attackers' connections."""
        with trio.fail_after(within_s):
            while self.files() > files_max:  # noqa: ASYNC110 - another process tells nobody
                await trio.sleep(0.05)


def signed_order(order: str, *, close: bool = True) -> bytes:
    """A webhook that would sell a unit, were it heard."""
    body = order_body(order)
    whole = request("POST", HOOK, body, signed(body, SECRET, delivery=f"D-{order}"))
    return whole if close else whole.replace(b"Connection: close\r\n", b"")


@define
class Heard:
    """What came back on one connection."""

    raw: bytes = b""
    seconds: float = 0.0
    reset: bool = False
    statuses: list[int] = field(factory=list)


async def talk(
    port: int, sent: bytes | Iterable[bytes], *, every_s: float = 0, eof: bool = False, within_s: float = 30
) -> Heard:
    """Send the pieces, with a pause after each, and listen until the server closes. Fails where it never does."""
    heard = Heard()
    began = trio.current_time()
    pieces = [sent] if isinstance(sent, bytes) else sent

    async def speak(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the other side had heard enough
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(every_s)
            if eof:
                await stream.send_eof()

    with trio.fail_after(within_s):
        async with await trio.open_tcp_stream(LOOPBACK, port) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(speak, stream)
            try:
                while data := await stream.receive_some(65_536):
                    heard.raw += data
            except trio.BrokenResourceError:
                heard.reset = True
            heard.seconds = trio.current_time() - began
            nursery.cancel_scope.cancel()
    heard.statuses = [int(part[:3]) for part in heard.raw.split(b"HTTP/1.1 ")[1:]]
    return heard


async def dropped(port: int, sent: bytes, *, reset: bool) -> None:
    """Connect, send, and be gone, with a reset or politely, without listening."""
    try:
        stream = await trio.open_tcp_stream(LOOPBACK, port)
    except OSError:
        return
    try:
        if sent:
            await stream.send_all(sent)
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)
