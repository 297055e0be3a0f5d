"""Slices of `python -m tests.crash.matrix` and `python -m tests.crash.graceful`, which run all."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.crash.graceful import graceful
from tests.crash.matrix import chosen, matrix
from tests.crash.points import CALLS, COMMITS, POINTS
from tests.crash.solitary import SOLITARY

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("CRASH_SEED", datetime.now(UTC).toordinal()))
"""Another part of the matrix each day; give the seed of a failure to see it again."""
ALWAYS = ("webhook.durable", "call.push.left", "stop.sealed")
ROTATING, ALONE = 5, 1


def slice_of(seed: int) -> list[str]:
    """The points of a day."""
    rng = random.Random(seed)
    social = [name for name, point in POINTS.items() if point.needs not in SOLITARY and name not in ALWAYS]
    alone = [name for name, point in POINTS.items() if point.needs in SOLITARY]
    return [*ALWAYS, *rng.sample(social, ROTATING), *rng.sample(alone, ALONE)]


async def test_a_daemon_killed_between_two_effects_takes_up_where_it_was(tmp_path: Path) -> None:
    points = slice_of(SEED)
    print(f"CRASH_SEED={SEED}: {', '.join(points)}")
    rows = await matrix(tmp_path, [POINTS[name] for name in points], seed=SEED, times=1, each=False)

    assert {row.point: row.problems for row in rows if row.problems} == {}
    assert sorted(row.point for row in rows) == sorted(points)
    assert all(row.killed == 1 for row in rows)  # a point that nobody came by was not tried


async def test_the_matrix_sees_an_acknowledgement_that_came_too_early(tmp_path: Path) -> None:
    rows = await matrix(tmp_path, [POINTS["webhook.answered"]], seed=1, times=2, planted="ack-first")
    assert rows[0].lost > 0


async def test_the_matrix_sees_what_counts_each_time_it_is_told(tmp_path: Path) -> None:
    rows = await matrix(tmp_path, [POINTS["webhook.answered"]], seed=1, times=1, planted="no-dedup")
    assert rows[0].twice > 0
    assert any("in truth" in problem for problem in rows[0].problems)


async def test_nobody_who_posts_notices_a_gentle_restart(tmp_path: Path) -> None:
    result = await graceful(tmp_path, restarts=3)

    assert result.problems == []
    assert (result.restarts, result.refused, result.failed, result.missing, result.twice) == (3, 0, 0, 0, 0)
    assert result.requests > 50


def test_every_kind_of_commit_and_call_is_a_point_before_within_and_after() -> None:
    for kind in COMMITS:
        assert {f"commit.{kind}.{where}" for where in ("before", "inside", "after")} <= set(POINTS)
    for kind in CALLS:
        assert {f"call.{kind}.{where}" for where in ("before", "left", "answered")} <= set(POINTS)


def test_a_name_of_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="no point"):
        chosen(["nowhere"])
