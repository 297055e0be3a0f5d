"""Whoever has never seen onhand gets from a configuration to a restored backup, and reads at each step what to do."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.newcomer.day import live
from tests.newcomer.terminal import StumbledError, Terminal, environment, trimmed


@pytest.mark.slow
def test_the_first_day(tmp_path: Path) -> None:
    told: list[str] = []
    try:
        assert live(tmp_path, told.append, installed=True) > 30
    except StumbledError as error:
        pytest.fail("\n".join([*told[-60:], str(error)]))


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("print('well')", ""),
        ("print('ill')", "did not say 'well'"),
        ("print('well'); raise SystemExit(3)", "ended with 3, not 0"),
        ("print('well, never')", "said 'never'"),
        ("print('well'); print('Traceback')", "said 'Traceback'"),
    ],
)
def test_a_line_that_says_the_wrong_thing_is_a_stumble(tmp_path: Path, program: str, expected: str) -> None:
    person = Terminal(tmp_path, environment(), lambda _: None, {"python": sys.executable})
    stumbles = pytest.raises(StumbledError, match=expected) if expected else nullcontext()
    with stumbles:
        person.type(f'python -c "{program}"', says=("well",), never=("never",))


def test_long_outputs_are_cut_where_they_are_shown() -> None:
    assert trimmed("a\nb\n") == ["a", "b"]
    assert trimmed("x" * 200)[0].endswith(" …")
    assert trimmed("\n".join(map(str, range(20))))[-1] == "… (6 more lines)"
