"""`onhand verify --theatre`: every named incident, each on a stage of its own, in real time and side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import field, frozen

from daemon.theatre.evidence import Evidence, Verdict
from daemon.theatre.incidents import Incident
from daemon.theatre.scene import MakeSystem, NotJudgedError, on_scene
from daemon.theatre.stage import CallFailedError
from daemon.theatre.systems import OnhandSystem, RivalSystem, SystemFailedError

AT_ONCE: Final = 4
"""Incidents on stage at the same time: each mostly waits."""
LONGEST_S: Final = 150.0
"""An incident that takes longer has failed: its system hangs, or leaves the stage waiting at every step."""

HELD, FAILED, NOT_JUDGED = "held", "FAILED", "not judged"


@frozen
class Outcome:
    """An incident that was played."""

    incident: Incident
    verdict: Verdict
    seconds: float
    not_judged: str = ""
    """Why there was nothing to judge; "" where there was."""

    @property
    def word(self) -> str:
        """held, FAILED, or not judged."""
        if self.verdict.problems:
            return FAILED
        return NOT_JUDGED if self.not_judged else HELD

    @property
    def unjudged(self) -> list[str]:
        """What could not be looked at, and why."""
        return [*filter(None, [self.not_judged]), *self.verdict.unjudged]

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.incident.name, "deed": self.incident.deed, "right": self.incident.right,
            "verdict": self.word.lower(), "ok": self.word == HELD, "happened": self.verdict.told,
            "problems": self.verdict.problems, "not_judged": self.unjudged,
            "seconds": round(self.seconds, 3), "figures": self.verdict.figures,
        }  # fmt: skip


@frozen
class Troupe:
    """How the incidents are played: which system, how many at once, and who is told how far it is."""

    make_system: MakeSystem
    say: Callable[[str], None] = field(default=lambda line: None)  # noqa: ARG005 - nobody listens
    at_once: int = AT_ONCE

    async def play(self, incidents: Sequence[Incident], folder: Path) -> list[Outcome]:
        """Play them all, side by side; outcomes in their order. `folder` is empty."""
        found: dict[str, Outcome] = {}
        room = trio.CapacityLimiter(self.at_once)

        async def one(incident: Incident) -> None:
            async with room:
                place = folder / incident.name
                place.mkdir()
                found[incident.name] = outcome = await play_one(incident, place, self.make_system)
            self.say(f"{incident.name} {outcome.word} in {outcome.seconds:.1f} s ({len(found)} of {len(incidents)})")

        async with trio.open_nursery() as nursery:
            for incident in incidents:
                nursery.start_soon(one, incident)
        return [found[incident.name] for incident in incidents]


async def play_one(incident: Incident, folder: Path, make_system: MakeSystem) -> Outcome:
    """Play one incident in an empty folder and judge it. Whatever breaks it off has failed it."""
    verdict, not_judged, began = Verdict(), "", trio.current_time()
    try:
        with trio.fail_after(LONGEST_S):
            async with on_scene(incident.setting, folder, make_system) as scene:
                await incident.play(scene)
                evidence = await scene.evidence()
        judge(incident, evidence, verdict)
    except* NotJudgedError as group:
        not_judged = str(_first(group))
    except* (CallFailedError, SystemFailedError, OSError) as group:
        verdict.problems.append(f"it broke off: {_first(group)}")
    except* trio.TooSlowError:
        verdict.problems.append(f"it was not over after {LONGEST_S:.0f} s")
    except* Exception as group:  # an incident that breaks has failed; the others have their own say
        verdict.problems.append(f"it broke off: {_first(group)!r}")
    return Outcome(incident, verdict, trio.current_time() - began, not_judged)


def judge(incident: Incident, evidence: Evidence, verdict: Verdict) -> None:
    """From the outside first; then from inside, where the system has one."""
    incident.judge(evidence, verdict)
    if incident.inside is not None:
        if evidence.inside is None:
            verdict.unjudged.append("what the system shows of itself is not judged from outside")
        else:
            incident.inside(evidence, verdict)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def system_maker(command: str) -> MakeSystem:
    """The program to put on stage; "" for this daemon."""
    return partial(RivalSystem, command) if command else OnhandSystem
