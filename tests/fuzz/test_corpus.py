"""Every kept input, and every input that ever broke something, through its target: no fuzzer needed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fuzz.shelf import CORPUS, CRASHES, inputs
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

KEPT_MAX = 300 << 10


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """A thread to be the host of the targets' one Trio loop: this one has loops of other tests to come."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_every_kept_input_is_taken_as_its_target_promises(name: str, elsewhere: ThreadPoolExecutor) -> None:
    assert elsewhere.submit(_replayed, TARGETS[name]).result() >= 4, "a target without inputs shows nothing"


def _replayed(target: Target) -> int:
    tried = 0
    for label, data in inputs(target):
        tried += 1
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"the input is {label}: {data[:200]!r}")
            raise
    return tried


def test_the_corpus_is_small_and_every_folder_belongs_to_a_target() -> None:
    files = [path for shelf in (CORPUS, CRASHES) for path in shelf.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < KEPT_MAX
    assert {path.parent.name for path in files} <= set(TARGETS)
