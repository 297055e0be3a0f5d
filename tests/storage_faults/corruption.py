"""Damage the files of a stopped daemon, or the file under a running one, and see what comes of the numbers.

    python -m tests.storage_faults.corruption --trials 1000 --seed 1 [--running 200] [--processes 40] [--replay 123]

Each trial takes a state as an orderly stop or a kill left it, damages it (flipped bits, lost and swapped pages,
truncation, an older copy, wrong files, markers gone ...), and starts the daemon on it in a process of its own, as the
product starts: then all of it is read. Allowed are the right numbers, or one sentence that says what to do.

`--running` damages the file of a daemon that has it open and reads what it had not read yet. There LMDB itself may
end the process, which is counted; but what is served before must be right, and the next start right or refused.
`--processes` starts `onhand run` itself on so many of the damaged states.

Exit code 0: nothing silently wrong, nothing dead by a signal at a start. 1: there was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import trio._core._run as trio_run
from attrs import define, field, frozen

from tests.storage_faults import damage
from tests.storage_faults.checks import examine, examine_running
from tests.storage_faults.children import each_in_children, in_a_child
from tests.storage_faults.lives import run_lives
from tests.storage_faults.whole_process import started_process

STATES = 4
"""States that trials begin from; half of them were left by an orderly stop."""
PER_CHILD = 20
REMEDY = re.compile(
    r"restore|stop it first|start it again|put back|put the|install|give it|give storage|move the files|empty the|"
    r"mend that|make "
)


@frozen
class State:
    """A state directory and what it must show: `acknowledged`, and the numbers of its whole copy."""

    directory: Path
    past: damage.Past
    acknowledged: list[dict[str, Any]]
    numbers: dict[str, str]
    clean: bool


@define
class Tally:
    """Trials by what came of them; `bad` says what is not allowed."""

    counts: Counter[str] = field(factory=Counter)
    kinds: Counter[str] = field(factory=Counter)
    bad: list[str] = field(factory=list)
    sentences: Counter[str] = field(factory=Counter)


def made(folder: Path, seed: int) -> list[State]:
    """Some states to damage. Each is made in a fork: this process never opens LMDB."""

    def work(tell: Any) -> None:
        acknowledged: list[Any] = []
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
        trio_run._r.seed(seed)  # the same states again for a replay
        rng = random.Random(f"{seed}:states")
        for number in range(STATES):
            directory = folder / f"state-{number}"
            older: list[tuple[float, bool]] = [(rng.uniform(1, 3), rng.random() < 0.5)]
            newest = [(2.5, False), (rng.uniform(1.5, 3), not number % 2)]
            acknowledged.clear()
            run_lives(
                directory, seed * 100 + number, [*older, *newest], acknowledged.append,
                between=lambda place, of=directory: shutil.copytree(of, f"{of}-after-{place}"),
            )  # fmt: skip
            whole = folder / "whole"
            shutil.copytree(directory, whole)
            verdict = examine(whole, acknowledged)
            assert verdict.good, verdict
            shutil.rmtree(whole)
            tell([acknowledged, verdict.numbers])

    told, died = in_a_child(work)
    if died:
        raise RuntimeError(f"the states could not be made: {died}")
    states = []
    for number, (acknowledged, numbers) in enumerate(told):  # type: ignore[misc]
        directory = folder / f"state-{number}"
        past = damage.Past(Path(f"{directory}-after-1"), folder / f"state-{(number + 2) % STATES}")
        states.append(State(directory, past, acknowledged, numbers, clean=not number % 2))
    return states


class Trials:
    """Damage, one trial after the other; each is drawn from the seed and its own number."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.states = made(folder, seed)

    def damaged(self, trial: int) -> tuple[State, Path, str, str]:
        """A damaged copy of a state, the kind of damage, and what it was in this case."""
        dice = random.Random(f"{self.seed}:{trial}")
        state = self.states[dice.randrange(STATES)]
        directory = self.folder / "damaged" / f"{trial}"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(state.directory, directory)
        kind = damage.KINDS[trial % len(damage.KINDS)]
        return state, directory, kind.__name__, kind(directory, dice, state.past)

    def start(self, trial: int) -> dict[str, Any]:
        """One trial of a stopped daemon: what it came to."""
        state, directory, kind, what = self.damaged(trial)
        told = {"kind": kind, "what": f"{what}, after {'an orderly stop' if state.clean else 'a kill'}"}
        verdict = examine(directory, state.acknowledged)
        shutil.rmtree(directory)
        if verdict.refused:
            return {**told, "refused": verdict.refused}
        wrong = [*verdict.lost, *verdict.wrong]
        wrong += [
            f"{sku} has other numbers" for sku in state.numbers if verdict.numbers.get(sku) != state.numbers[sku]
        ]
        wrong += [f"{sku} came from nowhere" for sku in verdict.numbers if sku not in state.numbers]
        return {**told, "wrong": wrong}

    def under_way(self, trial: int) -> dict[str, Any]:
        """One trial of a running daemon: damaged after it was opened, before it is read."""
        dice = random.Random(f"{self.seed}:running:{trial}")
        state = self.states[dice.randrange(STATES)]
        directory = self.folder / "running" / f"{trial}"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(state.directory, directory)
        kind = damage.IN_PLACE[trial % len(damage.IN_PLACE)]
        verdict = examine_running(directory, lambda: kind(directory, dice, state.past))
        served = [sku for sku, shown in verdict.numbers.items() if state.numbers.get(sku) != shown]
        return {"kind": kind.__name__, "what": "", "refused": verdict.refused,
                "wrong": [f"{sku} was served wrongly" for sku in served]}  # fmt: skip

    def after(self, trial: int) -> dict[str, Any]:
        """The next start after `under_way`, on the files that it left."""
        dice = random.Random(f"{self.seed}:running:{trial}")
        state = self.states[dice.randrange(STATES)]
        verdict = examine(self.folder / "running" / f"{trial}", state.acknowledged)
        wrong = [] if verdict.refused else [*verdict.lost, *verdict.wrong]
        return {"kind": "the start after", "what": "", "refused": verdict.refused, "wrong": wrong}


