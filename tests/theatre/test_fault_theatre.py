"""The fault theatre: its frame with systems of our own making, a slice of it for real, and its power over a rival."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from daemon.cli import main
from daemon.domain.exchange import Request, Response
from daemon.theatre.evidence import Evidence, Fact, Verdict
from daemon.theatre.fault_theatre import Outcome, Troupe, judge, play_one, system_maker
from daemon.theatre.incidents import INCIDENTS, Incident
from daemon.theatre.incidents.acceptance import ACCEPTANCE
from daemon.theatre.programme import UnknownNameError, chosen, document, summary, table
from daemon.theatre.scene import NotJudgedError, Scene, Setting
from daemon.theatre.systems import RivalSystem, StageTold, StoreTold, SystemFailedError, Timing
from daemon.theatre.verify import CHECKS
from tests.theatre.puppets import BY_NAME

RIVAL = f"{sys.executable} {Path(__file__).with_name('naive_rival.py')}"
QUEUEING = f"{sys.executable} {Path(__file__).with_name('queueing_rival.py')}"
SLICE = {RIVAL: ("T6", "T8", "T13", "T15", "T17"), QUEUEING: ("T4", "T12", "T16")}
"""Played for real at every run of the tests: quick ones that the rival gets wrong, each for another reason."""


def test_every_incident_has_a_name_a_story_and_a_verdict() -> None:
    assert [each.name for each in INCIDENTS] == [f"T{number}" for number in range(1, 20)]
    for each in INCIDENTS:
        assert each.deed
        assert each.right
        assert "Trigger:" in (each.play.__doc__ or ""), each.name
        assert "Judged:" in (each.play.__doc__ or ""), each.name


# --- what is played ------------------------------------------------------------------------------------------


def test_everything_is_played_unless_something_is_named() -> None:
    checks, incidents = chosen([""], "")
    assert (checks, incidents) == (list(CHECKS), list(INCIDENTS))
    checks, incidents = chosen(["t15", " burst", "T4"], "")
    assert [each.name for each in [*checks, *incidents]] == ["burst", "T4", "T15"]


def test_a_name_that_is_not_on_the_programme_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownNameError, match=r"there is no 't99' on the programme: name some of burst, .*T19"):
        chosen(["T99"], "")


def test_a_rival_takes_the_acceptance_tests_from_outside() -> None:
    checks, incidents = chosen([], "rival")
    assert (checks, incidents) == ([], [*ACCEPTANCE, *INCIDENTS])
    assert [each.name for each in ACCEPTANCE] == [each.name for each in CHECKS]
    assert chosen(["burst"], "rival") == ([], [ACCEPTANCE[0]])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "T4"], "add --theatre"), (["--system", "rival"], "add --theatre"),
        (["--theatre", "--only", "T99"], "there is no 't99'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


# --- what is said --------------------------------------------------------------------------------------------


def outcome(name: str, problems: list[str], not_judged: str = "", unjudged: str = "") -> Outcome:
    verdict = Verdict(["it was 3"], {"was": 3}, problems, [unjudged] if unjudged else [])
    return Outcome(BY_NAME[name], verdict, 1.5, not_judged)


def drawn(*outcomes: Outcome, command: str = "") -> str:
    from rich.console import Console

    console = Console(width=160, markup=False)
    with console.capture() as captured:
        console.print(table([], outcomes), summary(command, [], outcomes, 12.0))
    return captured.get()


def test_the_table_says_what_was_done_what_happened_what_is_right_and_the_verdict() -> None:
    said = drawn(outcome("T4", []), outcome("T8", ["6 are left, 10 shown"]), outcome("T13", [], "it takes no facts"))
    for part in (
        "T4", "it was 3", "held", "T8", "6 are left, 10 shown", "FAILED", "T13", "not judged: it takes no facts",
        "this daemon: 1 of 3 held in 12 s; 1 not judged; failed: T8",
    ):  # fmt: skip
        assert part in said


def test_the_document_holds_everything_measured() -> None:
    found = document("", [], [outcome("T4", [], unjudged="the inside"), outcome("T8", ["no"])], 3.0)
    assert not found["ok"]
    assert [each["verdict"] for each in found["incidents"]] == ["held", "failed"]
    assert found["incidents"][0]["not_judged"] == ["the inside"]
    assert found["incidents"][0]["figures"] == {"was": 3}
    assert json.loads(json.dumps(found)) == found


def test_nothing_judged_is_nothing_held() -> None:
    assert not document("rival", [], [outcome("T13", [], "it takes no facts")], 1.0)["ok"]
    assert document("rival", [], [outcome("T13", [], "it takes no facts"), outcome("T4", [])], 1.0)["ok"]


def test_without_an_inside_only_the_outside_is_judged() -> None:
    def object_to_all(evidence: Evidence, verdict: Verdict) -> None:
        verdict.demand(False, "the books are wrong")

    incident = evolve(BY_NAME["T4"], judge=lambda evidence, verdict: verdict.saw("fine"), inside=object_to_all)
    outside, inside = Verdict(), Verdict()
    judge(incident, Evidence({}), outside)
    judge(incident, Evidence({}, inside={}), inside)
    assert (outside.problems, inside.problems) == ([], ["the books are wrong"])
    assert outside.unjudged
    assert not inside.unjudged


# --- what a system is told -----------------------------------------------------------------------------------

TOLD = StageTold(
    "127.0.0.1:1", "/state",
    (StoreTold("market", "http://127.0.0.1:2", "s1", True), StoreTold("outlet", "http://127.0.0.1:3", "s2", False)),
    ("SHIRT",), Timing(feed_lag_s=2.0), {"outlet": 1}, {"SET": {"SHIRT": 2}},
)  # fmt: skip


def test_a_rival_is_told_everything_it_needs() -> None:
    told = TOLD.document()
    assert told["storefronts"][1] == {
        "name": "outlet", "base_url": "http://127.0.0.1:3", "webhook_secret": "s2", "buffer": 1,
        "webhook_url": "http://127.0.0.1:1/webhooks/outlet", "compare_and_set": False,
    }  # fmt: skip
    assert (told["listen"], told["skus"], told["kits"]) == ("127.0.0.1:1", ["SHIRT"], {"SET": {"SHIRT": 2}})
    assert told["timing"]["feed_lag_s"] == 2.0
    assert json.loads(json.dumps(told)) == told


# --- systems that do not get far -----------------------------------------------------------------------------


async def idle(scene: Scene) -> None:
    await trio.lowlevel.checkpoint()


def content(evidence: Evidence, verdict: Verdict) -> None:
    verdict.saw("nothing")


def short(play: Any = idle) -> Incident:
    return Incident("T0", "nothing is done", "nothing happens", Setting({"SHIRT": 3}), play, content)


async def test_a_program_that_cannot_be_started_or_ends_by_itself_fails_with_its_last_words(tmp_path: Path) -> None:
    for name, command, said in (
        ("none", "/no/such/program", "/no/such/program cannot be started: No such file or directory"),
        ("ends", f"{sys.executable} -c 'raise SystemExit(\"so long\")'", "ended by itself: so long"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        found = await play_one(short(), folder, system_maker(command))
        assert found.word == "FAILED"
        assert any(said in problem for problem in found.verdict.problems), found.verdict.problems


@pytest.mark.slow
async def test_an_incident_without_a_place_to_happen_is_not_judged_and_one_that_breaks_off_has_failed(
    tmp_path: Path,
) -> None:
    async def placeless(scene: Scene) -> None:
        raise NotJudgedError("it takes no deliveries")

    async def too_many(scene: Scene) -> None:
        await scene.order("market", ("SHIRT", 99))

    async def broken(scene: Scene) -> None:
        raise ZeroDivisionError

    words = {}
    for name, play in {"held": idle, "placeless": placeless, "refused": too_many, "broken": broken}.items():
        folder = tmp_path / name
        folder.mkdir()
        words[name] = await play_one(short(play), folder, system_maker(RIVAL))
    assert {name: each.word for name, each in words.items()} == {
        "held": "held", "placeless": "not judged", "refused": "FAILED", "broken": "FAILED",
    }  # fmt: skip
    assert "market refused an order" in words["refused"].verdict.problems[0]
    assert "ZeroDivisionError" in words["broken"].verdict.problems[0]


async def told(status: int) -> bool:
    """What comes of telling a rival of a delivery that answers with `status`."""

    class Http:
        async def send(self, request: Request) -> Response:
            return Response(status, {}, b"", 0, 0)

    system = object.__new__(RivalSystem)
    system.told, system.http = TOLD, Http()  # type: ignore[assignment]  # all that telling needs
    return await system.adjust("SHIRT", 5)


async def test_a_rival_that_takes_no_facts_is_told_apart_from_one_that_fails_to() -> None:
    assert [await told(status) for status in (200, 204, 404, 405, 501)] == [True, True, False, False, False]
    for status in (500, 503, 400):
        with pytest.raises(SystemFailedError, match=f"did not take a delivery of SHIRT .*{status}"):
            await told(status)


@pytest.mark.slow
async def test_no_process_is_left_behind(tmp_path: Path) -> None:
    seen: list[int] = []

    async def look(scene: Scene) -> None:
        assert scene.system.process.process is not None
        seen.append(scene.system.process.process.pid)

    await play_one(short(look), tmp_path, system_maker(RIVAL))
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


# --- for real ------------------------------------------------------------------------------------------------


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.slow
async def test_naive_rivals_fail_named_incidents_and_this_daemon_holds_in_all_of_them(tmp_path: Path) -> None:
    programme = SLICE | {"": tuple(name for names in SLICE.values() for name in names)}
    played: dict[str, dict[str, Outcome]] = {}

    async def play(command: str, folder: Path) -> None:
        incidents = [BY_NAME[name] for name in programme[command]]
        outcomes = await Troupe(system_maker(command), at_once=3).play(incidents, fresh(folder))
        played[command] = {each.incident.name: each for each in outcomes}

    async with trio.open_nursery() as nursery:
        for number, command in enumerate(programme):
            nursery.start_soon(play, command, tmp_path / str(number))
    own = {name: each.verdict.problems for name, each in played[""].items()}
    assert not any(own.values()), own
    for rival, names in SLICE.items():
        assert {name: each.word for name, each in played[rival].items()} == dict.fromkeys(names, "FAILED")
    assert any("over a sale that nobody had seen" in said for said in played[RIVAL]["T15"].verdict.problems)
    assert played[RIVAL]["T13"].verdict.unjudged
    assert not played[""]["T13"].verdict.unjudged


def test_what_people_told_counts_as_true() -> None:
    ledger = {"skus": {"SHIRT": {"initial": 3, "quantity": 3, "listing": "L"}}, "orders": [], "order_changes": []}
    evidence = Evidence({"market": ledger}, [Fact(10, "SHIRT", 5), Fact(20, "SHIRT", -1)])
    assert [evidence.truth("SHIRT", at_us) for at_us in (9, 10, 20)] == [3, 8, 7]
