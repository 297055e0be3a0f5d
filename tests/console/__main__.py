"""The console in a real browser: a shop owner's walk through every view, and axe-core's word on each.

    python -m tests.console [--shots DIR] [--axe FILE]

Needs Debian's `chromium`, the extra `onhand[browser]`, and axe-core: `npm install --no-save --no-package-lock
--ignore-scripts axe-core@4.14.1`. Ends with 0 if every step went as it should and nothing serious was found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import trio

from tests.console.stage import Stage, set_the_scene, staged

AXE: Final = "node_modules/axe-core/axe.min.js"
CHROMIUM: Final = "/usr/bin/chromium"
WITHIN_S: Final = 600.0
"""On a machine that has much else to do; a free one takes less than a tenth of it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.console", description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, metavar="DIR", help="write pictures of every view there")
    parser.add_argument("--axe", type=Path, default=AXE, metavar="FILE", help="axe-core (default: %(default)s)")
    options = parser.parse_args()
    missing = _missing(options.axe)
    if missing:
        sys.stderr.write(f"{missing}\n")
        return 2
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="onhand") as folder:
        return trio.run(_play, Path(folder), options.axe.read_text(), options.shots)


def _missing(axe: Path) -> str:
    """What to install first; empty if all is there."""
    try:
        import playwright  # noqa: F401  # whether it is there is all that is asked
    except ImportError:
        return "playwright is missing: pip install -e '.[browser]'"
    if not Path(CHROMIUM).exists():
        return "chromium is missing: apt-get install chromium"
    if not axe.exists():
        return f"{axe} is missing: npm install --no-save --no-package-lock --ignore-scripts axe-core@4.14.1"
    return ""


async def _play(folder: Path, axe: str, shots: Path | None) -> int:
    began = time.monotonic()
    with trio.fail_after(WITHIN_S):
        async with staged(folder) as stage:
            await set_the_scene(stage)
            async with stage.console() as reading, stage.console("--write") as writing:
                return await trio.to_thread.run_sync(_walk, stage, reading, writing, axe, shots, began)


def _walk(stage: Stage, reading: str, writing: str, axe: str, shots: Path | None, began: float) -> int:
    from tests.console.browser import Tab, browser
    from tests.console.tour import STEPS, Tour, read_only

    found: list[str] = []
    looked = 0
    with browser() as chromium:
        print(f"chromium {chromium.version}")
        for url, steps in ((reading, (read_only,)), (writing, STEPS)):
            tab = Tab(chromium.new_page(), axe, shots)
            tour = Tour(stage, tab, url)
            for step in steps:
                at = time.monotonic()
                try:
                    step(tour)
                except BaseException:
                    if shots:
                        tab.page.screenshot(path=shots / "failed.png", full_page=True)
                    print(f"FAILED in {step.__name__}; the page complained: {tab.complaints}")
                    raise
                print(f"{step.__name__:<14} {time.monotonic() - at:5.1f} s")
            found += tour.found
            found += [f"a request to {each}" for each in tab.strangers]
            looked += tab.looked
            tab.page.close()
    for each in found:
        print(f"FOUND {each}")
    print(f"{looked} looks of axe-core, {len(found)} findings, {time.monotonic() - began:.0f} s in all")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
