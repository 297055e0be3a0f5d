"""Every named fault of storage, and the sentence that the user sees.

    python -m tests.storage_faults [--only WORD] [--json]

Exit code 0: each went as it must. 1: one did not. 2: it could not be run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.storage_faults import tap
from tests.storage_faults.cases import CASES, run_case

REPOSITORY = Path(__file__).resolve().parents[2]


def watched(arguments: list[str]) -> int:
    """This module again, with the library of faults loaded before it; its exit code."""
    folder = Path(tempfile.mkdtemp(prefix="onhand-cases-"))
    try:
        folder.chmod(0o755)  # some cases run as nobody
        environment = tap.preloaded(
            tap.build(folder), TAP_ROOT=str(folder), TAP_FAULT=str(folder / "fault"), PYTHONPATH=str(REPOSITORY)
        )
        command = [sys.executable, "-m", "tests.storage_faults", *arguments]
        return subprocess.run(command, env=environment, check=False).returncode
    except tap.NoCompilerError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Every named fault of storage, and the sentence that the user sees.")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if "TAP_FAULT" not in os.environ:
        return watched(sys.argv[1:])
    folder = Path(os.environ["TAP_ROOT"])
    failed = 0
    for number, name in enumerate(name for name in CASES if arguments.only in name):
        try:
            said = run_case(name, folder / f"case-{number}")
        except AssertionError as error:
            said, failed = f"FAILED: {error}", failed + 1
        said = said.replace(str(folder), "")
        print(json.dumps({"case": name, "said": said}) if arguments.json else f"{name}\n    {said}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
