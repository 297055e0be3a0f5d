"""Kill the daemon again and again while three storefronts sell, and check that every unit is accounted for.

    python -m tests.acceptance.kill_loop --kills 10000 --jobs 5 --seed 1 [--json]

Three `onhand sandbox` processes lose, repeat, delay and reorder their webhooks and fail some of the daemon's calls;
shoppers buy, cancel, give back and receive goods all the time, and tellers post webhooks of their own as fast as they
are answered. `onhand run` is killed with SIGKILL at a moment drawn evenly from its life, so also during its start and
its orderly stop, and started again at once; the listening socket is held for it, as systemd does. At each restart
everything acknowledged to the tellers must be in the log. Every so many kills, and at the end, everything calms down,
and the daemon must agree with the storefronts' own ledgers, exactly; then a new world begins.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import trio
from attrs import asdict, define, field

from tests.acceptance.processes import onhand
from tests.crash.kept import clear, workplace
from tests.crash.planted import PLANTED
from tests.crash.tally import Result
from tests.crash.traffic import busy
from tests.crash.world import CALM_S, NAMES, STOCK, World, world
from tests.crash.zygote import Zygote, daemon_command

SHORT_S, LONG_S, LONG_LIVES = 0.35, 2.6, 0.15
"""A life ends at a moment drawn evenly from the first, or, in so many of all lives, from the second: long enough for
a checkpoint."""
LONGER, SHORTER = 1.2, 0.93
"""Short lives grow by the first after a kill during the start and shrink by the second after any other, so that about
seven in ten come to serve, also on a machine that starts slowly."""
STOP_KILLS = 0.15
"""So many lives are asked to stop and killed while they do."""
TELLERS, TELLER_PACE_S, SHOPPER_PACE_S = 4, 0.03, 0.3
LATEST_WRITE_S = 9.0
START_MAX_S = 120.0
"""A daemon that does not serve by then refuses to start; what it says is in its `daemon.err`."""
"""A storefront may apply a write so long after its client gave up."""
FAULTS = {
    "webhook": {"duplicate": 0.2, "drop": 0.1, "reorder": 0.3, "delay_s": 1.0},
    "api": {"error_500": 0.04, "throttle_429": 0.01, "timeout": 0.02, "lose_answer": 0.04},
}
FIERCE = {
    "webhook": {"duplicate": 0.4, "drop": 0.4, "reorder": 0.5, "delay_s": 3.0},
    "api": {"error_500": 0.15, "throttle_429": 0.02, "timeout": 0.1, "lose_answer": 0.15, "lie_ok": 0.05},
}
"""Also tells lies: levels said to be written that were not. Only another look at the store finds those, so each round
ends with `onhand reconcile`."""


@define
class Options:
    """What a run is to do."""

    kills: int = 100
    seed: int = 1
    check_every: int = 100
    """Kills after which everything is compared and a new world begins."""
    fierce: bool = False
    fresh: bool = False
    """Start each life from nothing, not as a fork of a process that has imported everything."""
    planted: str = ""
    long_lives: float = LONG_LIVES
    keep: bool = False
    """Leave all worlds there, not only those with problems."""


Progress = Callable[[int, Sequence[float]], None]
"""Told the kills so far and the starts of this round, seconds."""


@define
class Round:
    """One world, until its last kill and the comparison after it."""

    world: World
    options: Options
    kills: int
    rng: random.Random
    result: Result = field(factory=Result)
    starts_s: list[float] = field(factory=list)
    short_s: float = SHORT_S
    progress: Progress = lambda number, starts_s: None

    async def run(self) -> Result:
        here, result = self.world, self.result
        result.rounds = 1
        await self._start()
        await here.daemon.wait_ready()  # the first counts come before the first sale: the ledgers' reckoning needs it
        await here.open_counters()
        await here.misbehave(FIERCE if self.options.fierce else FAULTS)
        lot = max(2, 6 * STOCK // (self.kills // 2 + 20))
        shoppers = here.shoppers(lot=lot, pace_s=SHOPPER_PACE_S)
        tellers = here.tellers(TELLERS, pace_s=TELLER_PACE_S)
        async with trio.open_nursery() as nursery:
            await busy(nursery, [*shoppers, *tellers])
            for number in range(1, self.kills + 1):
                if number > 1:
                    await self._live_and_be_killed()
                else:
                    self._kill()
                self.progress(number, self.starts_s)
            for each in [*shoppers, *tellers]:
                each.stopping = True
            await self._start()  # tellers end when they are answered
        result.orders = sum(len(each.orders) for each in shoppers)
        result.changes = sum(each.changes for each in shoppers)
        await here.misbehave({})
        if self.options.fierce:
            await self._reconcile()
        await self._compare()
        return result

    # -- lives --

    async def _live_and_be_killed(self) -> None:
        rng, process = self.rng, self.world.daemon.process
        life_s = rng.uniform(0, LONG_S if rng.random() < self.options.long_lives else self.short_s)
        served = len(self.starts_s)
        with trio.move_on_after(life_s):
            await self._start()
            await self._audit()
            await trio.sleep_forever()
        started = len(self.starts_s) > served
        self.short_s = min(LONG_S, max(SHORT_S, self.short_s * (SHORTER if started else LONGER)))
        if not started:
            self.result.kills_during_start += 1
        elif rng.random() < STOP_KILLS:
            self.result.kills_during_stop += 1
            process.ask_to_stop()
            await trio.sleep(rng.uniform(0, 0.3))
        self._kill()

    def _kill(self) -> None:
        self.world.daemon.process.kill()
        self.result.kills += 1

    async def _start(self) -> None:
        began = trio.current_time()
        self.result.starts += 1
        self.world.daemon.process.start()
        with trio.fail_after(START_MAX_S):
            await self.world.serving()
        self.starts_s.append(trio.current_time() - began)

    async def _audit(self) -> None:
        """A log read to its end before the kill comes is an audit; else the next life's takes it up."""
        with contextlib.suppress(httpx.TransportError):
            await self.world.books.audit(self.world.daemon)

    # -- when all is over --

    async def _reconcile(self) -> None:
        """Compare with the live storefronts, once no late write can come any more."""
        await trio.sleep(LATEST_WRITE_S)
        for name in NAMES:
            report = await self.world.daemon.tell(f"/v1/channels/{name}/reconcile")
            if report["error"]:
                self.result.problems.append(f"{name} could not be reconciled: {report['error']}")

    async def _compare(self) -> None:
        here, result = self.world, self.result
        result.start_to_ready_ms = round(statistics.median(self.starts_s) * 1_000, 1)
        result.slowest_start_ms = round(max(self.starts_s) * 1_000, 1)
        try:
            result.converged_s = round(await here.converge(1.0 if self.options.planted else CALM_S), 2)
        except trio.TooSlowError:
            result.problems.append("the storefronts did not converge")
        found = await here.judge()
        result.acked, result.lost, result.twice = found.acked, found.lost, found.twice + len(here.books.twice())
        result.miscounted, result.units_miscounted = found.miscounted, found.units_miscounted
        result.oversold_skus, result.oversold_units = found.oversold_skus, found.oversold_units
        result.posts, result.audits, result.refused = here.books.posts, here.books.audits, here.books.refused
        result.events = here.books.seq
        result.problems += found.problems
        result.problems += [f"order {order} counted more than once" for order in here.books.twice()]
        result.problems += await here.stop()


