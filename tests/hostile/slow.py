"""`python -m tests.hostile.slow [--connections 1000] [--seconds 15]`: an honest channel posts webhooks to a real
daemon, in quiet, then among slow connections and oversized bodies, then in quiet again. Prints what it measured;
exits 1 where the honest p99 is 5 times its quiet value or more, or where memory grew by 32 MB or more.

The attackers are a process of their own, so that the honest client's clock measures the daemon and not them. Every
slow connection that the daemon cuts is opened again at once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.acceptance.processes import LOOPBACK, daemon, environment, free_port, sandbox_channel, write_config
from tests.acceptance.webhooks import order_body, post
from tests.hostile.wire import SECRET, Target

TIMES_MAX = 5.0
GROWTH_MAX_KB = 32 << 10
PER_SECOND = 40
"""Honest webhooks, each on a connection of its own."""
WARM_S = 5
GLUTTONS = 4
"""Clients that send oversized bodies, one after the other."""

HEAD = b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\n"
SLOW: tuple[tuple[bytes, bytes], ...] = (
    (HEAD, b"X: y\r\n"),
    (HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 4_000, b"x"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nxx\r\n"),
    (HEAD + b"X: " + b"y" * 12_000, b"y"),
    (b"", b"P"),
)
"""What a slow client begins with, and what it adds every second or two."""
OVERSIZED: tuple[bytes, ...] = (
    HEAD + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nxx\r\n" * 200_000,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 20,
    HEAD + b"X: " + b"y" * 60_000 + b"\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 100_000,
)


@define
class Attack:
    """The slow and the gluttonous clients of one daemon."""

    port: int
    connections: int
    rng: random.Random = field(factory=lambda: random.Random(7))
    connected: int = 0
    all_there: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """Attack for ever; says "ready" once all the slow ones are connected."""
        async with trio.open_nursery() as nursery:
            for number in range(self.connections):
                nursery.start_soon(self.again, self.dawdle, *SLOW[number % len(SLOW)])
                if number % 50 == 49:
                    await trio.sleep(0.02)
            await self.all_there.wait()
            for number in range(GLUTTONS):
                nursery.start_soon(self.again, self.gorge, itertools.count(number))
            sys.stdout.write("ready\n")
            sys.stdout.flush()

    async def again(self, client: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Come back each time the daemon has cut it."""
        first = True
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(LOOPBACK, self.port) as stream:
                    if first:
                        first, self.connected = False, self.connected + 1
                        if self.connected == self.connections:
                            self.all_there.set()
                    await client(stream, *arguments)
            await trio.sleep(self.rng.uniform(0, 0.2))

    async def dawdle(self, stream: trio.SocketStream, begin: bytes, more: bytes) -> None:
        if begin:
            await stream.send_all(begin)
        while True:
            await trio.sleep(self.rng.uniform(1, 2))
            await stream.send_all(more)

    async def gorge(self, stream: trio.SocketStream, numbers: Iterator[int]) -> None:
        await stream.send_all(OVERSIZED[next(numbers) % len(OVERSIZED)])
        await stream.receive_some(1_000)


async def honest(port: int, seconds: float, name: str) -> tuple[list[float], Counter[int]]:
    """Post at a steady pace; milliseconds of each answer, and the statuses."""
    took_ms: list[float] = []
    statuses: Counter[int] = Counter()

    async def one(number: int) -> None:
        delivery = f"{name}-{number}"
        began = time.perf_counter()
        try:
            status = (await post(port, "north", order_body(delivery), SECRET, delivery=delivery)).status
        except (OSError, trio.BrokenResourceError, IndexError, trio.TooSlowError):
            status = 0
        took_ms.append((time.perf_counter() - began) * 1e3)
        statuses[status] += 1

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        for number in range(int(seconds * PER_SECOND)):
            await trio.sleep_until(began + number / PER_SECOND)
            nursery.start_soon(one, number)
    return took_ms, statuses


def quantile(values: list[float], share: float) -> float:
    """The value that this share of all stays below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def described(values: list[float]) -> str:
    return f"p50 {quantile(values, 0.5):.1f} ms, p99 {quantile(values, 0.99):.1f} ms, most {max(values):.1f} ms"


@asynccontextmanager
async def under_attack(port: int, connections: int) -> AsyncIterator[None]:
    """All attackers are there."""
    command = [sys.executable, "-m", "tests.hostile.slow", "--attack", str(port), "--connections", str(connections)]
    async with trio.open_nursery() as nursery:
        attackers = await nursery.start(
            partial(trio.run_process, command, env=environment(), stdout=subprocess.PIPE, check=False)
        )
        assert await attackers.stdout.receive_some(100) == b"ready\n"
        yield
        attackers.kill()


@define
class Peaks:
    """The most that was seen of what a daemon takes."""

    target: Target
    resident_kb: int = 0
    files: int = 0

    async def watch(self) -> None:
        while True:
            self.resident_kb = max(self.resident_kb, self.target.resident_kb())
            self.files = max(self.files, self.target.files())
            await trio.sleep(0.1)


async def measure(folder: Path, connections: int, seconds: float) -> int:
    """The whole measurement; the exit code."""
    port = free_port()
    write_config(folder, port, {"north": sandbox_channel("north", free_port())})
    async with daemon(folder, port) as found:
        await found.wait_ready()
        target = Target(folder, port, found.process)
        await honest(port, WARM_S, "warm")
        quiet_ms, quiet = await honest(port, seconds / 2, "before")
        before_kb, peaks = target.resident_kb(), Peaks(target)
        async with under_attack(port, connections), trio.open_nursery() as nursery:
            nursery.start_soon(peaks.watch)
            crowded_ms, crowded = await honest(port, seconds, "among")
            nursery.cancel_scope.cancel()
        after_ms, after = await honest(port, seconds / 2, "after")
        events = await target.events()
        bugs = target.reported_bugs()
    quiet_ms, quiet = quiet_ms + after_ms, quiet + after
    times = quantile(crowded_ms, 0.99) / quantile(quiet_ms, 0.99)
    grown_kb = peaks.resident_kb - before_kb
    print(f"{connections} slow connections, {GLUTTONS} clients with oversized bodies, {PER_SECOND} honest posts/s")
    print(f"honest, quiet: {described(quiet_ms)}, answers {dict(quiet)}")
    print(f"honest, among: {described(crowded_ms)}, answers {dict(crowded)}")
    print(f"p99 {times:.2f} x quiet (must stay below {TIMES_MAX})")
    print(
        f"memory {before_kb / 1024:.1f} MB, at most {peaks.resident_kb / 1024:.1f} MB: +{grown_kb / 1024:.1f} MB "
        f"(must stay below {GROWTH_MAX_KB >> 10}); at most {peaks.files} open files"
    )
    all_taken = {*quiet, *crowded} == {200} and events == quiet.total() + crowded.total() + WARM_S * PER_SECOND
    well = times < TIMES_MAX and grown_kb < GROWTH_MAX_KB and all_taken and not bugs
    print("held" if well else "NOT HELD")
    return 0 if well else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=15, help="of the honest client among the attackers")
    parser.add_argument("--attack", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        os.nice(5)
        trio.run(Attack(options.attack, options.connections).run)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(measure, Path(folder), options.connections, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
