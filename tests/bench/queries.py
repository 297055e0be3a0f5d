"""Asks the admin socket one thing after another over one connection, and says how long each took. A process of its
own, so that it waits for the daemon alone.

python -m tests.bench.queries SOCKET < paths, one a line  -> {"ms": [...]} or {"refused": "..."}
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.house import UnixConnection, exchange
from tests.bench.processes import BenchError, environment, prioritised, python


def ask_all(socket: Path, paths: Sequence[str]) -> list[float]:
    """Milliseconds of each query, in order. Raises `BenchError` where one is refused."""
    done = subprocess.run(
        prioritised(python("-m", "tests.bench.queries", str(socket))), input="\n".join(paths), capture_output=True,
        text=True, check=False, env=environment(), start_new_session=True,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"the queries broke off: {done.stderr.strip()[-300:]}")
    said = json.loads(done.stdout)
    if "refused" in said:
        raise BenchError(said["refused"])
    return [float(each) for each in said["ms"]]


def main(socket: str) -> None:
    """Ask what stdin says."""
    waits, connection = [], UnixConnection(socket, 60)
    try:
        for path in sys.stdin.read().split("\n"):
            began = time.perf_counter()
            exchange(connection, "GET", path)
            waits.append((time.perf_counter() - began) * 1e3)
    except BenchError as error:
        print(json.dumps({"refused": str(error)}))
    else:
        print(json.dumps({"ms": waits}))
    finally:
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
