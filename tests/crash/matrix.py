"""Kill the real daemon at every named point between two of its effects, start it again, and compare everything.

    python -m tests.crash.matrix                      every point, three kills each at passings drawn from the seed
    python -m tests.crash.matrix --list               the points and what they mean
    python -m tests.crash.matrix --points call.push   those whose names begin so

Shoppers buy at three stand-alone storefronts and tellers post webhooks while the daemon is killed and started again.
After each point input stops: every storefront must show what the ledgers say, nothing acknowledged may be missing,
nothing may count twice, the log's chain must hold and the state be the fold of the log. A point that the daemon
never came by is an error.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio
from attrs import asdict, define, field

from tests.acceptance.processes import onhand
from tests.crash.kept import clear, workplace
from tests.crash.planted import PLANTED
from tests.crash.points import POINTS, Need, Point
from tests.crash.prompters import Prompter
from tests.crash.solitary import SOLITARY, die_alone
from tests.crash.traffic import busy
from tests.crash.world import World, world
from tests.crash.zygote import Zygote

REACH_S = 25.0
"""Most that a daemon may take to come by a point."""
NTH_MAX = 4
PER_WORLD = 24
"""Points after which a new world begins, so that the log stays short."""
CONVERGE_S = 45.0
FAULTS = {
    "webhook": {"duplicate": 0.2, "drop": 0.1, "reorder": 0.2, "delay_s": 0.2},
    "api": {"error_500": 0.02, "lose_answer": 0.02},
}
DIALS: dict[Need, list[str]] = {"growth": ["--small-map"], "age": ["--forgetful"]}
TELLERS, TELLER_PACE_S, SHOPPER_PACE_S, LOT = 2, 0.02, 0.06, 40


@define
class Row:
    """What the kills at one point came to."""

    point: str
    killed: int = 0
    lost: int = 0
    twice: int = 0
    converged_s: float = 0.0
    problems: list[str] = field(factory=list)


def command(folder: Path, *options: str) -> list[str]:
    """A brisk victim, for a `Fork`."""
    return ["tests.crash.victim", "--brisk", *options, "run", "--config", str(folder / "config.yaml")]


@define
class Matrix:
    """Goes from point to point in one world."""

    world: World
    prompter: Prompter
    rng: random.Random
    times: int
    each: bool
    """Compare everything after each point, not only at the end of the world."""
    planted: str = ""
    rows: list[Row] = field(factory=list)
    lost: int = 0
    twice: int = 0
    known: set[str] = field(factory=set)
    """Problems that an earlier point has to answer for."""

    async def run(self, points: Sequence[Point]) -> list[Row]:
        here = self.world
        await self._start()
        await here.daemon.wait_ready()
        await here.open_counters()
        await self.prompter.prepare()
        await here.misbehave(FAULTS)
        people = [*here.shoppers(lot=LOT, pace_s=SHOPPER_PACE_S), *here.tellers(TELLERS, pace_s=TELLER_PACE_S)]
        for point in points:
            row = Row(point.name)
            self.rows.append(row)
            async with trio.open_nursery() as nursery:
                await busy(nursery, people)
                for _ in range(self.times):
                    await self._die_at(point, row)
                    await self._start()
                    await here.books.audit(here.daemon)
                for each in people:
                    each.stopping = True
            if self.each or point is points[-1]:
                await self._compare(row)
            _say(row)
        self.rows[-1].problems += await here.stop()
        return self.rows

    async def _die_at(self, point: Point, row: Row) -> None:
        """A life that ends at the point, or is ended and said to have missed it."""
        process = self.world.daemon.process
        await process.terminate(10)
        nth = self.rng.randint(1, NTH_MAX) if point.needs in ("load", "adjust", "count", "verify") else 1
        if point.name.startswith("start.") and point.name not in ("start.verifying", "start.replaying"):
            nth = 1  # passed once in each life
        if point.name.startswith("start."):
            await self._leave_something_to_repeat()
        dials = DIALS.get(point.needs, [])
        self._become("--die-at", point.name, "--nth", str(nth), *dials)
        process.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.prompter.prompt, point.needs)
            with trio.move_on_after(REACH_S):
                while process.alive:  # noqa: ASYNC110 - a process tells nobody of its end
                    await trio.sleep(0.003)
            nursery.cancel_scope.cancel()
        if process.alive:
            process.kill()
            row.problems.append(f"{point.name} was not passed {nth} x within {REACH_S:.0f} s")
        elif process.code != -signal.SIGKILL:
            row.problems.append(f"{point.name}: the daemon ended with {process.code}, not by the kill")
        else:
            row.killed += 1

    async def _leave_something_to_repeat(self) -> None:
        """A life that is killed under load: the next one verifies the file and repeats the log's tail."""
        process = self.world.daemon.process
        await self._start()
        await trio.sleep(0.2)
        process.kill()

    def _become(self, *options: str) -> None:
        planted = ["--planted", self.planted] if self.planted else []
        self.world.daemon.process.command = command(self.world.daemon.folder, *planted, *options)

    async def _start(self) -> None:
        self._become()
        self.world.daemon.process.start()
        with trio.fail_after(30):
            await self.world.serving()

    async def _compare(self, row: Row) -> None:
        here = self.world
        await self.prompter.settle()
        try:
            row.converged_s = round(await here.converge(1.0 if self.planted else CONVERGE_S), 2)
        except trio.TooSlowError:
            row.problems.append(f"not converged within {CONVERGE_S:.0f} s")
        found = await here.judge()
        problems = found.problems + await self.prompter.broken_promises()
        row.problems += [problem for problem in problems if problem not in self.known]
        self.known.update(problems)
        twice = found.twice + len(here.books.twice())
        row.lost, row.twice = found.lost - self.lost, twice - self.twice
        self.lost, self.twice = found.lost, twice


