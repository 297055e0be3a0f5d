"""Work done in forks: what it finds comes back line by line, and how it died if it did."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

Tell = Callable[[object], None]


def in_a_child(work: Callable[[Tell], None]) -> tuple[list[object], str]:
    """Run `work` in a fork; what it told, line by line, and how it died ("": it did not)."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as pipe:
                work(lambda told: print(json.dumps(told), file=pipe))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return told, f"signal {-code}" if code < 0 else f"exit code {code}" if code else ""


def each_in_children(jobs: Sequence[int], do: Callable[[int], Any], per_child: int) -> list[tuple[int, Any, str]]:
    """`do` for each job, some of them in one fork: (job, what it returned as JSON has it, how it died). LMDB may open
    any number of files in one process, but a process that opened one must not fork: so the forks are leaves."""
    done: list[tuple[int, Any, str]] = []
    left = list(jobs)
    while left:
        batch, left = left[:per_child], left[per_child:]

        def work(tell: Tell, batch: Sequence[int] = batch) -> None:
            for job in batch:
                tell(do(job))

        told, died = in_a_child(work)
        done += [(job, found, "") for job, found in zip(batch, told, strict=False)]
        if died:
            done.append((batch[len(told)], None, died))
            left = [*batch[len(told) + 1 :], *left]
    return done