async def kill_loop(folder: Path, options: Options, progress: Progress | None = None) -> Result:
    """Run it in `folder`; the worlds with problems stay there."""
    result = Result(seed=options.seed)
    began = trio.current_time()
    with contextlib.ExitStack() as stack:
        zygote = None if options.fresh else stack.enter_context(Zygote())
        while result.kills < options.kills:
            result.add(await _round(folder, options, result, zygote, progress))
    result.timed(trio.current_time() - began)
    return result


async def _round(
    folder: Path, options: Options, so_far: Result, zygote: Zygote | None, progress: Progress | None
) -> Result:
    kills, done = min(options.check_every, options.kills - so_far.kills), so_far.kills
    seed = options.seed * 1_000 + so_far.rounds
    place = folder / f"round-{so_far.rounds}"
    place.mkdir()
    planted = ["--planted", options.planted] if options.planted else []

    def command(where: Path) -> Sequence[str]:
        _, *run = daemon_command(where)
        return ["tests.crash.victim", *planted, *run] if planted else daemon_command(where)

    def fresh(held: int) -> Sequence[str]:
        run = ["run", "--config", str(place / "config.yaml")]
        return [onhand()[0], "-m", "tests.crash.victim", "--listen-fd", str(held), *planted, *run]

    def told(number: int, starts_s: Sequence[float]) -> None:
        if progress is not None:
            progress(done + number, starts_s)

    async with world(place, seed, zygote=zygote, command=command, fresh=fresh) as here:
        result = await Round(here, options, kills, random.Random(f"{seed} kills"), progress=told).run()
    clear(place, options.keep or result.problems)
    return result


