"""`python -m tests.admin.schemathesis_run [--examples 5] [--seed N]`: schemathesis against the admin socket of a real
daemon between two sandbox storefronts, over every operation and check; exits as schemathesis does.

Schemathesis has a virtual environment of its own, made here where it is missing: its anyio is not the one that asks
needs. It speaks TCP alone, so a forwarder on loopback carries its bytes to the Unix socket and back.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from tests.acceptance.processes import LOOPBACK, REPOSITORY, daemon, free_port, sandbox_channel, shop, write_config
from tests.acceptance.webhooks import post

PINNED = "schemathesis==4.32.5"
PHASES = "examples,coverage,fuzzing,stateful"
NAMES = ("north", "south")
PATIENCE_S = 20
LETTERS = 40
"""Dead letters to be found, retried and discarded."""


def schemathesis(folder: Path) -> Path:
    """The command, from the environment at `folder`; installs what is missing."""
    command = folder / "bin" / "schemathesis"
    if not command.exists():
        venv.create(folder, with_pip=True)
    stamp = folder / PINNED
    if not stamp.exists():
        subprocess.run([folder / "bin" / "pip", "install", "-q", PINNED], check=True)
        stamp.touch()
    return command


@asynccontextmanager
async def forwarded(path: str) -> AsyncIterator[int]:
    """A TCP port on loopback that leads to the Unix socket at `path`."""

    async def pipe(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some(65_536):
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(sink)

    async def carry(outer: trio.SocketStream) -> None:
        async with outer, await trio.open_unix_socket(path) as inner, trio.open_nursery() as both:
            both.start_soon(pipe, outer, inner)
            both.start_soon(pipe, inner, outer)

    listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, carry, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def run(command: Path, folder: Path, examples: int, seed: int, more: list[str]) -> int:
    """Start everything, run the checks, and look whether the daemon is still well; the exit code."""
    port = free_port()
    ports = {name: free_port() for name in NAMES}
    write_config(folder, port, {name: sandbox_channel(name, each) for name, each in ports.items()})
    async with AsyncExitStack() as stack:
        under_test = await stack.enter_async_context(daemon(folder, port))
        for name, each in ports.items():
            await stack.enter_async_context(shop(folder, name, under_test.webhook_url(name), port=each))
        await under_test.wait_ready()
        for number in range(LETTERS):
            answer = await post(port, "north", b"{}", "secret-north", delivery=f"P-{number}")
            assert answer.status == 200, answer
        public = await stack.enter_async_context(forwarded(str(folder / "admin.sock")))
        (folder / "copies").mkdir()
        done = await trio.run_process(
            [
                command, "run", f"http://{LOOPBACK}:{public}/v1/openapi.json", "--checks", "all", "--phases", PHASES,
                "--max-examples", str(examples), "--seed", str(seed), "--request-timeout", str(PATIENCE_S),
                "--generation-database", "none", "--no-color", "--continue-on-failure",
                "--suppress-health-check", "all", *more,
            ],
            check=False, cwd=folder, env=os.environ | {
                "PYTHONPATH": str(REPOSITORY / "tests" / "admin"),
                "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                "DEAD_LETTERS": str(LETTERS),
                "COPIES_DIRECTORY": str(folder / "copies"),
            },
        )  # fmt: skip
        code = done.returncode
        failed = [each for each in under_test.process.records() if each["event"] == "listener.handler_failed"]
        for record in failed:
            print(f"the daemon reported a bug: {record}")
        if failed or not await under_test.ask("/v1/status") or await under_test.process.terminate(20) != 0:
            code = code or 1
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=5, help="most test cases an operation gets in fuzzing")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--venv", type=Path, default=REPOSITORY / ".venv-schemathesis")
    options, more = parser.parse_known_args()
    command = schemathesis(options.venv.absolute())
    print(f"schemathesis: seed {options.seed}, {options.examples} examples an operation", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(run, command, Path(folder), options.examples, options.seed, more)


if __name__ == "__main__":
    sys.exit(main())
