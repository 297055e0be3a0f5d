"""Another program as a child of the daemon: the real `RunProgram`, bounded in time and in output."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from daemon.ports import Ran

HANDED_DOWN: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "CREDENTIALS_DIRECTORY")
"""Of our environment: other variables may hold secrets. Of the credentials, only where they are."""

LINGER_S: Final = 1.0
"""When the program has ended, something that it left running may hold its output open; so long it is still read."""

STEP_BYTES: Final = 16 * 1024


async def run_program(argv: Sequence[str], told: bytes, *, timeout_s: float, output_max: int) -> Ran:
    """See `RunProgram`."""
    environment = {name: os.environ[name] for name in HANDED_DOWN if name in os.environ}
    process = await trio.lowlevel.open_process(
        list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
        env=environment, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    kept = bytearray()
    try:
        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_tell, process.stdin, told)
                nursery.start_soon(_hear, process.stdout, kept, output_max)
                await process.wait()
                nursery.cancel_scope.deadline = trio.current_time() + LINGER_S
        return Ran(process.returncode, bytes(kept))
    finally:
        with trio.CancelScope(shield=True):  # ends at once: what is killed does not go on
            if process.returncode is None:
                # Not waited for yet, so its number is surely still its own, and its group's.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()


async def _tell(stream: trio.abc.SendStream, told: bytes) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it need not listen
        await stream.send_all(told)
    await stream.aclose()


async def _hear(stream: trio.abc.ReceiveStream, kept: bytearray, most: int) -> None:
    """All of it is read, so that the program never waits for us; the beginning is kept."""
    while piece := await stream.receive_some(STEP_BYTES):
        kept += piece[: most - len(kept)]
