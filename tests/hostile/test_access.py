"""Who may ask what: the admin socket is its owner's and its group's, each command is on record with its user, and
asking changes nothing."""

from __future__ import annotations

import ast
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio

from daemon.admin.routes import ROUTES
from daemon.ingress.listeners import admin_objection
from tests.acceptance.processes import Process, daemon, environment, free_port, onhand, sandbox_channel, write_config
from tests.acceptance.webhooks import order_body, post
from tests.harness import Answer, parse_answer
from tests.hostile.wire import Target

ROOT = Path(__file__).parents[2]
ME = f"uid {os.getuid()}"


@pytest.mark.slow
async def test_the_admin_socket_is_its_owners_and_groups_and_commands_name_their_user(tmp_path: Path) -> None:
    port = free_port()
    write_config(tmp_path, port, {"north": sandbox_channel("north", free_port())}, admin_socket=None)
    text = (tmp_path / "config.yaml").read_text().replace('"admin_socket": null,', "")
    (tmp_path / "config.yaml").write_text(text)
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o750)
    async with daemon(tmp_path, port, env={"RUNTIME_DIRECTORY": str(runtime)}) as found:
        await found.wait_serving()
        place = runtime / "admin.sock"
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        assert place.stat().st_uid == os.getuid()
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(place)), timeout=30) as client:
            told = await client.post("http://onhand/v1/counts", json={"sku": "A", "quantity": 3})
            assert told.status_code == 200
            refused = await client.post("http://onhand/v1/skus/B/freeze", json={})
            assert refused.status_code == 404
            (event,) = (await client.get("http://onhand/v1/skus/A/history")).json()["history"]
        assert event["cause"]["by"] == ME
        lines = [each for each in found.process.records() if each["event"].startswith("admin.")]
        assert [(each["event"], each["by"], each["command"]) for each in lines] == [
            ("admin.command", ME, "/v1/counts"),
            ("admin.refused", ME, "/v1/skus/B/freeze"),
        ]


def handed_over(folder: Path, listener: socket.socket) -> Process:
    """A daemon that a parent hands `listener` as its admin socket, as systemd does."""
    write_config(folder, free_port(), {"north": sandbox_channel("north", free_port())})
    command = ["bash", "-c", f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ exec "$@"', "bash"]
    command += onhand("run", "--config", str(folder / "config.yaml"))
    env = environment(LISTEN_FDS="1", LISTEN_FDNAMES="admin")
    process = Process(command, folder / "daemon.out", env, pass_fds=(listener.fileno(),))
    process.start()
    return process


@pytest.mark.slow
def test_an_admin_socket_that_everybody_may_use_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "open.sock"))
        os.chmod(tmp_path / "open.sock", 0o666)
        listener.listen()
        process = handed_over(tmp_path, listener)
        assert process.child is not None
        assert process.child.wait(20) == 1
    assert "everybody may use the admin socket" in process.complaints()
    assert "SocketMode=0660" in process.complaints()
    assert "Traceback" not in process.complaints()


@pytest.mark.slow
def test_an_admin_socket_on_the_network_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = handed_over(tmp_path, listener)
        assert process.child is not None
        assert process.child.wait(20) == 1
    assert "no Unix socket" in process.complaints()


@pytest.mark.parametrize(
    ("folder", "sock", "words"),
    [
        (0o750, 0o660, ""),
        (0o755, 0o660, ""),
        (0o700, 0o600, ""),
        (0o1777, 0o660, ""),
        (0o750, 0o666, "everybody may use"),
        (0o750, 0o662, "everybody may use"),
        (0o777, 0o660, "everybody may replace"),
    ],
)
def test_the_modes_of_socket_and_folder_decide(tmp_path: Path, folder: int, sock: int, words: str) -> None:
    place = tmp_path / "run"
    place.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "s"))
        os.chmod(place / "s", sock)
        os.chmod(place, folder)
        objection = admin_objection(listener)
        os.chmod(place, 0o700)
    assert words in objection
    assert bool(words) == bool(objection)


MOMENTS = {"at": "now", "since": "now", "until": "now"}
"""Parameters that are no number."""