def _say(row: Row) -> None:
    print(f"{row.point}: {'; '.join(row.problems) or 'ok'}", file=sys.stderr, flush=True)


async def matrix(
    folder: Path, points: Sequence[Point], *, seed: int, times: int, each: bool = True, planted: str = "",
    keep: bool = False,
) -> list[Row]:  # fmt: skip
    """Kill at all these points; a row for each. `planted`: with a bug, which must be found; `keep`: leave all worlds,
    not only those with problems."""
    rng = random.Random(f"{seed} matrix")
    together = [point for point in points if point.needs not in SOLITARY]
    rng.shuffle(together)
    rows: list[Row] = []
    with Zygote() as zygote:
        for number, start in enumerate(range(0, len(together), PER_WORLD)):
            place = folder / f"world-{number}"
            place.mkdir()
            async with world(place, seed * 100 + number, zygote=zygote, command=command) as here:
                run = Matrix(here, Prompter(here), rng, times, each, planted)
                found = await run.run(together[start : start + PER_WORLD])
            clear(place, keep or [row for row in found if row.problems])
            rows += found
        for point in points:
            if point.needs in SOLITARY:
                row = Row(point.name)
                for time in range(times):
                    place = folder / f"{point.name}-{time}"
                    place.mkdir()
                    killed, problems = await die_alone(place, point, zygote, seed + time)
                    clear(place, keep or problems)
                    row.killed += killed
                    row.problems += problems
                rows.append(row)
                _say(row)
    return rows


async def side_by_side(keep: Path | None, points: Sequence[Point], jobs: int, arguments: Sequence[str]) -> list[Row]:
    """The same, as so many processes with worlds of their own."""
    rows: list[Row] = []

    async def job(number: int) -> None:
        names = [point.name for point in points[number::jobs]]
        module = [onhand()[0], "-m", "tests.crash.matrix", "--json"]
        module += ["--keep", str(keep / f"job-{number}")] if keep else []
        done = await trio.run_process([*module, *arguments, "--points", *names], capture_stdout=True, check=False)
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"job {number} ended with {done.returncode}; what it said is on stderr")
        rows.extend(Row(**row) for row in json.loads(done.stdout))

    async with trio.open_nursery() as nursery:
        for number in range(min(jobs, len(points))):
            nursery.start_soon(job, number)
    return sorted(rows, key=lambda row: row.point)


def chosen(names: Sequence[str]) -> list[Point]:
    """The points whose names begin with one of these; all for none. Raises `ValueError` for a name of no point."""
    for name in names:
        if not any(each.startswith(name) for each in POINTS):
            raise ValueError(f"{name} is no point: --list shows them all")
    return [point for point in POINTS.values() if not names or point.name.startswith(tuple(names))]


def _print_table(rows: Sequence[Row]) -> None:
    print(f"{'point':<32} {'killed':>6} {'lost':>5} {'twice':>5} {'converged':>10}")
    for row in rows:
        end = f"{row.converged_s:.1f} s" if not row.problems else "NO"
        print(f"{row.point:<32} {row.killed:>6} {row.lost:>5} {row.twice:>5} {end:>10}")
    for row in rows:
        for problem in row.problems[:5]:
            print(f"PROBLEM at {row.point}: {problem}")
    killed, bad = sum(row.killed for row in rows), sum(bool(row.problems) for row in rows)
    print(f"{len(rows)} points, {killed} kills, {bad} points with problems")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the points and leave")
    parser.add_argument("--points", nargs="*", default=[], metavar="NAME", help="names, or beginnings of names")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, which share the points")
    parser.add_argument("--times", type=int, default=3, help="kills at each point")
    parser.add_argument("--planted", choices=sorted(PLANTED), default="", help="run with a bug, which must be found")
    parser.add_argument("--dir", type=Path, help="work in this directory: /dev/shm, or one on the disk to be tried")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="leave all in this folder; else only worlds with problems stay")
    options = parser.parse_args()
    try:
        points = chosen(options.points)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for point in points:
            print(f"{point.name:<32} {point.needs:<14} {point.says}")
        return 0
    keep: Path | None = options.keep
    if options.jobs > 1:
        arguments = ["--seed", str(options.seed), "--times", str(options.times)]
        arguments += ["--planted", options.planted] if options.planted else []
        arguments += ["--dir", str(options.dir)] if options.dir else []
        rows = trio.run(side_by_side, keep, points, options.jobs, arguments)
    else:
        with workplace(options.dir, keep) as folder:
            run = partial(matrix, folder, points, seed=options.seed, times=options.times, planted=options.planted)
            rows = trio.run(partial(run, keep=keep is not None))
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        _print_table(rows)
    return 1 if any(row.problems or not row.killed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
