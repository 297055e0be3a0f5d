"""Cut the power at any moment, with any part of the unsynced writes on the disk, and start the daemon again.

    python -m tests.storage_faults.power_cut --images 10000 --seed 1 [--jobs 2] [--planted no-sync] [--replay 7:123]

A library loaded before the process writes down what the whole daemon does to its files while storefronts sell to it,
and every acknowledgement it gives. An image is what the disk may then hold: everything synced, and of the rest a
random part, in whole writes or in torn sectors; names that were made, renamed or taken away without a sync of the
directory count as unsynced too. Each image is opened as the product opens it, in a process that never had LMDB open:
whatever was acknowledged must be there, and everything must agree with the log and with itself.

Exit code 0: no image lost anything. 1: at least one did (with --planted it must). 2: it could not be run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import trio._core._run as trio_run
from attrs import asdict, define, field, frozen

from tests.storage_faults import tap
from tests.storage_faults.checks import examine
from tests.storage_faults.children import each_in_children, in_a_child
from tests.storage_faults.images import image
from tests.storage_faults.lives import run_lives
from tests.storage_faults.planted import PLANTED

REPOSITORY = Path(__file__).resolve().parents[2]
PER_WORKLOAD = 250
"""Images of one workload."""
AT_BIRTH = 0.1
"""So many images are of a cut during the first start: a moment only, but with no older state to fall back on."""
PER_CHILD = 25
"""Images examined by one child; if it dies, the one it was at is named and the rest go to the next child."""


@frozen
class Found:
    """What is wrong with one image; all empty: nothing. `workload`:`image` replays it."""

    workload: int
    image: int
    refused: str = ""
    lost: Sequence[str] = ()
    wrong: Sequence[str] = ()
    died: str = ""

    @property
    def good(self) -> bool:
        return not (self.refused or self.lost or self.wrong or self.died)


@define
class Tally:
    """Images by what came of them."""

    images: int = 0
    acknowledged: int = 0
    operations: int = 0
    counts: Counter[str] = field(factory=Counter)
    bad: list[Found] = field(factory=list)

    def add(self, found: Found) -> None:
        self.images += 1
        for kind in ("lost", "wrong", "refused", "died"):
            self.counts[kind] += bool(getattr(found, kind))
        if not found.good:
            self.bad.append(found)


class Workload:
    """Some lives of a daemon, and every image that can be made of them."""

    def __init__(self, number: int, folder: Path, planted: str = "") -> None:
        self.number = number
        self.folder = folder
        state, log = folder / "state", folder / "log"
        shutil.rmtree(folder, ignore_errors=True)
        state.mkdir(parents=True)
        rng = random.Random(f"{number}:lives")
        lives = [(rng.choice((0.3, 1.0, 2.6)) * rng.uniform(0.5, 1.2), rng.random() < 0.5) for _ in range(4)]

        def work(_: Callable[[object], None]) -> None:
            if planted:
                PLANTED[planted]()
            trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
            trio_run._r.seed(number)
            tap.begin(state, log)
            run_lives(state, number, lives, lambda told: tap.mark(json.dumps(told).encode()))

        _, died = in_a_child(work)
        if died:
            raise RuntimeError(f"workload {number} itself ended with {died}")
        self.directory_inode = state.stat().st_ino
        self.operations = list(tap.operations(log))
        self.birth = _until_named(self.operations, b"/initialised")
        shutil.rmtree(folder)

    def examined(self, images: Sequence[int]) -> Iterator[Found]:
        """Every one of these images, judged."""
        for number, told, died in each_in_children(images, lambda each: asdict(self.judge(each)), PER_CHILD):
            yield Found(self.number, number, died=died) if died else Found(**told)

    def judge(self, number: int, keep: Path | None = None) -> Found:
        """Make one image and start the daemon on it; `keep`: leave it there."""
        rng = random.Random(f"{self.number}:{number}")
        cut = rng.randrange((self.birth if rng.random() < AT_BIRTH else len(self.operations)) + 1)
        disk, acknowledged = image(self.operations, cut, self.directory_inode, rng)
        directory = keep or self.folder / "image"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        disk.write(directory)
        if keep:
            print(
                f"the power goes in operation {cut} of {len(self.operations)}; {len(acknowledged)} acknowledgements"
            )
        verdict = examine(directory, [json.loads(each) for each in acknowledged])
        return Found(self.number, number, verdict.refused, tuple(verdict.lost), tuple(verdict.wrong))


def _until_named(operations: Sequence[tap.Operation], name: bytes) -> int:
    """How many operations there are until a file of this name is made."""
    made = (place for place, each in enumerate(operations) if each.kind == "c" and each.content.endswith(name))
    return next(made) + 1


def run(arguments: argparse.Namespace) -> Tally:
    """This process's share of the work: every `jobs`-th workload from `share` on."""
    tally = Tally()
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="onhand-cut-", dir=base))
    try:
        for place in range(arguments.share, -(-arguments.images // PER_WORKLOAD), arguments.jobs):
            workload = Workload(arguments.seed + place, folder / "work", arguments.planted)
            tally.operations += len(workload.operations)
            tally.acknowledged += sum(each.kind == "A" for each in workload.operations)
            for found in workload.examined(range(min(PER_WORKLOAD, arguments.images - place * PER_WORKLOAD))):
                tally.add(found)
            if arguments.planted and tally.bad:
                break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tally


def together(arguments: argparse.Namespace) -> Tally:
    """Start the shares, each a watched process; what all of them found."""
    with tempfile.TemporaryDirectory(prefix="onhand-tap-") as folder:
        library = tap.build(Path(folder))
        environment = tap.preloaded(library, PYTHONPATH=str(REPOSITORY), PYTHONHASHSEED="0")
        command = [sys.executable, "-m", "tests.storage_faults.power_cut", *sys.argv[1:]]
        if arguments.replay:
            raise SystemExit(subprocess.run([*command, "--share", "0"], env=environment, check=False).returncode)
        shares = [
            subprocess.Popen([*command, "--share", str(share)], env=environment, stdout=subprocess.PIPE, text=True)
            for share in range(arguments.jobs)
        ]
        tally = Tally()
        for share in shares:
            out, _ = share.communicate()
            if share.returncode:
                raise RuntimeError(f"a share of the work ended with {share.returncode}")
            part = json.loads(out)
            tally.images += part["images"]
            tally.acknowledged += part["acknowledged"]
            tally.operations += part["operations"]
            tally.counts.update(part["counts"])
            tally.bad += [Found(**each) for each in part["bad"]]
        return tally


def replay(workload: int, number: int, planted: str) -> int:
    """One image again, kept for a look at it."""
    folder = Path(tempfile.mkdtemp(prefix="onhand-cut-"))
    found: list[object] = []

    def work(tell: Callable[[object], None]) -> None:
        tell(asdict(made.judge(number, folder / "image")))

    made = Workload(workload, folder / "work", planted)
    found, died = in_a_child(work)
    print(json.dumps(found, indent=1), died, f"the image is in {folder / 'image'}", sep="\n")
    return int(bool(died) or not all(Found(**each).good for each in found if isinstance(each, dict)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Power cuts at any moment; see the module's first lines.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--planted", choices=sorted(PLANTED), default="", help="a fault built into the product: must be found"
    )
    parser.add_argument("--replay", metavar="WORKLOAD:IMAGE", default="")
    parser.add_argument("--share", type=int, default=-1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.share >= 0 and arguments.replay:
        return replay(*map(int, arguments.replay.split(":")), arguments.planted)
    if arguments.share >= 0:
        print(json.dumps(asdict(run(arguments))))
        return 0
    began = time.perf_counter()
    try:
        tally = together(arguments)
    except tap.NoCompilerError as error:
        print(error, file=sys.stderr)
        return 2
    took_s = time.perf_counter() - began
    counts = tally.counts
    for found in tally.bad[:10]:
        print(f"  {found.workload}:{found.image}: {found.died or found.refused or [*found.lost, *found.wrong][:3]}")
    print(
        f"{tally.images} images of {tally.operations} operations and {tally.acknowledged} acknowledgements: "
        f"{counts['lost']} lost something acknowledged, {counts['wrong']} inconsistent, {counts['refused']} refused, "
        f"{counts['died']} died; {tally.images / took_s:.0f} images a second"
    )
    return int(bool(tally.bad))


if __name__ == "__main__":
    sys.exit(main())
