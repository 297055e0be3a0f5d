"""Every named fault of storage ends in its sentence, and with everything in its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from tests.storage_faults.cases import CASES
from tests.storage_faults.power_cut import REPOSITORY

SAID = {
    "full disk at a commit": "the database cannot be written (mdb_txn_commit: Input/output error): is its disk full?",
    "full disk at a checkpoint": "the database cannot be written",
    "full disk at a backup": "make room there, then try again",
    "full disk at the first start": "File too large",
    "full disk at a later start": "cannot be used (File too large): mend that, then start the daemon again",
    "full disk at an orderly stop": "the next start checks the whole file",
    "full map": "configured maximum of 1 MiB: give storage.map_max_gb a larger value and start the daemon again",
    "EIO at a sync": "the database cannot be written",
    "a meta page cannot be written": "the database failed for good",
    "read-only directory": "cannot be written (Permission denied); give it to the daemon's user",
    "unwritable lock": "cannot be written (Permission denied); give it to the daemon's user",
    "unwritable database": "cannot be opened",
    "a second process, also by a symlink": "another onhand is already running",
    "zero-length data file": "missing or empty although the state was in use before: the data was lost",
    "written by a newer version": "has format 2, this program knows 1: install the version that wrote it, or",
    "written by an unknown older version (there is no migration)": "has format 0, this program knows 1",
    "backup killed half-way": "is not a backup",
    "restore killed half-way, then a start": "was cut short (data.mdb.part is there): empty the directory",
    "a long read does not make the file grow (no read outlives its call)": "nothing to say",
    "state directory removed while running": "restore a backup",  # who notices first says which part is gone
    "an older copy put back while running": "removed, replaced or changed by another program",
    "file cut while running": "removed, replaced or changed by another program",
    "a damaged row read while running": "the row b'SKU-1' of table skus is damaged",
    "no file descriptors left at a start": "cannot be used (Too many open files): mend that, then start the daemon",
    "no file descriptors left while running": "nothing to say",
    "our clock goes backwards across a restart": "nothing to say",
}


@cache
def told() -> dict[str, str]:
    """What the command says of each case."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage_faults", "--json"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode == 2:
        pytest.skip(f"NOT TESTED: THE NAMED FAULTS OF STORAGE: {done.stderr.strip()}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["case"]: line["said"] for line in lines}


def test_every_case_has_its_sentence_here() -> None:
    assert set(SAID) == set(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_the_named_fault_ends_in_its_sentence(name: str) -> None:
    assert SAID[name] in told()[name]
    assert "FAILED" not in told()[name]
