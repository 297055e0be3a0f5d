"""A slice of the damaged files: the right numbers or a sentence, never a signal at a start, never silence."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.storage_faults.corruption import Tally, judged
from tests.storage_faults.power_cut import REPOSITORY


@pytest.mark.slow
def test_damaged_files_end_in_the_right_numbers_or_in_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage_faults.corruption", "--trials", "108", "--running", "16",
         "--processes", "2", "--seed", "1000"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "108 damaged states, 16 damaged under a running daemon, 2 whole processes" in done.stdout
    assert "0 silently wrong, 0 died at a start" in done.stdout


@pytest.mark.parametrize(
    ("told", "died", "bad"),
    [
        ({"kind": "k", "what": "", "refused": "it is damaged; restore a backup"}, "", False),
        ({"kind": "k", "what": "", "refused": "oh dear"}, "", True),
        ({"kind": "k", "what": "", "refused": "restore\nTraceback"}, "", True),
        ({"kind": "k", "what": "", "wrong": []}, "", False),
        ({"kind": "k", "what": "", "wrong": ["SKU-1 has other numbers"]}, "", True),
        (None, "signal 7", True),
    ],
)
def test_only_right_numbers_and_sentences_are_allowed(told: dict[str, object] | None, died: str, bad: bool) -> None:
    tally = Tally()
    judged(tally, 1, told, died)
    assert bool(tally.bad) is bad
