"""A slice of two proofs: `python -m tests.reconcile.silent_webhooks` and `.lying_acks` run as much as you like."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.domain.gaps import Gaps
from daemon.domain.trust import Judge
from tests.reconcile import lying_acks, silent_webhooks

pytestmark = pytest.mark.slow


def test_webhooks_that_stop_are_noticed_within_a_poll_and_said_once() -> None:
    (found,), problems = silent_webhooks.play([0])
    assert problems == []
    assert len(found.silences) == 2
    assert found.sold_in_silence > 10


def test_a_daemon_that_does_not_look_for_gaps_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gaps, "shown", lambda *_, **__: False)
    monkeypatch.setattr(Gaps, "switched_off", lambda *_: False)
    monkeypatch.setattr(silent_webhooks, "AFTER_S", 30.0)
    monkeypatch.setattr(silent_webhooks, "SILENT_S", 300.0)
    _, problems = silent_webhooks.play([0])
    assert any("not noticed" in problem for problem in problems)


def test_a_liar_is_downgraded_said_once_and_trusted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("SALE_S", 5.0), ("LYING_S", 900.0), ("HONEST_S", 1500.0)):
        monkeypatch.setattr(lying_acks, name, seconds)
    (found,), problems = lying_acks.play([4])
    assert problems == []
    assert found.told > 20


def test_a_daemon_that_judges_nobody_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Judge, **_: Any) -> str:
        return self.trust

    monkeypatch.setattr(Judge, "judged", never)
    monkeypatch.setattr(lying_acks, "LYING_S", 400.0)
    monkeypatch.setattr(lying_acks, "HONEST_S", 30.0)
    _, problems = lying_acks.play([4])
    assert any("never downgraded" in problem for problem in problems)
