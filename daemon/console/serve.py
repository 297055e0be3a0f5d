"""`onhand console`: the page, on loopback, until it is told to stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Final

import trio

from daemon.console.assets import load_assets
from daemon.console.guard import Secret, refuse
from daemon.console.handler import COMMAND_BODY_MAX, ConsoleHandler
from daemon.console.link import Link
from daemon.ingress.listeners import tcp_listeners
from daemon.ingress.server import HttpServer, Limits

LOOPBACK: Final = "127.0.0.1"
CONNECTIONS_MAX: Final = 64
"""A browser opens six to one place."""
STOP_S: Final = 1.0


def run_console(socket_path: str, port: int, token: str, *, write: bool, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `say` is told the URL once calls are taken. `port` 0 takes a free one.

    Raises OSError where the port cannot be had.
    """
    trio.run(_serve, ConsoleHandler(Secret(token), Link(socket_path), load_assets(), write), port, say)


async def _serve(handler: ConsoleHandler, port: int, say: Callable[[str], None]) -> None:
    listeners = await tcp_listeners(LOOPBACK, port)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        server = HttpServer(
            handler,
            Limits(max_body_bytes=COMMAND_BODY_MAX, max_connections=CONNECTIONS_MAX, idle_timeout_s=60.0),
            on_error=_complain,
            refuse=refuse,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, listeners)
            say(f"http://{LOOPBACK}:{listeners[0].socket.getsockname()[1]}/{handler.secret.token}/")
            async for _ in signals:
                break
            await server.close_gracefully(STOP_S)
            nursery.cancel_scope.cancel()


def _complain(error: Exception) -> None:
    # Never the request: its address holds the token.
    sys.stderr.write(f"the console failed to answer a request: {type(error).__name__}\n")
