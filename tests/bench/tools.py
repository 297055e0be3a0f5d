"""What the bench builds and installs for itself: its C programs, and the peers' virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.bench.processes import BenchError

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
"""Everything built or installed; git ignores it, and it may be deleted at any time."""
PEER_PACKAGES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "asyncpg",
    "msgspec",
    "hypercorn",
    "trio",
    "py-spy",
    "matplotlib",
)


@cache
def client_program() -> Path:
    """The load generator, compiled if need be."""
    return _compiled("client.c", "client", "-lm")


@cache
def flush_library() -> Path:
    """What changes the flushes of a process, for LD_PRELOAD."""
    return _compiled("flush.c", "flush.so", "-shared", "-fPIC", "-ldl")


def other_disk(flush_us: int | None) -> dict[str, str]:
    """The environment of a process whose every flush takes so much longer, µs; None: that flushes nothing."""
    return {"LD_PRELOAD": str(flush_library()), "FLUSH_US": "none" if flush_us is None else str(flush_us)}


def _compiled(source: str, target: str, *options: str) -> Path:
    made, written = BUILD / target, HERE / source
    if made.exists() and made.stat().st_mtime > written.stat().st_mtime:
        return made
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise BenchError("the load generator must be compiled: install gcc")
    BUILD.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-o", f"{made}.new", str(written), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{source} cannot be compiled: {done.stderr.strip()}")
    Path(f"{made}.new").rename(made)
    return made


@cache
def peers_python() -> Path:
    """The interpreter of a virtual environment that holds what we are compared with, made if need be."""
    folder = BUILD / "peers"
    interpreter, mark = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(PEER_PACKAGES)
    if mark.exists() and mark.read_text() == wanted:
        return interpreter
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEER_PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the peers cannot be installed: {done.stderr.strip()[-500:]}")
    mark.write_text(wanted)
    return interpreter


@cache
def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "postgresql"], capture_output=True, check=False)
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    if other is None:
        raise BenchError("PostgreSQL is not here: install it (Debian: apt-get install postgresql)")
    return Path(other).resolve().parent
