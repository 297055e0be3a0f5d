"""A slice of the kill loop; `python -m tests.acceptance.kill_loop` runs as much of it as you like."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.kill_loop import HOT, kill_loop


@pytest.mark.slow
async def test_no_acknowledged_delivery_is_lost_or_counted_twice_over_ten_kills(tmp_path: Path) -> None:
    result = await kill_loop(tmp_path, kills=10, seed=7)

    assert result.problems == []
    assert (result.lost, result.miscounted) == (0, 0)
    assert result.starts > result.kills
    assert result.acked > 100
    # Whether a last unit is sold twice is a matter of milliseconds; where it is, the debt is exact (else: problems).
    assert result.oversold_skus <= HOT