# -- the command --


def _print_progress(number: int, starts_s: Sequence[float]) -> None:
    if number % 100 == 0 and starts_s:
        median_ms = statistics.median(starts_s) * 1_000
        print(f"{number} kills, start to ready {median_ms:.0f} ms", file=sys.stderr, flush=True)


def _print_table(result: Result) -> None:
    for name, value in asdict(result).items():
        if name != "problems":
            print(f"{name.replace('_', ' '):>20}  {value}")
    for problem in result.problems[:50]:
        print(f"PROBLEM: {problem}")
    print("every unit is accounted for" if not result.problems else f"{len(result.problems)} problems")


async def _side_by_side(options: Options, jobs: int, where: Sequence[str], keep: Path | None) -> Result:
    """So many loops at the same time, each a process with worlds of its own."""
    whole = Result(seed=options.seed)
    began = trio.current_time()

    async def job(number: int) -> None:
        kills = options.kills // jobs + (number < options.kills % jobs)
        command = [
            onhand()[0], "-m", "tests.acceptance.kill_loop", "--json", "--kills", str(kills),
            "--seed", str(options.seed * 100 + number), "--check-every", str(options.check_every),
            *(["--keep", str(keep / f"job-{number}")] if keep else where),
        ]  # fmt: skip
        command += [f"--{name}" for name in ("fierce", "fresh") if getattr(options, name)]
        command += ["--planted", options.planted] if options.planted else []
        done = await trio.run_process(command, capture_stdout=True, check=False)
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"job {number} ended with {done.returncode}; what it said is on stderr")
        whole.add(Result(**json.loads(done.stdout)))

    async with trio.open_nursery() as nursery:
        for number in range(jobs):
            nursery.start_soon(job, number)
    whole.timed(trio.current_time() - began)
    return whole


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="loops side by side, which share the kills")
    parser.add_argument("--check-every", type=int, default=100, help="kills after which everything is compared")
    parser.add_argument("--fierce", action="store_true", help="storefronts that fail often, and lie")
    parser.add_argument("--fresh", action="store_true", help="start each daemon from nothing, imports and all")
    parser.add_argument("--planted", choices=sorted(PLANTED), default="", help="run with a bug, which must be found")
    parser.add_argument("--dir", type=Path, help="work in this directory: /dev/shm, or one on the disk to be tried")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="leave all in this folder; else only rounds with problems stay")
    given = parser.parse_args()
    keep: Path | None = given.keep
    options = Options(
        given.kills, given.seed, given.check_every, given.fierce, given.fresh, given.planted, keep=keep is not None
    )
    if given.jobs > 1:
        where = ["--dir", str(given.dir)] if given.dir else []
        result = trio.run(_side_by_side, options, given.jobs, where, keep)
    else:
        with workplace(given.dir, keep) as folder:
            result = trio.run(kill_loop, folder, options, _print_progress)
    if given.json:
        print(json.dumps(asdict(result)))
    else:
        _print_table(result)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
