"""The newcomer's day, from the installation to a restored backup, through the command line alone.

    python -m tests.newcomer [--installed] [--keep]

Exit code 0: everything said and did what a newcomer may expect. 1: something did not.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from tests.newcomer.day import live
from tests.newcomer.terminal import StumbledError


def main() -> int:
    parser = argparse.ArgumentParser(description="The newcomer's day, through the command line alone.")
    parser.add_argument("--installed", action="store_true", help="use the onhand beside this interpreter")
    parser.add_argument("--keep", action="store_true", help="leave the folder behind")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="newcomer-"))
    began = time.monotonic()
    try:
        typed = live(folder, lambda line: print(line, flush=True), installed=arguments.installed)
    except StumbledError as error:
        print(f"\nSTUMBLED after {time.monotonic() - began:.0f} s: {error}")
        return 1
    finally:
        if arguments.keep:
            print(f"left in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\nnothing to stumble over: {typed} lines typed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
