"""Nothing but `daemon.ports`, and the few modules listed here, reaches outside: that is what makes a run replayable.

Names are followed through imports and their aliases in the syntax trees of `daemon` and `adapters`. A method of
an object (`path.open()`) has no name that could be followed; of those, only the telling ones are banned.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BANNED = {
    "clock": ("time", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
              "datetime.date.today", "calendar", "timeit"),
    "randomness": ("random", "uuid", "secrets", "os.urandom", "os.getrandom", "numpy.random"),
    "threads": ("threading", "_thread", "multiprocessing", "concurrent", "asyncio", "subprocess", "trio.to_thread",
                "trio.from_thread", "trio.run_process", "trio.lowlevel.open_process", "os.fork", "os.system"),
    "files": ("open", "io.open", "os.open", "os.mkdir", "os.makedirs", "os.unlink", "os.remove", "os.rename",
              "os.replace", "os.listdir", "os.scandir", "tempfile", "shutil", "mmap", "fcntl", "trio.open_file",
              "trio.Path"),
    "sockets": ("socket", "socketserver", "trio.socket", "trio.open_tcp_stream", "trio.open_ssl_over_tcp_stream",
                "trio.open_tcp_listeners", "trio.serve_tcp", "trio.open_unix_socket", "http.client",
                "urllib.request"),
    "environment": ("os.environ", "os.environb", "os.getenv", "os.getenvb"),
    "signals": ("signal", "trio.open_signal_receiver"),
    "database": ("lmdb", "sqlite3", "dbm", "shelve"),
    "HTTP clients": ("httpx", "httpcore", "asks", "requests"),
    "identity": ("id",),  # an address in memory differs from run to run: nothing may be decided by it
}  # fmt: skip

KIND_OF = {name: kind for kind, names in BANNED.items() for name in names}

FILE_METHODS = ("read_text", "read_bytes", "write_text", "write_bytes")

SEEDABLE = "random.Random"
"""A generator somebody else seeds is a value like any other; unseeded, `random.Random()`, it is not."""

ALLOWED = {
    "daemon/ports.py": (
        {"clock", "randomness", "threads", "files", "environment"},
        "it is the real world, behind the ports",
    ),
    "daemon/storage/": ({"database", "files"}, "what survives is files; the simulation runs on the same ones"),
    "daemon/outbound/": ({"HTTP clients", "sockets"}, "behind ports.open_http"),
    "daemon/ingress/listeners.py": ({"sockets", "files"}, "behind ports.listen_public and ports.listen_admin"),
    "daemon/programs.py": (
        {"threads", "environment", "signals"},
        "behind ports.run_program: an alarm's command is a process",
    ),
    "daemon/notify.py": ({"sockets"}, "one datagram to systemd; without $NOTIFY_SOCKET it opens nothing"),
    "daemon/app/main.py": ({"signals", "environment"}, "the real world is put together here, and told to stop"),
    "daemon/admin_exchange.py": ({"sockets"}, "a client of the admin socket, for programs beside the daemon"),
    "daemon/console/": ({"signals", "files"}, "a client of the daemon, not part of it; it serves its own files"),
    "daemon/cli": ({"files", "sockets", "environment", "signals"}, "a client of the daemon, not part of it"),
    "daemon/cli/pace.py": ({"clock", "threads"}, "a command at a terminal waits in real time, and looks meanwhile"),
    "daemon/theatre/": (
        {"clock", "files", "sockets", "threads", "signals", "environment"},
        "storefronts and measurements around a daemon, in real time; on stage it is a process with our environment",
    ),
}


def reaches(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and name of everything in `source` that reaches outside."""
    nodes = list(ast.walk(ast.parse(source)))
    bound = {"open": "open", "id": "id"}
    for node in nodes:
        for name, stands_for, whole in _imported(node):
            bound[name] = stands_for
            yield from _judged(node, whole)
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            yield from _judged(node, _dotted(node, bound))
        if isinstance(node, ast.Attribute) and node.attr in FILE_METHODS:
            yield node.lineno, "files", f".{node.attr}"
        if isinstance(node, ast.Call) and not node.args + node.keywords and _dotted(node.func, bound) == SEEDABLE:
            yield node.lineno, "randomness", f"{SEEDABLE}()"


