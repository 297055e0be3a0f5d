"""Wraps the seams of the real daemon so that it dies by SIGKILL at a named point (`points.POINTS`).

Nothing here is in the daemon: its classes are taken as they are, and each seam between two effects is wrapped before
its own command line runs. What is not asked for is wrapped all the same, and does nothing.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import lmdb.verify
from attrs import define

from daemon.actors.registry import Registry
from daemon.admin.api import AdminHandler
from daemon.app import main as app_main
from daemon.app.audit import Auditor
from daemon.app.daemon import Daemon
from daemon.app.rebuilding import Rebuilder
from daemon.domain.exchange import Reply, Request
from daemon.ingress.direct import DirectStream
from daemon.ingress.receiver import Receiver
from daemon.ingress.server import HttpServer
from daemon.outbound import httpx_client
from daemon.outbound.bounded import Attempt
from daemon.storage import environment, markers
from daemon.storage.environment import Batch, Environment
from daemon.storage.markers import InUse
from daemon.storage.store import Store
from tests.crash.kinds import call_kind, commit_kinds
from tests.crash.points import POINTS


@define
class Fuse:
    """Burns down when its point is passed for the `nth` time."""

    point: str
    nth: int = 1
    passed: int = 0

    def __call__(self, *names: str) -> None:
        """These points are passed now, by whatever thread."""
        for name in names:
            assert name in POINTS, f"{name} is no point"
            if name == self.point:
                self.passed += 1
                if self.passed == self.nth:
                    os.kill(os.getpid(), signal.SIGKILL)


def install(point: str, nth: int) -> None:
    """From now on this process dies at the `nth` passing of `point`."""
    fuse = Fuse(point, nth)
    _storage(fuse)
    _markers(fuse)
    _start(fuse)
    _webhooks(fuse)
    _calls(fuse)
    _operators(fuse)
    _upkeep(fuse)
    _stop(fuse)


def _around(
    owner: Any, name: str, before: Callable[[], None] | None, after: Callable[[], None] | None = None
) -> None:
    """Call `before` and `after` around a function, plain or async."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def called(*args: Any, **options: Any) -> Any:
        if before is not None:
            before()
        result = inner(*args, **options)
        if after is None:
            return result
        if hasattr(result, "__await__"):
            return _then(result, after)
        after()
        return result

    setattr(owner, name, called)


async def _then(awaited: Any, after: Callable[[], None]) -> Any:
    result = await awaited
    after()
    return result


def _at(fuse: Fuse, *names: str) -> Callable[[], None]:
    return lambda: fuse(*names)


# -- storage --


class DyingTransaction:
    """A write transaction that passes its points before its head record and after its commit."""

    def __init__(self, txn: Any, fuse: Fuse, kinds: list[str]) -> None:
        self._txn, self._fuse, self._kinds = txn, fuse, kinds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def put(self, key: bytes, value: bytes, **options: Any) -> Any:
        done = self._txn.put(key, value, **options)
        self._fuse(*(f"commit.{kind}.inside" for kind in self._kinds))
        return done

    def __enter__(self) -> DyingTransaction:
        self._txn.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, at: Any) -> Any:
        done = self._txn.__exit__(kind, error, at)
        if kind is None:
            self._fuse(*(f"commit.{each}.after" for each in self._kinds))
        return done


class DyingEnvironment:
    """The LMDB environment, with the fuse at its write transactions and its hot copy."""

    def __init__(self, env: Any, fuse: Fuse) -> None:
        self._env, self._fuse = env, fuse
        self.kinds: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def begin(self, *args: Any, **options: Any) -> Any:
        txn = self._env.begin(*args, **options)
        return DyingTransaction(txn, self._fuse, self.kinds) if options.get("write") else txn

    def open_db(self, key: bytes, txn: Any = None, **options: Any) -> Any:
        return self._env.open_db(key, txn=txn._txn if isinstance(txn, DyingTransaction) else txn, **options)

    def copyfd(self, fd: int, **options: Any) -> None:
        self._fuse("backup.begun")
        if self._fuse.point == "backup.copying":
            threading.Thread(target=self._die_while_it_grows, args=(fd,), daemon=True).start()
        self._env.copyfd(fd, **options)
        self._fuse("backup.copied")

    def _die_while_it_grows(self, fd: int) -> None:
        while not os.fstat(fd).st_size:
            pass
        self._fuse("backup.copying")


def _storage(fuse: Fuse) -> None:
    open_engine, write = environment.open_engine, Environment.write

    def dying_engine(directory: Path, map_bytes: int) -> Any:
        return DyingEnvironment(open_engine(directory, map_bytes), fuse)

    def dying_write(self: Environment, batch: Batch) -> None:
        self.env.kinds = commit_kinds(batch)
        fuse(*(f"commit.{kind}.before" for kind in self.env.kinds))
        write(self, batch)

    environment.open_engine = dying_engine
    Environment.write = dying_write  # type: ignore[method-assign]
    _around(Environment, "grow", _at(fuse, "map.full"), _at(fuse, "map.grown"))
    _around(Store, "checkpoint", _at(fuse, "checkpoint.begun"))
    _around(Registry, "checkpointed", _at(fuse, "checkpoint.ended"))


# -- the markers beside the database --