def judged(tally: Tally, trial: int, told: dict[str, Any] | None, died: str, *, mortal: bool = False) -> None:
    """Add what one trial came to. `mortal`: LMDB may end the process."""
    if told is None:
        tally.counts["died by LMDB, running" if mortal else "died"] += 1
        if not mortal:
            tally.bad.append(f"trial {trial}: died with {died}")
        return
    tally.kinds[told["kind"]] += 1
    sentence = told.get("refused", "")
    if sentence:
        tally.counts["refused"] += 1
        tally.sentences[re.sub(r"/\S+|\d+|b'.*?'|\(.*?\)", "…", sentence)] += 1
        if "\n" in sentence or not REMEDY.search(sentence):
            tally.bad.append(f"trial {trial}: not a sentence that says what to do: {sentence!r}")
    elif told["wrong"]:
        tally.counts["silently wrong"] += 1
        tally.bad.append(f"trial {trial}: {told['kind']}: {told['what']}: {told['wrong'][:3]}")
    else:
        tally.counts["right"] += 1


def run(trials: int, running: int, processes: int, seed: int) -> Tally:
    tally = Tally()
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="onhand-damage-", dir=base))
    try:
        made = Trials(folder, seed)
        for trial, told, died in each_in_children(range(trials), made.start, PER_CHILD):
            judged(tally, trial, told, died)
        for trial, told, died in each_in_children(range(running), made.under_way, PER_CHILD):
            judged(tally, trial, told, died, mortal=died.startswith("signal"))
        for trial, told, died in each_in_children(range(running), made.after, PER_CHILD):
            judged(tally, trial, told, died)
        for trial in random.Random(seed).sample(range(trials), k=min(processes, trials)):
            state, directory, kind, what = made.damaged(trial)
            judged(tally, trial, {"kind": kind, "what": what, **started_process(directory, state.numbers)}, "")
            shutil.rmtree(directory, ignore_errors=True)
            tally.counts["whole processes"] += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description="Damaged files; see the module's first lines.")
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--running", type=int, default=200, help="trials that damage the file of a running daemon")
    parser.add_argument("--processes", type=int, default=40, help="trials repeated with the whole `onhand run`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=int, metavar="TRIAL", help="one trial, and the files it damaged, kept")
    parser.add_argument("--sentences", action="store_true", help="show every sentence met, and how often")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        folder = Path(tempfile.mkdtemp(prefix="onhand-damage-"))
        told, died = in_a_child(lambda tell: tell(Trials(folder, arguments.seed).start(arguments.replay)))
        print(json.dumps(told, indent=1), died, sep="\n")
        return int(bool(died))
    began = time.perf_counter()
    tally = run(arguments.trials, arguments.running, arguments.processes, arguments.seed)
    for line in tally.bad[:20]:
        print(f"  {line}")
    if arguments.sentences:
        for sentence, times in tally.sentences.most_common():
            print(f"  {times:5} {sentence}")
    counts = tally.counts
    print(
        f"{arguments.trials} damaged states, {arguments.running} damaged under a running daemon, "
        f"{counts['whole processes']} whole processes: {counts['right']} right, "
        f"{counts['refused']} refused with a sentence, "
        f"{counts['silently wrong']} silently wrong, {counts['died']} died at a start, "
        f"{counts['died by LMDB, running']} ended by LMDB while running; {time.perf_counter() - began:.0f} s"
    )
    return int(bool(tally.bad))


if __name__ == "__main__":
    sys.exit(main())
