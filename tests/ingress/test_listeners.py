"""Sockets: Unix files appear with the right mode and go away, systemd's descriptors are taken over safely."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from daemon.ingress.listeners import inherited_listeners, port_objection, tcp_listeners, unix_listener
from tests.ingress.wire import get, read_until, serving


def mode_of(path: str) -> int | None:
    return stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else None


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def read(path: str) -> str:
    return Path(path).read_text()


async def test_a_tcp_listener_takes_a_free_port_on_the_address_given() -> None:
    (listener,) = await tcp_listeners("127.0.0.1", 0)
    async with listener:
        host, port = listener.socket.getsockname()
        assert host == "127.0.0.1"
        assert port > 0


async def test_why_nothing_can_listen_is_a_sentence_with_the_place_and_what_to_do() -> None:
    async with (await tcp_listeners("127.0.0.1", 0))[0] as listener:
        port = listener.socket.getsockname()[1]
        with pytest.raises(OSError, match="in use") as taken:
            await tcp_listeners("127.0.0.1", port)
    said = port_objection("127.0.0.1", port, taken.value, "--port")
    assert said == f"another program listens on 127.0.0.1:{port} already: stop it, or name another port with --port"
    with pytest.raises(OSError) as elsewhere:
        await tcp_listeners("192.0.2.1", 0)  # an address for documentation: nobody's
    assert "this machine has no address 192.0.2.1" in port_objection("192.0.2.1", 0, elsewhere.value, "`listen`")
    forbidden = OSError(errno.EACCES, "Permission denied")
    assert "a port from 1024 on" in port_objection("127.0.0.1", 80, forbidden, "`listen`")
    assert "(Too many open files)" in port_objection("::1", 80, OSError(errno.EMFILE, "Too many open files"), "x")


async def test_a_unix_socket_is_served_with_its_mode_and_removed_at_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    listener = unix_listener(path)
    assert mode_of(path) == 0o660
    async with serving() as running, trio.open_nursery() as nursery:
        server = type(running.server)(running.handler, on_error=print)
        await nursery.start(server.serve, [listener])
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(get("/x"))
            await read_until(stream, b"/x ")
        assert await server.close_gracefully(5)
    assert running.handler.seen[0].peer == f"uid {os.getuid()}"
    assert mode_of(path) is None


async def test_a_stale_unix_socket_is_replaced_and_a_live_one_or_a_file_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(path)
    async with unix_listener(path, 0o600):
        assert mode_of(path) == 0o600
        with pytest.raises(OSError, match="another process answers"):
            unix_listener(path)
    write(path, "precious")
    with pytest.raises(OSError, match="no socket"):
        unix_listener(path)
    assert read(path) == "precious"


async def test_closing_leaves_a_successor_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    first = unix_listener(path)
    os.rename(path, path + ".old")  # keeps the inode in use, so that the successor cannot get the same one
    async with unix_listener(path):
        await first.aclose()
        await first.aclose()
        assert mode_of(path) is not None


def test_descriptors_meant_for_another_process_are_left_alone() -> None:
    assert inherited_listeners({}) == {}
    assert inherited_listeners({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}


@pytest.mark.parametrize("count", ["", "x", "-1", "100000", "²"])
def test_a_senseless_count_of_descriptors_is_an_error(count: str) -> None:
    with pytest.raises(ValueError, match="LISTEN_FDS"):
        inherited_listeners({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count})


CHILD = textwrap.dedent("""
    import fcntl, gc, os, trio
    from daemon.ingress.listeners import inherited_listeners

    async def main():
        environ = {**os.environ, "LISTEN_PID": str(os.getpid())}
        found = inherited_listeners(environ)
        gc.collect()
        assert all(not os.get_inheritable(fd) and not os.get_blocking(fd) for fd in (3, 4, 5))
        stream = await found["http"][0].accept()
        await stream.send_all(" ".join(f"{name}={len(of)}" for name, of in found.items()).encode())

    trio.run(main)
""")


@pytest.mark.slow
def test_systemds_descriptors_are_taken_over_by_name() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]

    def place() -> None:  # in the child: at 3, 4, 5, as systemd does
        spare = [os.dup2(sock.fileno(), 50 + n) for n, sock in enumerate(sockets)]
        for n, fd in enumerate(spare):
            os.dup2(fd, 3 + n)
            os.set_inheritable(3 + n, True)

    environ = {**os.environ, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:admin:http"}
    child = subprocess.Popen([sys.executable, "-c", CHILD], env=environ, close_fds=False, preexec_fn=place)
    with socket.create_connection(sockets[0].getsockname(), timeout=20) as client:
        assert client.recv(100) == b"http=2 admin=1"
    assert child.wait(20) == 0
    for sock in sockets:
        sock.close()
