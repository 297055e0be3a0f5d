"""A process that has imported everything and forks a fresh daemon on demand, in milliseconds.

A daemon that is started from nothing spends most of its start in Python's imports. Here they are done once; each
fork is a process of its own from there on: it reads its configuration, opens the store, runs the very command line
it is given, and dies by its own exit or by a signal. The zygote never runs Trio and never opens a database, so
nothing of one life can leak into the next.

    driver <-> zygote: one JSON object each way over a SOCK_SEQPACKET pair; descriptors go along with "start"
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import trio
from attrs import define, field

from tests.acceptance.processes import REPOSITORY, Process, environment

_MESSAGE_BYTES = 1 << 16
_FIRST_INHERITED_FD = 3


@define(eq=False)
class Zygote:
    """The driver's end. Use it as a context manager; all its forks are dead afterwards."""

    control: socket.socket = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Zygote:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.zygote", str(theirs.fileno())], stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),), env=environment(), cwd=REPOSITORY,
            )  # fmt: skip
        assert self.ask({"do": "hello"})["ready"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.control.close()
        self.process.wait()

    def ask(self, question: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        """One exchange; raises `OSError` where the zygote is gone."""
        socket.send_fds(self.control, [json.dumps(question).encode()], list(fds))
        answer = self.control.recv(_MESSAGE_BYTES)
        if not answer:
            raise OSError("the zygote has ended; what it said is on stderr")
        return json.loads(answer)


@define(eq=False)
class Fork(Process):
    """A `Process` that a zygote forks. `command` is [module, argument ...], where `module.main(arguments)` runs it.

    `pass_fds` are listening sockets: the fork gets them as systemd hands them over.
    """

    zygote: Zygote = field(kw_only=True)
    pid: int = 0
    code: int | None = None

    def start(self) -> None:
        question = {
            "do": "start", "command": list(self.command), "out": str(self.out), "err": str(self.err),
            "env": dict(self.env), "cwd": str(self.cwd),
        }  # fmt: skip
        self.code = None
        self.pid = self.zygote.ask(question, self.pass_fds)["pid"]

    @property
    def alive(self) -> bool:
        if self.pid and self.code is None:
            self.code = self.zygote.ask({"do": "poll", "pid": self.pid})["code"]
        return bool(self.pid) and self.code is None

    def kill(self) -> None:
        if self.alive:  # until it is asked for its end it stays a zombie, so that its number is nobody else's
            os.kill(self.pid, signal.SIGKILL)
            self.code = self.zygote.ask({"do": "wait", "pid": self.pid})["code"]

    def ask_to_stop(self) -> None:
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)

    async def wait(self, within_s: float) -> int:
        """The exit code, -N for signal N; fails where it does not end in time."""
        with trio.fail_after(within_s):
            while self.alive:  # noqa: ASYNC110 - a process tells nobody of its end
                await trio.sleep(0.002)
        assert self.code is not None
        return self.code


# -- the other end --


PRELOADED = (
    "adapters", "daemon.app.main", "daemon.outbound.httpx_client", "encodings.idna", "httpcore._backends.trio",
    "lmdb._envid", "mimetypes",
)  # fmt: skip
"""What a daemon imports in its life, also late."""
COMMANDS = ("daemon.cli", "tests.crash.victim")
"""Modules whose `main` may be forked."""


def _preload() -> dict[str, Callable[[Sequence[str]], int]]:
    """Import it all; the commands by module."""
    for name in PRELOADED:
        import_module(name)
    return {name: import_module(name).main for name in COMMANDS}


def _become(ask: Mapping[str, Any], fds: Sequence[int]) -> None:
    """Everything a service manager would set up for a process: descriptors, session, environment, directory."""
    os.setsid()
    for stream, path, flags in (
        (0, "/dev/null", os.O_RDONLY),
        (1, ask["out"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        (2, ask["err"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, stream)
        os.close(opened)
    for place, fd in enumerate(fds):
        os.dup2(fd, _FIRST_INHERITED_FD + place)
    os.closerange(_FIRST_INHERITED_FD + len(fds), 256)
    os.chdir(ask["cwd"])
    os.environ.clear()
    os.environ.update(ask["env"])
    if fds:
        names = ":".join(["onhand.socket"] * len(fds))
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)


def _ended(pid: int, flags: int) -> int | None:
    done, status = os.waitpid(pid, flags)
    return os.waitstatus_to_exitcode(status) if done else None


def _serve(control: socket.socket) -> int:
    """Answer until the driver is gone. Returns in every fork, too, with the exit code of what it ran."""
    commands = _preload()
    gc.collect()
    gc.freeze()  # the forks share these pages: no collection must write to them
    living: set[int] = set()
    while True:
        select.select([control], [], [])
        message, fds, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 16)
        if not message:
            break
        ask = json.loads(message)
        match ask["do"]:
            case "start":
                pid = os.fork()
                if not pid:
                    module, *arguments = ask["command"]
                    # The pair is closed with everything else; its object must not close the number once more.
                    control.detach()
                    return _run(commands[module], arguments, ask, fds)
                living.add(pid)
                answer: dict[str, Any] = {"pid": pid}
            case "poll" | "wait":
                code = _ended(ask["pid"], os.WNOHANG if ask["do"] == "poll" else 0)
                if code is not None:
                    living.discard(ask["pid"])
                answer = {"code": code}
            case _:
                answer = {"ready": True}
        for fd in fds:
            os.close(fd)
        control.send(json.dumps(answer).encode())
    for pid in living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return 0


def _run(
    command: Callable[[Sequence[str]], int], arguments: Sequence[str], ask: Mapping[str, Any], fds: Sequence[int]
) -> int:
    try:
        _become(ask, fds)
        return command(arguments)
    except BaseException:
        traceback.print_exc()
        return 70


def main(arguments: Sequence[str]) -> int:
    """The zygote's command: the number of its end of the pair."""
    return _serve(socket.socket(fileno=int(arguments[0])))


def daemon_command(folder: Path) -> list[str]:
    """`onhand run`, for a `Fork`."""
    return ["daemon.cli", "run", "--config", str(folder / "config.yaml")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
