"""The whole evening of `onhand verify --theatre`: acceptance tests, then incidents, and the table of both."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from rich.table import Table
from rich.text import Text

from daemon.theatre.checks import Check
from daemon.theatre.curtain import FAILED, PASSED, console, raise_curtain
from daemon.theatre.fault_theatre import HELD, NOT_JUDGED, Outcome, Troupe, system_maker
from daemon.theatre.incidents import INCIDENTS, Incident
from daemon.theatre.incidents.acceptance import ACCEPTANCE
from daemon.theatre.verify import CHECKS, Result, run_check

OUR_OWN: Final = "this daemon"


class UnknownNameError(ValueError):
    """`--only` names something that is not on the programme; one sentence."""


def run_theatre(as_json: bool, only: Sequence[str] = (), command: str = "") -> int:
    """Play the programme, or only what is named; 0 iff everything that was judged holds, and something was.

    `command`: another program, to be judged instead of this daemon. Raises `UnknownNameError`.
    """
    checks, incidents = chosen(only, command)
    quiet = as_json and not sys.stderr.isatty()
    return raise_curtain(partial(_evening, checks, incidents, command, as_json, quiet))


def chosen(only: Sequence[str], command: str) -> tuple[list[Check], list[Incident]]:
    """What is played: what `only` names, in any case of letters; all where it names nothing.

    The acceptance tests ask this daemon in their own process; a rival takes them as incidents, from outside.
    """
    checks = {check.name: check for check in CHECKS} if not command else {}
    played = [*ACCEPTANCE, *INCIDENTS] if command else INCIDENTS
    incidents = {incident.name.lower(): incident for incident in played}
    wanted = [name.strip().lower() for name in only if name.strip()]
    for name in wanted:
        if name not in checks and name not in incidents:
            there = ", ".join([*checks, *(incident.name for incident in played)])
            raise UnknownNameError(f"there is no {name!r} on the programme: name some of {there}")
    return (
        [check for name, check in checks.items() if not wanted or name in wanted],
        [incident for name, incident in incidents.items() if not wanted or name in wanted],
    )


async def _evening(
    checks: Sequence[Check], incidents: Sequence[Incident], command: str, as_json: bool, quiet: bool, folder: Path
) -> int:
    say = _nobody if quiet else _say
    began = trio.current_time()
    results = [await run_check(check, place, len(checks), folder, say) for place, check in enumerate(checks, 1)]
    stages = folder / "incidents"
    stages.mkdir()
    # Acceptance tests measure how fast a system is: nobody else is on stage then.
    alone = [incident for incident in incidents if incident in ACCEPTANCE]
    outcomes = await Troupe(system_maker(command), say, at_once=1).play(alone, stages)
    others = [incident for incident in incidents if incident not in ACCEPTANCE]
    outcomes += await Troupe(system_maker(command), say).play(others, stages)
    seconds = trio.current_time() - began
    judged = [result.ok for result in results] + [each.word == HELD for each in outcomes if each.word != NOT_JUDGED]
    ok = bool(judged) and all(judged)
    if as_json:
        sys.stdout.write(
            json.dumps(document(command, results, outcomes, seconds), ensure_ascii=False, indent=2) + "\n"
        )
    else:
        console().print(table(results, outcomes), summary(command, results, outcomes, seconds))
    return PASSED if ok else FAILED


def document(
    command: str, results: Sequence[Result], outcomes: Sequence[Outcome], seconds: float
) -> dict[str, Any]:  # fmt: skip
    """Everything measured, for `--json`."""
    judged = [result.ok for result in results] + [each.word == HELD for each in outcomes if each.word != NOT_JUDGED]
    return {
        "ok": bool(judged) and all(judged),
        "system": command or OUR_OWN,
        "seconds": round(seconds, 3),
        "checks": [result.document() for result in results],
        "incidents": [outcome.document() for outcome in outcomes],
    }


def table(results: Sequence[Result], outcomes: Sequence[Outcome]) -> Table:
    """What is done to the system, what happened, what should have happened, and the verdict."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0), expand=True)
    made.add_column("", no_wrap=True)
    for name, ratio in {"what is done": 6, "what happened": 10, "what should happen": 6}.items():
        made.add_column(name, ratio=ratio)
    made.add_column("", no_wrap=True, width=10)
    for result in results:
        happened = _happened(result.findings.told, result.findings.problems)
        made.add_row(
            result.check.name,
            result.check.title,
            happened,
            result.check.limit,
            _word(HELD if result.ok else "FAILED"),
        )
    for each in outcomes:
        happened = _happened(each.verdict.told, each.verdict.problems)
        for why in each.unjudged:
            happened.append(("\n" if happened else "") + f"not judged: {why}", "yellow")
        made.add_row(each.incident.name, each.incident.deed, happened, each.incident.right, _word(each.word))
    return made


def _happened(told: Sequence[str], problems: Sequence[str]) -> Text:
    text = Text("\n".join(told))
    for problem in problems:
        text.append(("\n" if text else "") + problem, "bold red")
    return text


def _word(word: str) -> Text:
    return Text(word, {HELD: "green", NOT_JUDGED: "yellow"}.get(word, "bold red"))


def summary(command: str, results: Sequence[Result], outcomes: Sequence[Outcome], seconds: float) -> Text:
    """The last line."""
    words = [HELD if result.ok else "FAILED" for result in results] + [each.word for each in outcomes]
    held, unjudged = words.count(HELD), words.count(NOT_JUDGED)
    failed = [each.incident.name for each in outcomes if each.word == "FAILED"]
    failed = [result.check.name for result in results if not result.ok] + failed
    said = f"{command or OUR_OWN}: {held} of {len(words)} held in {seconds:.0f} s"
    said += f"; {unjudged} not judged" if unjudged else ""
    said += f"; failed: {', '.join(failed)}" if failed else ""
    return Text(said, "bold green" if held + unjudged == len(words) and held else "bold red")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _nobody(line: str) -> None:
    """Nobody listens."""
