"""`onhand run`: the real world's ports, signals, and errors as one sentence."""

from __future__ import annotations

import gc
import os
import signal
import ssl
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import trio

from daemon.app.daemon import Daemon, serve
from daemon.config import Config, ConfigError, load_config
from daemon.config_addresses import HostPort
from daemon.credentials import CredentialError
from daemon.domain.channel import Platform
from daemon.events import Event
from daemon.ingress.listeners import (
    admin_objection,
    inherited_listeners,
    port_objection,
    tcp_listeners,
    unix_listener,
)
from daemon.notify import Notifier
from daemon.outbound.http import AddressPolicy, open_http_client
from daemon.ports import HttpPort, HttpTarget, Ports, production_ports, read_file, wall_us
from daemon.programs import run_program
from daemon.storage.files import StoreError
from daemon.telemetry import Telemetry

DONE, REFUSED, WRONG = 0, 1, 2

GC_THRESHOLDS = (50_000, 20, 100)
"""Python's own (700, 10, 10) has the collector walk every known SKU again and again: a quarter of the time under
load, in pauses of some 0.3 s. Little here is garbage in cycles, and what there is still goes while it is young."""


def run_daemon(config_path: Path, platforms: Mapping[str, Platform]) -> int:
    """The daemon in the foreground; returns the exit code. SIGTERM and SIGINT begin the orderly stop."""
    environ = dict(os.environ)
    try:
        config = load_config(str(config_path), environ=environ, platforms=platforms, read_file=read_file)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log is not set up without a configuration
        return WRONG
    ports = real_ports()
    telemetry = Telemetry(
        wall_us=ports.wall_us, write_line=ports.write_line, level=config.log_level, terminal=ports.terminal
    )
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what is loaded by now stays as long as the process does
    return trio.run(_run, config, platforms, ports, telemetry, Notifier(environ))


async def _run(
    config: Config, platforms: Mapping[str, Platform], ports: Ports, telemetry: Telemetry, notifier: Notifier
) -> int:
    try:
        async with trio.open_nursery() as nursery:
            daemon: Daemon = await nursery.start(serve, config, platforms, ports, telemetry, notifier)
            public, admin = _handed("public") or str(config.listen), _handed("admin") or config.admin_socket
            telemetry.event(Event.LISTENING, public=public, admin=admin, state=config.state_dir)
            nursery.start_soon(_obey_signals, daemon, nursery.cancel_scope)
            await _ended(daemon, nursery)
    except BaseExceptionGroup as group:
        matched, rest = group.split((StoreError, CredentialError, OSError, RuntimeError))
        if matched is None or rest is not None:
            raise
        error = _first(matched)
        telemetry.event(Event.FAILED, error=str(error))
        print(f"onhand: {error}", file=sys.stderr)  # noqa: T201 - a person who starts it by hand looks here
        return REFUSED
    return DONE


async def _ended(daemon: Daemon, nursery: trio.Nursery) -> None:
    await daemon.ended.wait()
    nursery.cancel_scope.cancel()


async def _obey_signals(daemon: Daemon, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        asked = 0
        async for _ in signals:
            asked += 1
            daemon.stop()
            if asked > 1:
                scope.cancel()  # a person in a hurry; the state is safe at any moment


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def real_ports() -> Ports:
    """The real world."""
    return production_ports(
        open_http=_open_http, listen_public=_listen_public, listen_admin=_listen_admin, run_program=run_program
    )


@cache
def _system_trust() -> ssl.SSLContext:
    """The system's certificates. Reading them takes tens of milliseconds, so all channels share one copy."""
    return ssl.create_default_context()


def _open_http(target: HttpTarget) -> HttpPort:
    policy = AddressPolicy(target.hosts, allow_plain=target.allow_plain, allow_private=target.allow_private)
    return open_http_client(
        target.kind, policy=policy, max_connections=target.max_connections, clock_us=wall_us,
        ssl_context=_system_trust(),
    )  # fmt: skip


async def _listen_public(host: str, port: int) -> Sequence[trio.abc.Listener[Any]]:
    if handed := _handed_public():
        return handed
    try:
        return await tcp_listeners(host, port)
    except OSError as error:
        raise RuntimeError(port_objection(host, port, error, "`listen` in the configuration")) from None


async def _listen_admin(path: str) -> Sequence[trio.abc.Listener[Any]]:
    inherited = _inherited().get("admin")
    if inherited is None:
        own = unix_listener(path)
        if objection := admin_objection(own.socket):
            await own.aclose()
            raise RuntimeError(objection)
        return [own]
    for listener in inherited:
        if objection := admin_objection(listener.socket):
            raise RuntimeError(objection)
    return inherited


def _handed_public() -> list[trio.SocketListener]:
    """Every socket handed over that is not the admin's, whatever its name: onhand.socket names none."""
    return [each for name, found in _inherited().items() if name != "admin" for each in found]


def _handed(kind: Literal["public", "admin"]) -> str:
    """Where the sockets handed over for this really listen, whatever the configuration says; "" without any."""
    found = _handed_public() if kind == "public" else _inherited().get("admin", [])
    names = [each.socket.getsockname() for each in found]
    return ", ".join(str(HostPort(*name[:2])) if isinstance(name, tuple) else str(name) for name in names)


_handed_over: dict[str, list[trio.SocketListener]] | None = None


def _inherited() -> dict[str, list[trio.SocketListener]]:
    """Sockets handed over by systemd; taken once, since taking them changes the descriptors."""
    global _handed_over  # noqa: PLW0603 - a process is handed its sockets once
    if _handed_over is None:
        _handed_over = inherited_listeners(os.environ)
    return _handed_over
