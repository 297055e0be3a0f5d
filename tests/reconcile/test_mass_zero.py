"""A slice of `python -m tests.reconcile.mass_zero`, and a daemon without that guard, which it must catch."""

from __future__ import annotations

import pytest

from daemon.domain.mass import Tally
from tests.reconcile.mass_zero import STORIES, Story, run

pytestmark = pytest.mark.slow

CHOSEN = (
    Story("refuse", told=True, rule="adopt"), Story("clear", told=True),
    Story("accept", told=False, rule="adopt", crash=True),
)  # fmt: skip


def test_zeros_all_over_a_storefront_do_not_spread() -> None:
    assert set(CHOSEN) <= set(STORIES)
    assert run(CHOSEN, listings=30) == {story: [] for story in CHOSEN}


def test_a_daemon_without_the_guard_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "verdict", lambda *_, **__: None)
    (problems,) = run((Story("refuse", told=True, rule="adopt"),), listings=30).values()
    assert any("was written to" in problem for problem in problems)
    assert "there are 0 alarms: []" in problems