def _markers(fuse: Fuse) -> None:
    """Both the mark of use and the seal are made durable before the other one goes: `sync_directory` lies between."""
    sync_directory, opening, closing = markers.sync_directory, InUse.__init__, markers.close
    passing = [""]

    def synced(directory: Path) -> None:
        sync_directory(directory)
        if passing[0]:
            fuse(passing[0])
            passing[0] = ""

    def open_mark(self: InUse, directory: Path) -> None:
        passing[0] = "start.marked"
        opening(self, directory)
        fuse("start.unsealed")

    def close_mark(directory: Path) -> None:
        fuse("stop.closed")
        passing[0] = "stop.sealed"
        closing(directory)
        fuse("stop.unmarked")

    markers.sync_directory = synced
    InUse.__init__ = open_mark  # type: ignore[method-assign]
    markers.close = close_mark
    _around(InUse, "note", None, _at(fuse, "commit.noted"))


# -- starting --


def _start(fuse: Fuse) -> None:
    _around(environment, "take_lock", None, _at(fuse, "start.locked"))
    _around(lmdb.verify._Verifier, "read_page", _at(fuse, "start.verifying"))
    _around(environment, "open_tables", None, _at(fuse, "start.opened"))
    _around(environment, "check_rows", None, _at(fuse, "start.checked"))
    _around(Environment, "_be_born", None, _at(fuse, "birth.marked"))
    replay = Store.replay

    def replaying(self: Store) -> Iterator[Any]:
        for record in replay(self):
            fuse("start.replaying")
            yield record

    Store.replay = replaying  # type: ignore[method-assign]
    _around(Registry, "replay", None, _at(fuse, "start.replayed"))
    _around(Registry, "resume", None, _at(fuse, "start.resumed"))
    _around(Daemon, "_recover", None, _at(fuse, "start.recovered"))
    _around(app_main, "_listen_admin", None, _at(fuse, "start.admin-listens"))
    _around(app_main, "_listen_public", None, _at(fuse, "start.public-listens"))
    _around(Daemon, "_announce", _at(fuse, "start.serving"))


# -- the public port --


def _webhooks(fuse: Fuse) -> None:
    _around(Receiver, "receive", _at(fuse, "webhook.received"))
    _around(Receiver, "_accept", _at(fuse, "webhook.new"))
    _around(Receiver, "_keep", None, _at(fuse, "webhook.applied"))
    _around(Receiver, "_time", _at(fuse, "webhook.durable"))
    send_all = DirectStream.send_all

    async def sending(self: DirectStream, data: Any) -> None:
        told = bytes(data[-9:])
        what = "" if told == b"accepted\n" else "repeat-" if told.endswith(b"\nknown\n") else None
        if what is None:
            await send_all(self, data)
            return
        fuse(f"webhook.{what}answering")
        if not what and fuse.point == "webhook.half-answered":
            os.write(self._fd, bytes(data[: len(data) // 2]))
            fuse("webhook.half-answered")
            data = data[len(data) // 2 :]
        await send_all(self, data)
        fuse(f"webhook.{what}answered")

    DirectStream.send_all = sending  # type: ignore[method-assign]


# -- storefronts --

_calling: ContextVar[str] = ContextVar("calling", default="")


class DyingClient:
    """A channel's HTTP client with the fuse around each request."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    async def send(self, request: Request) -> Reply:
        kind = call_kind(request.method, request.url)
        if not kind:
            return await self._inner.send(request)  # type: ignore[no-any-return]
        self._fuse(f"call.{kind}.before")
        _calling.set(kind)
        reply: Reply = await self._inner.send(request)
        _calling.set("")
        self._fuse(f"call.{kind}.answered")
        return reply

    async def aclose(self) -> None:
        await self._inner.aclose()


def _calls(fuse: Fuse) -> None:
    open_http = app_main._open_http
    app_main._open_http = lambda target: DyingClient(open_http(target), fuse)
    awaiting = Attempt.awaiting

    def left(self: Attempt) -> None:
        awaiting(self)
        if _calling.get():
            fuse(f"call.{_calling.get()}.left")

    httpx_client._TRACED["http11.receive_response_headers.started"] = left


# -- operators, upkeep, the stop --

_commanded: ContextVar[bool] = ContextVar("commanded", default=False)


def _operators(fuse: Fuse) -> None:
    respond, send_all = AdminHandler.respond, DirectStream.send_all

    async def responding(self: AdminHandler, request: Any) -> Any:
        answer = await respond(self, request)
        _commanded.set(request.method == "POST")
        if request.method == "POST":
            fuse("operator.answering")
        return answer

    async def sending(self: DirectStream, data: Any) -> None:
        await send_all(self, data)
        if _commanded.get():
            fuse("operator.answered")

    AdminHandler.respond = responding  # type: ignore[method-assign]
    DirectStream.send_all = sending  # type: ignore[method-assign]


def _upkeep(fuse: Fuse) -> None:
    _around(Environment, "copy_to", None, _at(fuse, "backup.marked"))
    _around(Rebuilder, "_check_index", _at(fuse, "verify.walking"))
    _around(Auditor, "compare", _at(fuse, "verify.comparing"))


def _stop(fuse: Fuse) -> None:
    _around(Daemon, "stop", _at(fuse, "stop.asked"))
    _around(Daemon, "_finish", _at(fuse, "stop.begun"), _at(fuse, "stop.finished"))
    close_gracefully, close = HttpServer.close_gracefully, Environment.close

    async def closing(self: HttpServer, timeout_s: float = 60.0) -> bool:
        public = isinstance(self._shared.handler, AdminHandler) is False
        if not public:
            fuse("stop.calls-ended")
        done = await close_gracefully(self, timeout_s)
        if public:
            fuse("stop.answered")
        return done

    def close_it(self: Environment, *, clean: bool) -> None:
        fuse("stop.closing")
        close(self, clean=clean)
        fuse("stop.ended")

    HttpServer.close_gracefully = closing  # type: ignore[method-assign]
    Environment.close = close_it  # type: ignore[method-assign]
    _around(Store, "stop", _at(fuse, "stop.written"))
