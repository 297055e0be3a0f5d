"""`python -m tests.vm`: boot a machine with systemd, start the hardened unit there, and check that it works."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.vm.guest.programme import CHECKS
from tests.vm.image import build
from tests.vm.machine import Kernel, UnfitError, boot, command, fit
from tests.vm.page import PageError
from tests.vm.report import Report, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave disk, console and journal there")
    parser.add_argument("--patience", type=float, default=900, metavar="S", help="for the machine (default 900 s)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onhand-vm-")))
        try:
            kernel = fit()
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UnfitError(f"{folder} must be empty: name another folder")
            return _check(kernel, folder.resolve(), options.patience)
        except UnfitError as error:
            print(error, file=sys.stderr)
            return 2
        except PageError as error:
            print(error, file=sys.stderr)
            return 1


def _check(kernel: Kernel, folder: Path, patience_s: float) -> int:
    began = time.monotonic()
    print(
        f"building a bare Debian and installing onhand there as README.md says, to boot under {kernel.image.name}",
        flush=True,
    )
    disk = build(folder)
    built = time.monotonic()
    print(f"built in {built - began:.0f} s; booting it", flush=True)
    report = Report(list(CHECKS))

    def heard(line: str) -> None:
        if row := report.hear(line):
            print(f"{time.monotonic() - built:4.0f} s  {'holds' if row.holds else 'FAILS'}  {row.check}", flush=True)

    lines = folder / "report"
    trouble = boot(command(kernel, disk, folder / "console", lines), lines, patience_s, heard)
    (folder / "journal").write_text("\n".join([*report.journal, ""]))
    print(f"\n{table(report.complete())}\n")
    for line in [*report.noise, *([trouble] if trouble else [])]:
        print(line)
    held = report.holds() and not trouble
    took = time.monotonic() - began
    verdict = "everything holds" if held else "NOT EVERYTHING HOLDS"
    print(f"{verdict} ({took:.0f} s, {took - (built - began):.0f} s of it in the machine)")
    return 0 if held else 1


sys.exit(main())
