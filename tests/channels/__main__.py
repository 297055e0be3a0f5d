"""`python -m tests.channels`: worlds of every native channel from their seeds, as a table; and what fails, told."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

from attrs import define, field

from tests.channels import kinds, trials
from tests.channels.mutants import MUTANTS
from tests.channels.stages import STAGES
from tests.channels.weather import kinds_of
from tests.channels.world import Result, play
from tests.simulation.mutants.planting import planted
from tests.simulation.soak import no_hang

STORY_LINES = 60
Task = tuple[str, int, float | None]


@define
class Sum:
    """What a channel's worlds came to."""

    worlds: int = 0
    minutes: float = 0.0
    calls: int = 0
    seconds: float = 0.0
    rest_s: list[float] = field(factory=list)
    faults: Counter[str] = field(factory=Counter)
    deeds: Counter[str] = field(factory=Counter)
    wrong: list[int] = field(factory=list)

    def add(self, result: Result) -> None:
        self.worlds += 1
        self.minutes += result.minutes
        self.calls += result.calls
        self.seconds += result.wall_s
        self.faults += result.faults
        self.deeds += result.deeds
        if result.failures:
            self.wrong.append(result.seed)
        else:
            self.rest_s.append(result.rest_s)


def one(task: Task) -> Result:
    """A world, in whatever process."""
    with no_hang():
        return play(*task)


def results(tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    """In the order in which they end."""
    if jobs == 1:
        yield from map(one, tasks)
        return
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(one, tasks)


def story(task: Task) -> Iterator[str]:
    """The world once more, with every line of the daemon's log; its last lines."""
    told = play(*task, loud=True)
    yield from islice(told.story, max(0, len(told.story) - STORY_LINES), None)


def table(sums: dict[str, Sum]) -> Iterator[str]:
    yield (
        f"{'channel':12} {'worlds':>6} {'right':>6} {'wrong':>6} {'hours':>7} {'calls':>9} {'sales':>7} "
        f"{'faults':>8} {'rest p50':>9} {'max':>7} {'CPU s':>7}"
    )  # fmt: skip
    for name, each in sums.items():
        rests = sorted(each.rest_s) or [0.0]
        sales = each.deeds["sold"] + each.deeds["sold north"]
        yield (
            f"{name:12} {each.worlds:>6} {each.worlds - len(each.wrong):>6} {len(each.wrong):>6} "
            f"{each.minutes / 60:>7.1f} {each.calls:>9,} {sales:>7,} {each.faults.total():>8,} "
            f"{rests[len(rests) // 2]:>8.0f}s {rests[-1]:>6.0f}s {each.seconds:>7.0f}"
        )  # fmt: skip


def faults(sums: dict[str, Sum]) -> Iterator[str]:
    """Each kind, and how often it happened, by channel."""
    rows = [*dict.fromkeys(kind for name in sums for kind in kinds_of(STAGES[name])), "daemon killed"]
    yield f"{'':31}" + "".join(f"{name[:11]:>12}" for name in sums)
    for kind in rows:
        cells = (
            f"{each.faults[kind]:>12,}" if kind in kinds_of(STAGES[name]) or kind == "daemon killed" else f"{'-':>12}"
            for name, each in sums.items()
        )  # fmt: skip
        yield f"{kind:31}" + "".join(cells)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.channels", description=__doc__)
    parser.add_argument("--channel", default="all", help=f"all, or some of {', '.join(STAGES)} with commas between")
    parser.add_argument("--seeds", default="0..10", help="FIRST..LAST, the last one not included; or one seed")
    parser.add_argument("--minutes", type=float, help="until the calm; each seed has its own otherwise")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--story", action="store_true", help="tell the whole story of the one seed")
    parser.add_argument(
        "--kinds", action="store_true", help="worlds until each kind of fault occurred; 1 if one never did"
    )
    parser.add_argument(
        "--mutants", action="store_true", help="every planted bug, until it is found; 1 if one is not"
    )
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with this bug in the daemon")
    asked = parser.parse_args()
    names = list(STAGES) if asked.channel == "all" else asked.channel.split(",")
    if unknown := [name for name in names if name not in STAGES]:
        parser.error(f"there is no channel {', '.join(unknown)} here: {', '.join(STAGES)}")
    first, _, last = asked.seeds.partition("..")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    if asked.mutants:
        return _mutants(names, range(seeds[0], seeds[0] + trials.SEEDS_MAX), asked.jobs)
    if asked.kinds:
        return _kinds(names, seeds[0], asked.jobs)
    with ExitStack() as undo:
        if asked.mutant:
            undo.enter_context(planted(MUTANTS[asked.mutant].mutant))
        if asked.story:
            told = play(names[0], seeds[0], asked.minutes, loud=True)
            print(*told.story, sep="\n")
            return 1 if told.failures else 0
        return _many(
            [(name, seed, asked.minutes) for name in names for seed in seeds], names, asked.minutes, asked.jobs
        )


def shown(task: tuple[str, int]) -> kinds.Shown:
    """A channel's kinds, in whatever process."""
    with no_hang():
        return kinds.show(*task)


def _kinds(names: Sequence[str], first: int, jobs: int) -> int:
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        found = {each.channel: each for each in pool.imap(shown, [(name, first) for name in names], chunksize=1)}
    print(*kinds.table(found), sep="\n")
    wrong = [f"{name}: {why}" for name, each in found.items() for why in each.failures]
    never = [f"{name}: {', '.join(each.missing())}" for name, each in found.items() if each.missing()]
    print(*(f"WRONG {each}" for each in wrong), *(f"NEVER {each}" for each in never), sep="\n")
    if not wrong and not never:
        print("every kind of fault befell every channel that can have it, and every listing came to the right level")
    return 1 if wrong or never else 0


def _mutants(names: Sequence[str], seeds: range, jobs: int) -> int:
    stated = [(name, each) for name, each in MUTANTS.items() if each.within]
    tasks = [
        (name, channel, seeds[: each.within])
        for name, each in stated
        for channel in each.channels
        if channel in names
    ]
    survived = 0
    # A process for each: what one leaves behind cannot reach another.
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        for trial in pool.imap(trials.try_mutant, tasks, chunksize=1):
            survived += trial.seed is None
            print(trial.row(), flush=True)
    print(f"{len(tasks) - survived} of {len(tasks)} planted bugs are found")
    print(f"without a stated number of worlds, not tried: {', '.join(set(MUTANTS) - dict(stated).keys())}")
    return 1 if survived else 0


def _many(tasks: Sequence[Task], names: Sequence[str], minutes: float | None, jobs: int) -> int:
    sums = {name: Sum() for name in names}
    done, bad = 0, list[Result]()
    for result in results(tasks, jobs):
        sums[result.channel].add(result)
        done += 1
        if result.failures:
            bad.append(result)
            print(f"WRONG {result.channel} {result.seed}: {result.failures[0]}", flush=True)
        if sys.stderr.isatty() or not done % 50:
            print(f"{done} of {len(tasks)} worlds, {len(bad)} wrong", file=sys.stderr, flush=True)
    print(*table(sums), "", *faults(sums), sep="\n")
    if bad:
        worst = bad[0]
        print(f"\nThe story of {worst.channel}, seed {worst.seed}, from its last lines; whole: --story")
        print(*story((worst.channel, worst.seed, minutes)), sep="\n")
    print("every listing came to the right level" if not bad else f"{len(bad)} of {done} worlds are wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
