"""The named faults of storage, each brought about on real files: what happens is checked, and what is said."""

from __future__ import annotations

from pathlib import Path

from daemon.storage import store as store_module
from tests.storage_faults import cases_at_a_start, cases_of_the_disk, cases_while_running
from tests.storage_faults.children import in_a_child
from tests.storage_faults.scaffold import CASES

__all__ = ["CASES", "cases_at_a_start", "cases_of_the_disk", "cases_while_running", "run_case"]


def run_case(name: str, folder: Path) -> str:
    """One case in a fork of its own; its sentence. Raises `AssertionError` where it went otherwise."""
    store_module.RETRY_S = 0.01
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    told, died = in_a_child(lambda tell: tell(CASES[name](folder)))
    assert not died, f"{name}: {died}"
    (said,) = told
    return str(said)
