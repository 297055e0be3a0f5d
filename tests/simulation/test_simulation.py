"""The whole daemon in a simulated world: the same seed gives the same log, and every check holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio._core._run as trio_run

from daemon.actors.registry import Registry
from daemon.domain.slot import Slot
from daemon.outbound import dispatcher
from daemon.outbound.dispatcher import Claim
from tests.simulation.oracle import Oracle, shown
from tests.simulation.plan import Plan
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
        Plan.of(DAY_SEED), poll_s=300.0, visits_s=1 / 150, rush=0.05, weather_s=1800.0, crash_s=5000.0, bolts=0.0005,
        fair=False, stumbles=0.1, reforms=0.1,
    )  # fmt: skip
    return World(DAY_SEED, 24.0, plan).run()


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


@pytest.mark.slow
def test_a_simulated_day_gives_the_same_log_in_another_process_with_other_hashes() -> None:
    environ = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", DAY], cwd=ROOT, env=environ, stdout=subprocess.PIPE) as other:
        result = a_day()
        printed, _ = other.communicate(timeout=300)
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])
    assert json.loads(printed) == [result.log_hash, result.trace_hash, result.events, []]
    assert result.events > 500
    assert result.hours > 20


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "hours"), [*kept_seeds(), (31, 2.0), (32, 2.0), (33, 2.0), (34, 2.0)])
def test_a_seed_that_once_failed_or_never_did_holds_every_check(seed: int, hours: float) -> None:
    result = World(seed, hours).run()
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])


@pytest.mark.slow
def test_a_channel_without_compare_and_set_comes_to_the_right_numbers_too() -> None:
    result = World(7, 2.0, attrs.evolve(Plan.of(7), blind=True)).run()
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])


def same_key_for_the_same_push(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(claims: Sequence[Claim]) -> str:
        return "|".join(f"{each.sent.listing} {each.sent.generation} {each.sent.believed}" for each in claims)

    monkeypatch.setattr(dispatcher, "_call_key", key)


def no_work_taken_up_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "resume", lambda self, life_us, policies: 0)


def nothing_repeated_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "replay", lambda self: 0)


def own_sales_do_not_move_the_belief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slot, "touch", lambda self, key, lines, now_us: None)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], Sequence[int], dict[str, Any]]] = [
    (same_key_for_the_same_push, (2, 8, 9), {"fair": True, "blind": False, "visits_s": 1 / 40}),
    (no_work_taken_up_after_a_crash, range(100, 110), {}),
    (nothing_repeated_after_a_crash, (100, 101, 102), {}),
    (own_sales_do_not_move_the_belief, (1, 2, 3), {"fair": True, "blind": False, "visits_s": 1 / 60}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "seeds", "world"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], seeds: Sequence[int], world: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    plant(monkeypatch)
    results = (World(seed, 2.0, attrs.evolve(Plan.of(seed), **world)).run() for seed in seeds)
    assert any(result.failures for result in results)


@pytest.mark.slow
def test_the_oracle_notices_a_daemon_that_is_one_unit_off(monkeypatch: pytest.MonkeyPatch) -> None:
    truths = Oracle.truths

    def off(self: Oracle, life: object) -> object:
        found = truths(self, life)  # type: ignore[arg-type]  # passed on as it is
        for truth in found.values():
            truth.available -= 1
        return found

    monkeypatch.setattr(Oracle, "truths", off)
    result = World(3, 0.1, attrs.evolve(Plan.of(3), early=False)).run()
    assert any("does not come to rest" in failure for failure in result.failures)


def test_the_oracle_reads_policies_as_the_contract_says() -> None:
    plan = Plan.of(1)
    assert plan.skus
    front = World(1, 1.0).front_list[0]
    policy = attrs.evolve(front.policy, buffer=2, share=0.5, cap=5)
    assert [shown(units, policy) for units in (-3, 0, 2, 3, 4, 9, 40)] == [0, 0, 0, 0, 1, 3, 5]
