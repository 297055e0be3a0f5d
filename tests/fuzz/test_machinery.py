"""The fuzzer's own parts: what breaks is noticed, made small and kept; every input means something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import bounds, shelf
from tests.fuzz.bounds import SlowError, Tally, bounded
from tests.fuzz.shelf import grow, kept, save_crash
from tests.fuzz.shrink import breakage, shrunk
from tests.fuzz.target import Cut, Target, line


def breaks_on_two(data: bytes) -> None:
    if data.find(b"B") < data.find(b"D"):
        raise KeyError
    if data == b"other":
        raise ValueError


def test_a_broken_input_is_made_as_small_as_what_breaks_it() -> None:
    small = shrunk(breaks_on_two, b"xxxxxxBxxxxxxxxxDxxxxx", patience_s=5)
    assert len(small) <= 2
    assert breakage(breaks_on_two, small) == breakage(breaks_on_two, b"xBxD")
    assert shrunk(breaks_on_two, b"fine B") == b"fine B"


def test_another_exception_is_another_breakage() -> None:
    first, second = breakage(breaks_on_two, b"BD"), breakage(breaks_on_two, b"other")
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == ("KeyError", "ValueError")
    assert breakage(breaks_on_two, b"") is None


def test_every_execution_is_counted_and_what_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bytes] = []
    tally = Tally()
    run = bounded(Target("t", breaks_on_two, ""), tally, told.append)
    run(b"")
    run(b"fine")
    assert (tally.executions, told) == (2, [])
    assert tally.slowest_s > 0
    with pytest.raises(KeyError):
        run(b"BD")
    assert told == [b"BD"]
    monkeypatch.setattr(bounds, "CPU_MAX_S", 0.0)
    with pytest.raises(SlowError):
        bounded(Target("t", breaks_on_two, ""), tally, told.append)(b"slow")
    assert told == [b"BD", b"slow"]


def test_what_is_kept_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(shelf, "CRASHES", tmp_path / "crashes")
    target = Target("t", breaks_on_two, "")
    grow(target, [b"", b"a", b"bb", b"c" * 5_000, b"ddd"], 2)
    save_crash(target, b"BD")
    assert {data for _, data in kept(target)} in ({b"a", b"ddd", b"BD"}, {b"a", b"bb", b"BD"})


def test_bytes_are_cut_into_values_and_past_the_end_all_is_zero() -> None:
    cut = Cut(b"\x05\x01\x02" + line("abc") + line(b"\xed\xa0\x80") + b"rest")
    assert (cut.pick("abcd"), cut.number(), cut.latin(), cut.text(), cut.rest()) == (
        "b",
        258,
        "abc",
        "\ud800",
        b"rest",
    )
    assert (cut.byte(), cut.number(), cut.field(), cut.flag(), cut.rest()) == (0, 0, b"", False, b"")
    assert Cut(line(b"\xff\xc3")).text() == "\ufffd\ufffd"
