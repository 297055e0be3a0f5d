"""The whole daemon in a simulated world: the same seed gives the same log, and every check holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio
import trio._core._run as trio_run

from daemon.domain.slot import Slot
from tests.simulation.invariants import invariant_of
from tests.simulation.mutants import MUTANTS, Mutant, MutantError, Patch, planted
from tests.simulation.mutants.trial import try_mutant
from tests.simulation.plan import Plan
from tests.simulation.shrink import changed, fails, shrink
from tests.simulation.soak import soak, total
from tests.simulation.story import story
from tests.simulation.truth import shown
from tests.simulation.unrest import Unrest
from tests.simulation.world import Result, World

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DAY_SEED = 4

DAY = """
import json
from tests.simulation.test_simulation import a_day
result = a_day()
print(json.dumps([result.log_hash, result.trace_hash, result.events, result.failures]))
"""


def a_day() -> Result:
    plan = attrs.evolve(
        Plan.of(DAY_SEED), poll_s=300.0, visits_s=1 / 150, rush=0.05, weather_s=1800.0, crash_s=3000.0, bolts=0.0005,
        fair=False, stumbles=0.1, reforms=0.1, stretch=1.0,
    )  # fmt: skip
    return World(DAY_SEED, 4.0, plan).run()


def kept_seeds() -> Iterator[tuple[int, float]]:
    for line in (HERE / "seeds.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            seed, hours, _ = line.split(maxsplit=2)
            yield int(seed), float(hours)


def test_the_private_names_that_make_trio_deterministic_exist() -> None:
    assert isinstance(trio_run._ALLOW_DETERMINISTIC_SCHEDULING, bool)
    assert callable(trio_run._r.seed)
    assert callable(trio_run._r.shuffle)


def test_the_seed_alone_decides_the_order_in_which_tasks_run() -> None:
    def order(seed: int) -> list[int]:
        ran: list[int] = []

        async def note(number: int) -> None:
            await trio.lowlevel.checkpoint()
            ran.append(number)

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(note, number)

        before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
        trio_run._r.seed(seed)
        try:
            trio.run(main)
        finally:
            trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before
        return ran

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_world_is_the_same_over_a_store_in_memory() -> None:
    plan = attrs.evolve(
        Plan.of(33), tears=0.05, eio=0.02, visits_s=1 / 20, kinds=Plan.of(33).kinds | {"full disk"}, fair=False
    )
    on_disk, in_memory = (World(33, 0.2, plan, in_memory=kept).run() for kept in (False, True))
    assert on_disk.counts["fault: crash in a commit, which is lost"]
    assert not on_disk.failures, on_disk.failures
    assert (in_memory.log_hash, in_memory.trace_hash) == (on_disk.log_hash, on_disk.trace_hash)


@pytest.mark.slow
def test_some_hours_of_a_day_give_the_same_log_in_another_process_with_other_hashes() -> None:
    environ = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", DAY], cwd=ROOT, env=environ, stdout=subprocess.PIPE) as other:
        result = a_day()
        printed, _ = other.communicate(timeout=300)
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])
    assert json.loads(printed) == [result.log_hash, result.trace_hash, result.events, []]
    assert result.events > 100
    assert result.hours > 3


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "hours"), [*kept_seeds(), (31, 0.5)])
def test_a_seed_that_once_failed_or_never_did_holds_every_check(seed: int, hours: float) -> None:
    result = World(seed, hours).run()
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_still_applies_to_the_code_as_it_is(name: str) -> None:
    with planted(MUTANTS[name]) as present:
        assert present.calls or len(present.mutant.patches) == 1


def test_a_mutant_whose_lines_are_gone_is_an_error() -> None:
    gone = Mutant("gone", "", "I4", (Patch("daemon.domain.stock:Stock.apply", "no such line", "pass"),))
    with pytest.raises(MutantError, match="holds 0 times, not once"), planted(gone):
        pass


def test_a_mutant_that_nothing_calls_is_an_error_and_leaves_no_trace() -> None:
    before = Slot.want
    with planted(MUTANTS["lost_coalesced_last_value"]) as present:
        assert Slot.want is not before
        with pytest.raises(MutantError, match="nothing ever"):
            present.check_called()
    assert Slot.want is before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "push_leaves_before_its_mark_is_durable", "effects_before_the_raw_body", "dedup_key_not_committed",
        "last_write_wins_by_wall_clock", "idempotency_key_repeats",
    ],
)  # fmt: skip
def test_a_planted_bug_is_found(name: str) -> None:
    trial = try_mutant((name, 5000, 8, 0.5))
    assert not trial.error
    assert trial.seed is not None
    assert trial.found in {"I1", "I2", "I3", "I6"}


@pytest.mark.slow
def test_the_oracle_notices_a_daemon_that_is_one_unit_off(monkeypatch: pytest.MonkeyPatch) -> None:
    truths = Unrest.truths

    def off(self: Unrest, life: object) -> object:
        found = truths(self, life)  # type: ignore[arg-type]  # passed on as it is
        for truth in found.values():
            truth.available -= 1
        return found

    monkeypatch.setattr(Unrest, "truths", off)
    result = World(3, 0.1, attrs.evolve(Plan.of(3), early=False)).run()
    assert any("I4 units are conserved" in failure for failure in result.failures)


def test_a_failing_world_is_made_smaller_and_told() -> None:
    with planted(MUTANTS["push_leaves_before_its_mark_is_durable"]):
        failure = fails(5000, 0.5, {})
        assert invariant_of(failure) == "I6"
        small = shrink(5000, 0.5, failure, budget_s=4.0)
        world = World(5000, small.hours, changed(Plan.of(5000), small.changes), loud=True)
        world.run()
    assert small.hours < 0.5
    assert invariant_of(small.failure) == "I6"
    told = story(world)
    assert len(told) > 1
    assert "FAILED: I6" in told[-1]


def test_records_add_up_and_ranges_that_overlap_do_not(tmp_path: Path) -> None:
    record = tmp_path / "record"
    sums = soak(range(3), 0.02, 1, record=record, say=lambda line: None)
    assert sums.seeds == 3
    said: list[str] = []
    assert soak(range(3), 0.02, 1, record=record, say=said.append).seeds == 0
    assert said == ["3 seeds are on record already"]
    assert "in all: 3 seeds" in total([record])
    with pytest.raises(ValueError, match="overlap: they would count twice"):
        total([record, record])


def test_the_oracle_reads_policies_as_the_contract_says() -> None:
    plan = Plan.of(1)
    assert plan.skus
    front = World(1, 1.0).front_list[0]
    policy = attrs.evolve(front.policy, buffer=2, share=0.5, cap=5)
    assert [shown(units, policy) for units in (-3, 0, 2, 3, 4, 9, 40)] == [0, 0, 0, 0, 1, 3, 5]
