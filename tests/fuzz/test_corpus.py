"""Every kept input, and every input that ever broke something, through its target: no fuzzer needed."""

from __future__ import annotations

import pytest

from tests.fuzz.shelf import CORPUS, CRASHES, inputs
from tests.fuzz.targets import TARGETS

KEPT_MAX = 300 << 10


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the one loop of the process stands still; it is never closed
def test_every_kept_input_is_taken_as_its_target_promises(name: str) -> None:
    target, tried = TARGETS[name], 0
    for label, data in inputs(target):
        tried += 1
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"the input is {label}: {data[:200]!r}")
            raise
    assert tried >= 4, "a target without inputs shows nothing"


def test_the_corpus_is_small_and_every_folder_belongs_to_a_target() -> None:
    files = [path for shelf in (CORPUS, CRASHES) for path in shelf.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < KEPT_MAX
    assert {path.parent.name for path in files} <= set(TARGETS)