def _imported(node: ast.AST) -> Iterator[tuple[str, str, str]]:
    """For each name that an import binds: the name, what it stands for, and the whole of what is imported."""
    match node:
        case ast.Import(names=names):
            for each in names:
                top = each.name.partition(".")[0]  # what `import a.b` binds
                yield each.asname or top, each.name if each.asname else top, each.name
        case ast.ImportFrom(names=names, level=0):
            for each in names:
                whole = f"{node.module}.{each.name}"
                yield each.asname or each.name, whole, whole


def _dotted(node: ast.AST, bound: dict[str, str]) -> str:
    """The full name of `a.b.c` where `a` is an imported name, else ""."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in bound:
        return ""
    return ".".join([bound[node.id], *reversed(parts)])


def _judged(node: ast.AST, name: str) -> Iterator[tuple[int, str, str]]:
    if not name or name in ("random", SEEDABLE):
        return
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        kind = KIND_OF.get(".".join(parts[:length]))
        if kind is not None:
            yield getattr(node, "lineno", 0), kind, name


def allowed_kinds(path: str) -> set[str]:
    return {kind for prefix, (kinds, _) in ALLOWED.items() if path.startswith(prefix) for kind in kinds}


def test_nothing_reaches_outside_but_through_the_ports() -> None:
    found = []
    for file in sorted([*ROOT.glob("daemon/**/*.py"), *ROOT.glob("adapters/**/*.py")]):
        path = file.relative_to(ROOT).as_posix()
        for line, kind, name in reaches(file.read_text()):
            if kind not in allowed_kinds(path):
                found.append(f"{path}:{line} reaches for {name} ({kind}): take it from daemon.ports instead")
    assert not found, "\n" + "\n".join(sorted(set(found)))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import time", "clock"),
        ("from time import monotonic as m", "clock"),
        ("import datetime as d\nd.datetime.now()", "clock"),
        ("from datetime import datetime\ndatetime.now(UTC)", "clock"),
        ("from datetime import date\nnow = date.today", "clock"),
        ("import random\nrandom.random()", "randomness"),
        ("import random\nrandom.Random()", "randomness"),
        ("from random import choice", "randomness"),
        ("from random import Random\nRandom()", "randomness"),
        ("import os\nkey = os.urandom(4)", "randomness"),
        ("def f():\n    import uuid", "randomness"),
        ("import trio\nawait_ = trio.to_thread.run_sync", "threads"),
        ("from trio import to_thread", "threads"),
        ("import trio.to_thread", "threads"),
        ("import concurrent.futures", "threads"),
        ("open('x')", "files"),
        ("f = open", "files"),
        ("from pathlib import Path\nPath('x').read_text()", "files"),
        ("from trio import Path", "files"),
        ("import socket", "sockets"),
        ("import trio\ntrio.open_tcp_stream", "sockets"),
        ("import os\nos.environ['X']", "environment"),
        ("import lmdb.verify", "database"),
        ("import httpx", "HTTP clients"),
        ("sorted(things, key=id)", "identity"),
    ],
)
def test_each_way_out_is_seen(source: str, kind: str) -> None:
    assert kind in [kind for _, kind, _ in reaches(source)]


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import UTC, datetime\ndatetime.fromtimestamp(3, UTC)",
        "import random\ndef f(rng: random.Random) -> float:\n    return rng.random()",
        "from random import Random\nRandom(7)",
        "import trio\ntrio.current_time()",
        "import os\nos.getpid()",
        "class Row:\n    id: int",
        "slot.open()\nself.time\nrow.id\nmodule.socket",
        "from daemon.clock import time_of_day",
        "from pathlib import Path\nPath('x') / 'y'",
    ],
)
def test_what_only_looks_like_a_way_out_is_let_be(source: str) -> None:
    assert list(reaches(source)) == []


def test_every_exception_has_its_reason_and_knows_its_kinds() -> None:
    for kinds, reason in ALLOWED.values():
        assert kinds <= set(BANNED)
        assert reason
