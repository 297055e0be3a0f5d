"""Where connections come from: TCP ports, Unix sockets, and sockets handed over by systemd."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Mapping
from typing import Final

import trio

BACKLOG: Final = 1024
_FIRST_INHERITED_FD: Final = 3
_INHERITED_MAX: Final = 64
_NOBODY_LISTENS: Final = frozenset({errno.ECONNREFUSED, errno.ENOENT})


class UnixListener(trio.abc.Listener[trio.SocketStream]):
    """A listening Unix socket whose file goes away when it is closed."""

    def __init__(self, sock: trio.socket.SocketType, path: str) -> None:
        self.socket = sock
        self._listener = trio.SocketListener(sock)
        self._path = path
        self._identity = _identity(path)

    async def accept(self) -> trio.SocketStream:
        """The next connection; raises as `trio.SocketListener.accept` does."""
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Stop listening and remove the file, unless another socket has taken its place."""
        if self._identity is not None and _identity(self._path) == self._identity:
            os.unlink(self._path)
        self._identity = None
        await self._listener.aclose()


async def tcp_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on `host` (a name, an address, or "" for all interfaces), on each address it has. Raises OSError.

    Port 0 takes a free port, the same for no two addresses: ask the sockets.
    """
    return await trio.open_tcp_listeners(port, host=host or None, backlog=BACKLOG)


def port_objection(host: str, port: int, error: OSError, setting: str) -> str:
    """Why `tcp_listeners` failed, as a sentence; `setting` is where a person said what was tried."""
    where = f"{host or '*'}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"another program listens on {where} already: stop it, or name another port with {setting}"
    if error.errno == errno.EACCES:
        return f"this user may not listen on {where}: name a port from 1024 on with {setting}"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"this machine has no address {host}: name one that it has, like 127.0.0.1, with {setting}"
    return f"nothing can listen on {where} ({error.strerror or error}): name another place with {setting}"


def unix_listener(path: str, mode: int = 0o660) -> UnixListener:
    """Listen on a Unix socket at `path`, which nobody outside `mode` can open even for a moment.

    A socket file left over by a killed process is replaced. Raises OSError: EADDRINUSE if somebody answers there
    or if it is no socket. The caller holds the state lock, so that no two processes start here at once.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777 & ~mode)  # of the whole process: no other thread may create files just now
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return UnixListener(trio.socket.from_stdlib_socket(sock), path)
    except BaseException:
        sock.close()
        raise


def _remove_stale(path: str) -> None:
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EADDRINUSE, "a file that is no socket is in the way", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog gives EAGAIN at once: somebody does listen
        try:
            probe.connect(path)
        except OSError as exc:
            if exc.errno in _NOBODY_LISTENS:
                os.unlink(path)
                return
    raise OSError(errno.EADDRINUSE, "another process answers on this socket", path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def inherited_listeners(environ: Mapping[str, str]) -> dict[str, list[trio.SocketListener]]:
    """The listening sockets systemd passed to this very process, by FileDescriptorName, in the order passed.

    Empty if there are none or if they are meant for another process. One unit may pass several sockets of one name.
    Each becomes close-on-exec and non-blocking. Call it once, and keep the result: a listener that is
    garbage-collected closes its descriptor for good. Raises ValueError if the variables make no sense.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not count.isascii() or not count.isdigit() or int(count) > _INHERITED_MAX:
        raise ValueError(f"LISTEN_FDS must be a number up to {_INHERITED_MAX}, not {count!r}")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    listeners: dict[str, list[trio.SocketListener]] = {}
    for index in range(int(count)):
        fd = _FIRST_INHERITED_FD + index
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        name = names[index] if index < len(names) and names[index] else "unknown"
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        listeners.setdefault(name, []).append(listener)
    return listeners


def admin_objection(sock: socket.socket | trio.socket.SocketType) -> str:
    """Why a listening socket must not take the admin's commands, as a sentence; empty where it may.

    Whoever can write to a Unix socket can connect to it, so its file and its folder say who commands the daemon.
    """
    if sock.family != socket.AF_UNIX:
        return (
            "the socket handed over under the name admin is no Unix socket, so everybody on the network could "
            "command the daemon: name a path in ListenStream="
        )
    path = sock.getsockname()
    if not isinstance(path, str) or not path.startswith("/"):
        return "" if path and isinstance(path, str) else "the admin socket has no path: name one in ListenStream="
    try:
        own, folder = os.stat(path).st_mode, os.stat(os.path.dirname(path)).st_mode
    except OSError:
        return ""  # where we cannot see it, whoever handed it over has placed it
    if own & stat.S_IWOTH:
        return f"everybody may use the admin socket {path}: set SocketMode=0660 in its unit, or chmod 660"
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        return f"everybody may replace the admin socket {path}: chmod o-w its folder"
    return ""


def peer_of(stream: trio.abc.Stream) -> str:
    """Who is at the other end: an address without its port, "uid N" on a Unix socket, "" where nobody can tell."""
    if isinstance(stream, trio.SocketStream):
        try:
            if stream.socket.family == socket.AF_UNIX:
                return _peer_uid(stream.socket)
            name = stream.socket.getpeername()
        except OSError:
            return ""
        if isinstance(name, tuple):
            return str(name[0])
    return ""


def _peer_uid(connection: trio.socket.SocketType) -> str:
    """The user at the other end of a Unix socket, as the kernel knows it (pid, uid, gid as three C ints)."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("3i", credentials)
    return f"uid {uid}"
