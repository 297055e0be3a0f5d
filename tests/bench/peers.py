"""What we are compared with, as processes: hypercorn without work, and the FastAPI service with its PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from tests.bench.orders import SECRET
from tests.bench.processes import LOOPBACK, BenchError, Process, environment, free_port
from tests.bench.tools import HERE, other_disk, peers_python, postgres_programs

POOL = 16
"""Connections of the service to its database; 32 and 64 were measured too and are no faster, nor are two workers."""
SETTINGS = {
    "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "512MB",
    "max_wal_size": "8GB", "listen_addresses": "", "max_connections": "100", "log_min_messages": "warning",
}  # fmt: skip
"""PostgreSQL's durability as it comes; more memory than it comes with, and no checkpoint within a run."""
SCHEMA = """
CREATE TABLE stock (sku text PRIMARY KEY, available bigint NOT NULL, wanted bigint NOT NULL DEFAULT 0)
  WITH (fillfactor = 50);
CREATE TABLE processed (id text PRIMARY KEY);
CREATE TABLE movements (id bigserial PRIMARY KEY, sku text NOT NULL, delivery text NOT NULL, units bigint NOT NULL,
  after bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
"""


@define
class Peer:
    """A server and everything whose CPU time it costs."""

    port: int
    parts: Sequence[Process]

    def cpu_us(self) -> float:
        """Of all its parts so far, µs."""
        return sum(part.cpu_us() for part in self.parts)


@contextmanager
def hypercorn(folder: Path) -> Iterator[Peer]:
    """Hypercorn's Trio worker with an application that does nothing."""
    port = free_port()
    command = [
        str(peers_python()), "-m", "hypercorn", "--worker-class", "trio", "--workers", "1",
        "--bind", f"{LOOPBACK}:{port}", "--keep-alive", "60", "hypercorn_noop:app",
    ]  # fmt: skip
    with Process(command, folder / "hypercorn.out", _home()) as server:
        server.wait_listening(port)
        yield Peer(port, [server])


@define
class Database:
    """A running PostgreSQL of our own, reached over a Unix socket."""

    folder: Path
    server: Process
    user: str

    @property
    def dsn(self) -> str:
        return f"postgresql://{self.user}@/postgres?host={self.folder}"

    def run(self, sql: str) -> None:
        """Run statements."""
        psql = [str(postgres_programs() / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder)]
        done = subprocess.run(
            [*psql, "-U", self.user, "-d", "postgres", "-c", sql], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"PostgreSQL refused: {done.stderr.strip()}")


@contextmanager
def database(folder: Path, skus: Sequence[str], stock: int, *, flush_us: int = 0) -> Iterator[Database]:
    """PostgreSQL with the service's tables, every SKU stocked."""
    user = _unprivileged()
    data = folder / "postgres"
    data.mkdir(parents=True)
    if user != pwd.getpwuid(os.geteuid()).pw_name:
        shutil.chown(data, user)
    programs = postgres_programs()
    _as(
        user,
        [str(programs / "initdb"), "-D", str(data / "data"), "-A", "trust", "-E", "UTF8", "--locale=C", "-U", user],
    )
    command = [str(programs / "postgres"), "-D", str(data / "data"), "-k", str(data)]
    for name, value in SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    extra = other_disk(flush_us) if flush_us else {}
    log = data / "postgres.out"
    log.touch()
    server = Process(_switched(user, command), log, environment(extra))
    with server:
        found = Database(data, server, user)
        _wait_for(found)
        found.run(SCHEMA)
        found.run(
            f"INSERT INTO stock (sku, available) SELECT 'SKU-' || lpad(n::text, 7, '0'), {stock} "
            f"FROM generate_series(0, {len(skus) - 1}) AS n; ANALYZE; CHECKPOINT;"
        )
        yield found


@contextmanager
def service(folder: Path, base: Database, form: str, *, workers: int = 1, pool: int = POOL) -> Iterator[Peer]:
    """The FastAPI service, plain or tuned, on that database."""
    port = free_port()
    command = [
        str(peers_python()), "-m", "uvicorn", "peer_service:app", "--host", LOOPBACK, "--port", str(port),
        "--workers", str(workers), "--loop", "uvloop", "--http", "httptools", "--no-access-log",
        "--log-level", "warning", "--timeout-keep-alive", "60",
    ]  # fmt: skip
    env = {
        **_home(), "BENCH_DSN": base.dsn, "BENCH_POOL": str(max(1, pool // workers)), "BENCH_FORM": form,
        "BENCH_SECRET": SECRET,
    }  # fmt: skip
    with Process(command, folder / f"{form}.out", env) as server:
        server.wait_listening(port)
        yield Peer(port, [server, base.server])


def _home() -> dict[str, str]:
    return {**environment(), "PYTHONPATH": str(HERE)}


def _unprivileged() -> str:
    """Who runs PostgreSQL, which refuses to be root's."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise BenchError("PostgreSQL needs a user that is not root: add one called postgres")


def _switched(user: str, command: Sequence[str]) -> list[str]:
    if os.geteuid():
        return list(command)
    group = str(pwd.getpwnam(user).pw_gid)
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]


def _as(user: str, command: Sequence[str]) -> None:
    done = subprocess.run(_switched(user, command), capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise BenchError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")


def _wait_for(base: Database) -> None:
    began = time.monotonic()
    while time.monotonic() - began < 30:
        if not base.server.alive():
            break
        try:
            base.run("SELECT 1")
        except BenchError:
            time.sleep(0.05)
        else:
            return
    raise BenchError(f"PostgreSQL does not start: {base.server.tail()}")