async def test_no_query_changes_anything(target: Target) -> None:
    """Every GET and HEAD that there is, with every parameter: not a byte of the database moves."""
    answer = await post(target.port, "north", order_body("Q-1", lines=[("Q", 1)]), "secret-north", delivery="Q-1")
    assert answer.status == 200
    await post(target.port, "north", b"a puzzle", "secret-north", delivery="Q-2")
    await trio.sleep(2.5)  # the checkpoint
    names = {"{sku}": "Q", "{id}": "1", "{channel}": "north"}
    before, status_before = state_of(target), await target.ask("/v1/status")
    transport = httpx.AsyncHTTPTransport(uds=str(target.folder / "admin.sock"))
    async with httpx.AsyncClient(transport=transport, timeout=30) as client:
        for route in (each for each in ROUTES if each.method == "GET"):
            path = "/" + "/".join(names.get(part, part) for part in route.path)
            queries = [
                "",
                *(f"?{each.name}={MOMENTS.get(each.name, 1)}" for each in route.takes if each.name != "follow"),
            ]
            for query in queries:
                for method in ("GET", "HEAD"):
                    answered = await client.request(method, f"http://onhand{path}{query}")
                    assert answered.status_code in (200, 404, 409), (path, query, answered.text)
    status_after = await target.ask("/v1/status")
    assert state_of(target) == before
    same = ("events", "acked", "duplicates", "rejected", "dead_letters", "outbox", "quarantined")
    assert {name: status_after[name] for name in same} == {name: status_before[name] for name in same}


def state_of(target: Target) -> bytes:
    return (target.folder / "state" / "data.mdb").read_bytes()


async def admin_says(target: Target, sent: bytes) -> Answer:
    async with await trio.open_unix_socket(str(target.folder / "admin.sock")) as stream:
        await stream.send_all(sent)
        received = b""
        with trio.fail_after(20):
            while data := await stream.receive_some(65_536):
                received += data
    return parse_answer(received)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/skus/" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /v1/status HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", 431),
        (b"GET /v1/status HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 64 + b"\r\n", 431),
        (b"POST /v1/counts HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"GET /v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 413),
        (b"POST /v1/counts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b" " * 0x8000
         + b"\r\n8001\r\n" + b" " * 0x8001 + b"\r\n0\r\n\r\n", 413),
        (b"POST /v1/counts HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
    ],
    ids=["target", "header", "headers", "body", "body of a query", "chunked body", "coding"],
)  # fmt: skip
async def test_every_line_of_the_admin_socket_has_its_bound(target: Target, sent: bytes, status: int) -> None:
    answer = await admin_says(target, sent)
    assert answer.status == status
    assert set(answer.json()["error"]) == {"code", "message", "hint"}


def comparisons(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and names of each comparison with ==, != or in, of something that is called like a secret."""
    telling = ("signature", "digest", "hmac", "secret", "token", "mac", "claimed", "expected", "credential")
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops
        ):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue  # with a word of ours: which kind of secret, whether there is one
            names = {
                each.attr if isinstance(each, ast.Attribute) else each.id
                for side in sides
                for each in ast.walk(side)
                if isinstance(each, ast.Attribute | ast.Name)
            }
            if found := sorted(name for name in names if any(word in name.lower().split("_") for word in telling)):
                yield node.lineno, ", ".join(found)


def test_no_signature_or_secret_is_compared_but_in_constant_time() -> None:
    found, safely = [], []
    files = [*ROOT.glob("daemon/ingress/*.py"), *ROOT.glob("adapters/**/*.py"), ROOT / "daemon/credentials.py"]
    for file in files:
        text = file.read_text()
        found += [f"{file.name}:{line} compares {names}" for line, names in comparisons(ast.parse(text))]
        if "compare_digest" in text:
            safely.append(file.name)
    assert found == []
    assert sorted(safely) == ["credentials.py", "signature.py"]


@pytest.mark.parametrize(
    "code", ["a.signature == b", "expected != given", "token in tokens", "x == self.webhook_secret"]
)
def test_a_careless_comparison_would_be_seen(code: str) -> None:
    assert list(comparisons(ast.parse(code)))
