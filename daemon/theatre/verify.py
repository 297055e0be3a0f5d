"""`onhand verify`: the acceptance tests, each against storefronts and a daemon of its own, in real time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen
from rich.table import Table
from rich.text import Text

from daemon.theatre.check_books import bulk, trail
from daemon.theatre.check_sales import at_once, burst
from daemon.theatre.check_trouble import failures
from daemon.theatre.checks import PROPAGATION_MS, SETTLE_S, Check, Findings
from daemon.theatre.curtain import FAILED, PASSED, console, raise_curtain

CHECKS: Final = (
    Check(
        "burst", "a burst of 50 orders in 60 s reaches every storefront",
        f"slowest under {PROPAGATION_MS} ms; every number equal to the ledgers", burst,
    ),
    Check(
        "at_once", "one SKU sold on several storefronts in the same moment",
        "ends at the true count; every unit sold twice explained, and owed in the books", at_once,
    ),
    Check(
        "failures", "webhooks and pushes that fail are made good",
        f"right within {SETTLE_S:.0f} s after the trouble; what cannot succeed shows with cause and next action",
        failures,
    ),
    Check(
        "bulk", "a bulk update of 600 SKUs drops nothing",
        f"every number on every storefront within {SETTLE_S:.0f} s; none left open", bulk,
    ),
    Check(
        "trail", "the trail of one change",
        "delivery, order, line, before and after; each push; every number explained", trail,
    ),
)  # fmt: skip


@frozen
class Result:
    """A check that was run."""

    check: Check
    findings: Findings
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.findings.problems

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.check.name, "title": self.check.title, "ok": self.ok, "limit": self.check.limit,
            "measured": self.findings.told, "problems": self.findings.problems, "seconds": round(self.seconds, 3),
            "figures": self.findings.figures,
        }  # fmt: skip


def run_verify(as_json: bool) -> int:
    """Run every check; 0 iff all pass."""
    return raise_curtain(partial(_verify, CHECKS, as_json))


async def _verify(checks: Sequence[Check], as_json: bool, directory: Path) -> int:
    quiet = as_json and not sys.stderr.isatty()
    results = [
        await run_check(check, place, len(checks), directory, _nobody if quiet else _say)
        for place, check in enumerate(checks, 1)
    ]
    ok = all(result.ok for result in results)
    if as_json:
        document = {"ok": ok, "checks": [result.document() for result in results]}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        console().print(_table(results), _verdict(results))
    return PASSED if ok else FAILED


async def run_check(check: Check, place: int, count: int, directory: Path, say: Callable[[str], None]) -> Result:
    """Run one check in a folder of its own below `directory`; `say` is told before and after."""
    say(f"{place} of {count}: {check.title} …")
    findings, began = Findings(), trio.current_time()
    state = directory / check.name
    state.mkdir()
    try:
        await check.run(state, findings)
    except Exception as error:  # a check that breaks has failed; the others have their own say
        findings.problems.append(f"it broke off: {_innermost(error)!r}")
    result = Result(check, findings, trio.current_time() - began)
    say(f"   {'passed' if result.ok else 'FAILED'} in {result.seconds:.1f} s")
    return result


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _nobody(line: str) -> None:
    """Nobody listens."""


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0), expand=True)
    for name, ratio in {"check": 5, "measured": 12, "limit": 7}.items():
        table.add_column(name, ratio=ratio)
    table.add_column("", no_wrap=True, width=6)
    for result in results:
        measured = Text("\n".join(result.findings.told))
        for problem in result.findings.problems:
            measured.append(("\n" if measured else "") + problem, "bold red")
        word = Text("passed", "green") if result.ok else Text("FAILED", "bold red")
        table.add_row(result.check.title, measured, result.check.limit, word)
    return table


def _verdict(results: Sequence[Result]) -> Text:
    passed, seconds = sum(result.ok for result in results), sum(result.seconds for result in results)
    style = "bold green" if passed == len(results) else "bold red"
    return Text(f"{passed} of {len(results)} passed in {seconds:.0f} s", style)
