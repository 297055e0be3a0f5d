"""Telling systemd how we are: sd_notify over $NOTIFY_SOCKET, and the watchdog. Without systemd nothing happens."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import trio

MAX_STATUS_CHARS = 200

FEEDS_PER_PERIOD = 3
"""Two feeds may come late before systemd acts."""


class Notifier:
    """Sends datagrams to the service manager. No method blocks, awaits or raises: news is not worth a crash."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; what is missing or wrong switches a part off."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = _watchdog_s(environ) if self._address else None
        self.lost = 0
        """Datagrams that could not be sent."""

    @property
    def watchdog_s(self) -> float | None:
        """systemd kills us after so many seconds without `watchdog`; None: nobody watches."""
        return self._watchdog_s

    def ready(self) -> None:
        """Start-up is over: requests are answered."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The orderly stop has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; line breaks become blanks, what is too long is cut."""
        self._send("STATUS=" + " ".join(text.split())[:MAX_STATUS_CHARS])

    def watchdog(self) -> None:
        """We are alive. Use `feed_watchdog`, which proves it first."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            # One short-lived socket per message: a few a minute, and nothing to close, inherit or leak.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            self.lost += 1


async def feed_watchdog(notifier: Notifier, prove: Callable[[], Awaitable[object]]) -> None:
    """Feed the watchdog for ever, each time only after `prove` has come back; returns at once where nobody watches.

    `prove` shows that work gets done, e.g. an empty call through the writer thread: an idle task that only
    wakes up would go on feeding while the writer hangs. It may take as long as it likes; systemd's patience
    is the deadline. What it raises is the caller's.
    """
    if notifier.watchdog_s is None:
        return
    while True:
        await prove()
        notifier.watchdog()
        await trio.sleep(notifier.watchdog_s / FEEDS_PER_PERIOD)


def _address(text: str) -> str:
    if text.startswith("@"):
        return "\0" + text[1:]  # an abstract socket: a name in no file system
    return text if text.startswith("/") else ""


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for a parent of ours, which forgot to take it out
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) else None
