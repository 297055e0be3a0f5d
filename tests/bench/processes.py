"""Measured processes: started with a high priority, their CPU time and memory read from /proc."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import define, field

REPOSITORY = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
PRIORITY = -10
"""Of what is measured, so that what else runs on the machine disturbs it less. Lower needs root; without it, 0."""
realtime = False
"""Run what is measured before everything else on the machine, at the expense of everything else: for a machine that
is not quiet, and short spells. Set once, from the command line."""
TICKS = os.sysconf("SC_CLK_TCK")
START_S = 120.0


class BenchError(Exception):
    """A measurement cannot be made; one sentence that says why."""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without what a developer's shell might add to it."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **(extra or {})}


def python(*arguments: str) -> list[str]:
    """A command line of this very interpreter."""
    return [sys.executable, *arguments]


def prioritised(command: Sequence[str]) -> list[str]:
    """The command with `PRIORITY`, where that may be had; to be run in a session of its own, since Linux's autogroups
    weigh a process only against those of its session, and sessions by a number of their own."""
    if os.geteuid():
        return list(command)
    if realtime:
        return ["chrt", "--rr", "1", *command]
    script = f'echo {PRIORITY} 2>/dev/null >/proc/self/autogroup; exec nice -n {PRIORITY - os.nice(0)} "$0" "$@"'
    return ["sh", "-c", script, *command]


@define(eq=False)
class Process:
    """One child with everything it starts. Its output goes to `out`; it is dead when the `with` block ends."""

    command: Sequence[str]
    out: Path
    env: Mapping[str, str] = field(factory=environment)
    child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Begin a new life; output is added to what earlier lives wrote."""
        with self.out.open("ab") as out:
            self.child = subprocess.Popen(
                prioritised(self.command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(self.env),
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def alive(self) -> bool:
        """Is it running?"""
        return self.child is not None and self.child.poll() is None

    def kill(self) -> None:
        """SIGKILL to it and to what it started, and wait for its end."""
        if self.child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def stop(self, within_s: float = 60) -> float:
        """SIGTERM; seconds until it was gone."""
        assert self.child is not None
        began = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(within_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.command[0]} did not stop within {within_s:.0f} s; see {self.out}") from None
        return time.monotonic() - began

    def wait_listening(self, port: int, within_s: float = START_S) -> float:
        """Somebody takes connections at the port; seconds waited."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            if not self.alive():
                break
            try:
                socket.create_connection((LOOPBACK, port), 1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return time.monotonic() - began
        raise BenchError(f"{' '.join(self.command)} does not listen: {self.tail()}")

    def wait_answering(self, port: int, within_s: float = START_S) -> float:
        """It answers a request, whatever it says; seconds waited. (Connections queue before that.)"""
        began = time.monotonic()
        self.wait_listening(port, within_s)
        with socket.create_connection((LOOPBACK, port), within_s) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            if not client.recv(1):
                raise BenchError(f"{' '.join(self.command)} ended: {self.tail()}")
        return time.monotonic() - began

    def tail(self) -> str:
        """The end of what it wrote."""
        return self.out.read_text("utf-8", "replace")[-2_000:]

    def cpu_us(self) -> float:
        """User and system time so far, of it and its descendants, µs."""
        return cpu_us(family(self.pid))

    def rss_bytes(self) -> int:
        """Resident memory now, of itself."""
        return memory_bytes("VmRSS", self.pid)

    def anonymous_bytes(self) -> int:
        """The same without what is mapped from files, the database for one."""
        return memory_bytes("RssAnon", self.pid)


def family(pid: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(each.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def cpu_us(pids: Iterable[int]) -> float:
    """User and system time of these processes, µs, with that of their ended and awaited children."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(fields[place]) for place in (11, 12, 13, 14))
    return ticks / TICKS * 1e6


def memory_bytes(kind: str, pid: int | str = "self") -> int:
    """One line of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"the system does not say {kind} of process {pid}")


def anonymous_bytes() -> int:
    """Of this process: resident memory that is not mapped from files."""
    return memory_bytes("RssAnon")
