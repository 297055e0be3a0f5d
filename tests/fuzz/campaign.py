"""Runs targets under atheris, each in a child process of its own, and reads what came of it."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris
from attrs import define, field, frozen

from tests.fuzz.bounds import RSS_MAX_MB, Tally, bounded
from tests.fuzz.residence import memory
from tests.fuzz.shelf import grow, inputs, save_crash
from tests.fuzz.shrink import breakage, shrunk
from tests.fuzz.target import Target

HANG_S = 30
"""By the clock: what never ends. What merely is slow is measured in processor time."""

SHRINK_S = 40
"""For making one broken input smaller; after that it is kept as it is."""


@frozen
class Plan:
    """How long each target runs: until `seconds` are over or `runs` are done, whichever is set. `grow`: so many of
    the inputs that reached something new join the kept corpus."""

    seconds: int = 0
    runs: int = 0
    seed: int = 1
    jobs: int = 1
    grow: int = 0


@frozen
class Result:
    """What a run of one target came to."""

    target: str
    executions: int
    seconds: float
    edges: int
    new_inputs: int
    crashes: int
    slowest_s: float
    rss_mb: int
    log: str
    crash_paths: tuple[str, ...] = ()


@define
class _Child:
    target: Target
    pid: int
    tally: Tally
    begun: float
    folder: Path
    seeds: int = 0
    status: int | None = None


@define
class Campaign:
    """All targets, at most `plan.jobs` at a time."""

    plan: Plan
    say: Callable[[str], None]
    results: list[Result] = field(factory=list)

    def run(self, targets: Iterable[Target]) -> list[Result]:
        waiting, running = list(targets), dict[int, _Child]()
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory()) as folder:
            while waiting or running:
                while waiting and len(running) < self.plan.jobs:
                    child = self._start(waiting.pop(0), Path(folder))
                    running[child.pid] = child
                pid, status = os.wait()
                child = running.pop(pid)
                child.status = status
                self.results.append(self._ended(child))
        return self.results

    def _start(self, target: Target, folder: Path) -> _Child:
        own = folder / target.name
        for name in ("found", "crashes", "seeds"):
            (own / name).mkdir(parents=True)
        seeds = 0
        for seeds, (_, data) in enumerate(inputs(target), 1):
            (own / "seeds" / f"{seeds}").write_bytes(data)
        (own / "words").write_text("".join(f'"{_escaped(word)}"\n' for word in target.dictionary))
        tally = Tally()
        self.say(f"{target.name}: {target.about} ({seeds} seeds)")
        pid = os.fork()
        if not pid:
            _fuzz(target, own, tally, self.plan)
        return _Child(target, pid, tally, time.monotonic(), own, seeds)

    def _ended(self, child: _Child) -> Result:
        target, log = child.target, (child.folder / "log").read_text(errors="replace")
        assert child.status is not None
        code = os.waitstatus_to_exitcode(child.status)
        found = sorted((child.folder / "crashes").iterdir())
        paths = tuple(self._keep(target, each.read_bytes()) for each in found)
        edges = [int(each) for each in re.findall(r"cov: (\d+)", log)]
        result = Result(
            target.name,
            child.tally.executions,
            time.monotonic() - child.begun,
            max(edges, default=0),
            len(list((child.folder / "found").iterdir())),
            max(len(found), int(code != 0)),
            child.tally.slowest_s,
            max((int(each) for each in re.findall(r"rss: (\d+)Mb", log)), default=0),
            log,
            paths,
        )
        self.say(
            f"{target.name}: {result.executions:,} executions in {result.seconds:.0f} s, {result.edges} edges, "
            + (f"BROKEN (exit {code})" if result.crashes else "nothing broke")
        )
        if result.crashes:
            self.say("\n".join(log.splitlines()[-60:]))
        for path in paths:
            self.say(
                f"  input: {Path(path).read_bytes()!r}\n  replay: python -m tests.fuzz --replay {target.name} {path}"
            )
        if self.plan.grow:
            grow(target, [path.read_bytes() for path in (child.folder / "found").iterdir()], self.plan.grow)
        return result

    def _keep(self, target: Target, data: bytes) -> str:
        return str(save_crash(target, _in_a_child(lambda: shrunk(target.run, data), data)))


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _fuzz(target: Target, folder: Path, tally: Tally, plan: Plan) -> None:
    """The child: never returns."""
    try:
        with open(folder / "log", "wb", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        options = [
            f"-artifact_prefix={folder}/crashes/",
            f"-seed={plan.seed}",
            f"-max_len={target.max_len}",
            f"-timeout={HANG_S}",
            f"-rss_limit_mb={RSS_MAX_MB}",
            "-print_final_stats=1",
            "-verbosity=1",
            f"-max_total_time={plan.seconds}",
            f"-runs={plan.runs or -1}",
            "-reload=0",
        ]
        if target.dictionary:
            options.append(f"-dict={folder}/words")
        tempfile.tempdir = str(folder)
        one = bounded(target, tally, (folder / "crashes" / "broken").write_bytes)
        atheris.Setup([sys.argv[0], *options, f"{folder}/found", f"{folder}/seeds"], one)
        atheris.Fuzz()
    except BaseException as error:
        # Back in the parent's frames there is nothing for a child to do.
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _in_a_child(work: Callable[[], bytes], otherwise: bytes) -> bytes:
    """Shrink where a crash or a hang costs nothing but the child."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        signal.alarm(SHRINK_S)
        resource.setrlimit(resource.RLIMIT_AS, (4 * RSS_MAX_MB << 20,) * 2)
        with os.fdopen(write, "wb") as out:
            out.write(work())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as results:
        found = results.read()
    _, status = os.waitpid(pid, 0)
    return found if status == 0 else otherwise


def replay(target: Target, data: bytes) -> str:
    """How `data` breaks `target`, as a sentence; empty where it does not."""
    found = breakage(bounded(target, Tally(), lambda _: None), data)
    return "" if found is None else f"{found[0]} at {found[1]}:{found[2]}"
