"""A few drills; `python -m tests.drill` plays more, with older backups."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from daemon.app.aftermath import Aftermath
from daemon.domain.instants import Instant, Span
from daemon.domain.observations import Adjustment
from daemon.storage.chain import chained, link
from daemon.storage.codec import Cause, Record, dump_record, number
from daemon.storage.environment import Batch, Environment, Head
from daemon.storage.restore import restore
from daemon.storage.tables import LOG, META, RESTORED
from tests.drill.drill import Drill


def small(seed: int) -> Drill:
    """A drill of a few seconds."""
    return Drill(seed, skus=14, days=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_a_restored_daemon_learns_what_its_backup_could_not_know(seed: int) -> None:
    found = small(seed).run()
    assert found.problems == []
    assert found.after_backup > 10
    assert found.events_lost > 0


@pytest.mark.slow
def test_a_daemon_that_believes_its_backup_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Aftermath, "begin", lambda self: None)
    assert small(5).run().problems


@pytest.mark.slow
def test_a_daemon_that_raises_before_every_channel_was_asked_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Aftermath, "unread", lambda self: False)
    assert any("was raised from" in problem for problem in small(3).run().problems)


def opened(directory: Path) -> Environment:
    return Environment.open(directory, genesis="g")


def restored(env: Environment) -> bool:
    return env.get(META, RESTORED) is not None


def test_a_copy_knows_that_it_is_one_until_somebody_says_that_this_is_over(tmp_path: Path) -> None:
    env = opened(tmp_path / "state")
    env.write(Batch(Head(delivery=3)))
    env.copy_to(tmp_path / "backup")
    env.close(clean=True)
    again = opened(tmp_path / "state")
    assert not restored(again)
    again.close(clean=False)
    assert not restored(opened(tmp_path / "state"))

    restore(tmp_path / "backup", tmp_path / "new")
    copy = opened(tmp_path / "new")
    assert restored(copy)
    assert copy.head() == Head(delivery=3)
    copy.close(clean=False)  # killed before anything was done about it
    copy = opened(tmp_path / "new")
    assert restored(copy)
    copy.write(Batch(copy.head(), deletes={META: [RESTORED]}))
    copy.close(clean=True)
    assert not restored(opened(tmp_path / "new"))


def test_a_copy_taken_amid_commits_is_one_moment_and_whole(tmp_path: Path) -> None:
    """Two threads, as in the daemon: the writer's, and the one beside it that copies."""
    env, copied = opened(tmp_path / "state"), threading.Event()
    head, written = Head(), 0

    def copy() -> None:
        for place in range(5):
            env.copy_to(tmp_path / f"backup-{place}")
        copied.set()

    thread = threading.Thread(target=copy)
    thread.start()
    while not copied.is_set() or not written:
        seq = head.seq + 1
        fact = Adjustment("person", str(seq), "A", 1, at=Instant(Span(seq, seq)), reason="x" * 2_000)
        payload = dump_record(Record(seq, seq, "A", fact, Cause("admin")))
        head = Head(seq=seq, chain=link(head.chain, number(seq), payload), records=seq)
        env.write(Batch(head, {LOG: [(number(seq), payload)]}))
        written += 1
    thread.join()
    env.close(clean=True)
    ends = []
    for place in range(5):
        backup = opened(tmp_path / f"backup-{place}")
        ends.append(backup.head().seq)
        assert len([*chained(backup, backup.head())]) == ends[-1], "its log is whole, and ends where its head says"
        backup.close(clean=True)
    assert ends == sorted(ends)
    assert ends[-1] <= written
