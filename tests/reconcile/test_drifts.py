"""A slice of `python -m tests.reconcile.drifts`: each cause is named first, and the judge is no pushover."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from daemon.domain import drift
from daemon.domain.drift import Cause, Evidence, Named
from tests.reconcile.drifts import PLANTS, enough, trial
from tests.reconcile.mall import play

pytestmark = pytest.mark.slow

EACH = 2


def test_every_cause_that_there_is_can_be_planted() -> None:
    assert set(PLANTS) == set(get_args(Cause))


@pytest.mark.parametrize("cause", PLANTS)
def test_the_planted_cause_is_named_first(cause: Cause) -> None:
    assert play(lambda: trial(cause, EACH, seed=5)) == Counter({cause: EACH})


def test_a_daemon_that_blames_people_for_everything_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def blame(seen: Evidence) -> tuple[Named, ...]:
        return (Named("foreign edit", 1.0, "it is always somebody"),)

    monkeypatch.setattr("daemon.actors.drifting.attribute", blame)
    assert drift.attribute is not blame
    named = play(lambda: trial("double application", EACH, seed=5))
    assert not enough(named, "double application", EACH)
