"""The one ports object: everything the daemon takes from outside itself, handed to `app` as an argument.

This module imports no room of the house, so every room may import it. What needs a room (HTTP clients live in
`outbound`, sockets in `ingress.listeners`) is given to `production_ports` by the composition root. A simulation
builds its own `Ports` and no code can tell the difference: a test over the syntax trees of `daemon` and `adapters`
bans clocks, randomness, threads, files and sockets everywhere else. Waiting is not here: it is Trio's clock alone.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import secrets
import stat
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal, Protocol, TypeVar

import trio
from attrs import field, frozen

from daemon.domain.exchange import Reply, Request

T = TypeVar("T")


def _keep_nothing(path: str, content: bytes, /) -> None:  # noqa: ARG001  # see KeepFile
    raise OSError(errno.EROFS, "nothing can be kept here", path)


async def _run_nothing(argv: Sequence[str], told: bytes, *, timeout_s: float, output_max: int) -> Ran:  # noqa: ARG001  # see RunProgram
    raise OSError(errno.ENOSYS, "no program can be started here", argv[0])


_PLENTY = 1 << 20
"""Open files where the system sets no bound."""


@frozen
class FileContents:
    """A file as it was read: its bytes, and its permission bits (0o600 and the like)."""

    data: bytes
    mode: int


class ReadFile(Protocol):
    def __call__(self, path: str, max_bytes: int) -> FileContents:
        """The first `max_bytes` + 1 bytes of a regular file, so that a caller can tell "too big" from "just fits".

        Blocks: for start-up only. Raises `OSError`, whose `strerror` may be shown.
        """
        ...


class KeepFile(Protocol):
    def __call__(self, path: str, content: bytes, /) -> None:
        """Put a small private file (mode 0600) in place: all of it or, after any failure, what was there before.

        Its folder is made where it is missing (mode 0700). Durable when it returns. Blocks: for `run_blocking`.
        Raises `OSError`, whose `strerror` may be shown.
        """
        ...


class RunBlocking(Protocol):
    async def __call__(self, fn: Callable[[], T], /) -> T:
        """Run `fn` to its end in the writer thread, one call at a time, and return or raise what it does.

        Cancelled before `fn` began, nothing happens. Once it began it is never abandoned: the caller waits, gets
        the result, and meets its cancellation at the next checkpoint. So a commit's fate is always known.
        """
        ...


@frozen
class Ran:
    """How a program ended. code: its exit code, below 0 the signal that ended it, None: it ran out of time and was
    killed · output: the beginning of what it wrote, to either stream"""

    code: int | None
    output: bytes


class RunProgram(Protocol):
    async def __call__(self, argv: Sequence[str], told: bytes, *, timeout_s: float, output_max: int) -> Ran:
        """Start a program without a shell, with `told` on its standard input, and wait for its end.

        After `timeout_s`, and where the caller is cancelled, it is killed with all that it started. Raises `OSError`
        where it cannot be started, whose `strerror` may be shown.
        """
        ...


class HttpPort(Protocol):
    """One channel's HTTP client, as far as this module must know it; `daemon.outbound.http` makes the promises."""

    async def send(self, request: Request) -> Reply: ...

    async def aclose(self) -> None: ...


@frozen
class HttpTarget:
    """What a channel's HTTP client may do. `hosts` are `host` or `host:port`, as `AddressPolicy` reads them."""

    channel: str
    hosts: frozenset[str]
    kind: Literal["httpx", "asks"] = "httpx"
    max_connections: int = 4
    allow_plain: bool = False
    allow_private: bool = False


Listeners = Sequence[trio.abc.Listener[trio.abc.Stream]]


class ListenPublic(Protocol):
    async def __call__(self, host: str, port: int, /) -> Listeners:
        """Accept webhooks at `host` ("": every interface) and `port` (0: any free one).

        Sockets handed over by systemd win. Raises `OSError` where the address cannot be had.
        """
        ...


class ListenAdmin(Protocol):
    async def __call__(self, path: str, /) -> Listeners:
        """Accept the admin's connections at a Unix socket of mode 0660. Otherwise like `ListenPublic`."""
        ...


@frozen
class Ports:
    """Everything from outside. Plain callables, so a test replaces one with a lambda and `attrs.evolve`.

    run_aside: like run_blocking, on a thread of its own, for what is long and only reads (a hot copy) ·
    wall_us: our clock, µs since 1970; may jump · rng: jitter and probes only, never a secret ·
    new_id: unique across restarts, 32 characters of [0-9a-f] · write_line: one log line, without its newline ·
    terminal: does a person read those lines? · files_max: open files the process may have ·
    keep_file, run_program: a world without files, or without programs, refuses it
    """

    wall_us: Callable[[], int]
    rng: random.Random
    new_id: Callable[[], str]
    run_blocking: RunBlocking
    run_aside: RunBlocking
    open_http: Callable[[HttpTarget], HttpPort]
    listen_public: ListenPublic
    listen_admin: ListenAdmin
    environ: Mapping[str, str] = field(repr=False)  # secrets may be in it
    read_file: ReadFile
    write_line: Callable[[str], None]
    terminal: bool = False
    files_max: int = _PLENTY
    keep_file: KeepFile = _keep_nothing
    run_program: RunProgram = _run_nothing


def production_ports(
    *, open_http: Callable[[HttpTarget], HttpPort], listen_public: ListenPublic, listen_admin: ListenAdmin,
    run_program: RunProgram = _run_nothing,
) -> Ports:  # fmt: skip
    """The real world. The arguments come from the rooms that may touch HTTP clients and sockets."""
    return Ports(
        wall_us=wall_us,
        rng=random.Random(),  # noqa: S311  # spreads retries; nothing secret comes from it
        new_id=lambda: uuid.uuid4().hex,
        run_blocking=WriterThread(),
        run_aside=WriterThread(),
        open_http=open_http,
        listen_public=listen_public,
        listen_admin=listen_admin,
        environ=dict(os.environ),
        read_file=read_file,
        write_line=_write_line,
        terminal=sys.stdout.isatty(),
        files_max=_files_max(),
        keep_file=keep_file,
        run_program=run_program,
    )


def _files_max() -> int:
    """What the system grants, asked for in full: a shell's soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a system call filter may forbid it; then the soft limit is what we have
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return _PLENTY if soft == resource.RLIM_INFINITY else soft


def wall_us() -> int:
    """Our clock: µs since 1970, UTC."""
    return time.time_ns() // 1000


def new_token() -> str:
    """A secret that nobody guesses: 256 random bits as 43 characters that a URL takes as they are."""
    return secrets.token_urlsafe(32)


class WriterThread:
    """`RunBlocking` on a worker thread of Trio's, at most one at a time."""

    def __init__(self) -> None:
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def __call__(self, fn: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(fn, abandon_on_cancel=False, limiter=self._one_at_a_time)


def read_file(path: str, max_bytes: int) -> FileContents:
    """See `ReadFile`."""
    # O_NONBLOCK: opening a named pipe by mistake must fail with a sentence, not hang the start.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        return FileContents(file.read(max_bytes + 1), stat.S_IMODE(status.st_mode))


def keep_file(path: str, content: bytes, /) -> None:
    """See `KeepFile`."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    draft = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(draft)  # left by a write that was interrupted; never followed where it is a link
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, path)
    for each in (folder, os.path.dirname(folder)):
        descriptor = os.open(each or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
