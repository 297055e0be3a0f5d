"""A small outage; `python -m tests.reconcile.outage` is the whole one."""

from __future__ import annotations

import pytest

from daemon.domain import breaker
from daemon.domain.instants import SECOND_US
from tests.reconcile.outage import Outage, play

pytestmark = pytest.mark.slow


def test_after_hours_without_a_storefront_each_listing_that_differs_is_written_once_and_soon() -> None:
    for found in play([11, 12], skus=60):
        assert found.problems == []
        assert found.changed == 60
        assert found.differing > 30


def test_a_daemon_that_asks_too_seldom_whether_the_storefront_is_back_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "MOST_OPEN_US", 3_600 * SECOND_US)
    assert any("not right within" in problem for problem in Outage(13, 20).run().problems)
