"""Alarms reach who wants to be told: once each, in order, over failures, kills and restarts; and no sale waits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
from attrs import define, evolve, field
from trio.testing import MockClock

from daemon.app.telling import ATTEMPTS_MAX, PAUSE_S, Teller
from daemon.config_alarms import AlarmTargets, CommandTarget, WebhookTarget
from daemon.credentials import SecretRef
from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.outbound.alarm_targets import Told
from daemon.ports import FileContents, Ran
from daemon.storage import tellings
from daemon.storage.alarms import Alarm
from daemon.storage.tellings import Telling, Tellings
from daemon.telemetry import Telemetry
from tests.reconcile.mall import Mall, Rules, now_us, opened, play
from tests.storage import rooms

ALARM = Alarm("breaker_open", "shop", "", "it is down", 1_000_000, 1_500_000, 1)


@define
class Ear:
    """A target that answers as it is told to, and takes its time."""

    fails: Callable[[int], bool] = lambda _: False
    takes_s: float = 0.0
    heard: list[Telling] = field(factory=list)
    at: list[float] = field(factory=list)

    async def tell(self, telling: Telling) -> Told:
        self.heard.append(telling)
        self.at.append(trio.current_time())
        await trio.sleep(self.takes_s)
        return Told("it is out", "no such pager") if self.fails(len(self.heard)) else Told(said="thanks")

    async def aclose(self) -> None: ...


def told(directory: Path, ear: Ear, main: Callable[[Teller], Any], lines: list[dict[str, Any]] | None = None) -> None:
    """Run `main` beside a teller of `ear`, on a clock that jumps."""

    async def run() -> None:
        async with rooms.opened(directory) as store, trio.open_nursery() as nursery:
            said = [] if lines is None else lines
            telemetry = Telemetry(wall_us=now_us, write_line=lambda line: said.append(json.loads(line)))
            teller = Teller("command", ear, Tellings(store), store, telemetry, random.Random(1), now_us)
            nursery.start_soon(teller.run)
            await main(teller)
            nursery.cancel_scope.cancel()

    trio.run(run, clock=MockClock(autojump_threshold=0))


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [each["event"] for each in lines]


def test_each_is_told_once_in_its_order(tmp_path: Path) -> None:
    ear, lines = Ear(), list[dict[str, Any]]()

    async def main(teller: Teller) -> None:
        teller.add("raised", ALARM)
        await trio.sleep(1)
        teller.add("cleared", evolve(ALARM, count=7))
        await trio.sleep(20_000)
        assert (teller.told, teller.tellings.waiting("command")) == (2, 0)

    told(tmp_path, ear, main, lines)
    assert [(each.state, each.count) for each in ear.heard] == [("raised", 1), ("cleared", 7)]
    assert events(lines) == ["alarm.told", "alarm.told"]
    assert (lines[0]["condition"], lines[0]["channel"], lines[0]["said"]) == ("breaker_open", "shop", "thanks")


def test_a_target_that_fails_is_said_once_and_tried_ever_more_seldom_until_it_works(tmp_path: Path) -> None:
    ear, lines = Ear(fails=lambda attempt: attempt < 8), list[dict[str, Any]]()

    async def main(teller: Teller) -> None:
        teller.add("raised", ALARM)
        await trio.sleep(10)
        report = teller.report()
        assert (report.waiting, report.told, report.last_error) == (1, 0, "it is out")
        assert report.failing_since_us
        teller.add("cleared", ALARM)  # news is no reason to hurry a target that fails
        await trio.sleep(3_600)
        report = teller.report()
        assert (report.waiting, report.told, report.failing_since_us, report.last_error) == (0, 2, 0, "")

    told(tmp_path, ear, main, lines)
    assert [each.state for each in ear.heard] == ["raised"] * 8 + ["cleared"]
    gaps = [later - earlier for earlier, later in zip(ear.at[:8], ear.at[1:8], strict=False)]
    for place, gap in enumerate(gaps):
        assert PAUSE_S[0] * 2**place / 2 <= gap <= PAUSE_S[0] * 2**place
    assert events(lines) == ["alarm.target_failed", "alarm.target_recovered", "alarm.told", "alarm.told"]
    assert (lines[0]["error"], lines[0]["said"]) == ("it is out", "no such pager")


def test_what_is_never_taken_is_given_up_after_about_an_hour_logged_and_counted(tmp_path: Path) -> None:
    ear, lines = Ear(fails=lambda attempt: attempt <= ATTEMPTS_MAX), list[dict[str, Any]]()

    async def main(teller: Teller) -> None:
        teller.add("raised", ALARM)
        teller.add("cleared", ALARM)
        await trio.sleep(20_000)
        assert (teller.told, teller.lost, teller.tellings.waiting("command")) == (1, 1, 0)

    told(tmp_path, ear, main, lines)
    assert [each.state for each in ear.heard] == ["raised"] * ATTEMPTS_MAX + ["cleared"]
    assert 1_800 < ear.at[ATTEMPTS_MAX - 1] < 7_200
    given_up = next(each for each in lines if each["event"] == "alarm.not_told")
    assert (given_up["state"], given_up["severity"]) == ("raised", "error")


def test_more_than_can_wait_is_logged_and_counted_and_the_newest_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tellings, "WAITING_MAX", 20)
    ear, lines = Ear(takes_s=5.0), list[dict[str, Any]]()

    async def main(teller: Teller) -> None:
        for number in range(30):
            teller.add("raised", evolve(ALARM, subject=str(number)))
            await trio.lowlevel.checkpoint()
        assert teller.lost == 10
        await trio.sleep(10_000)
        assert teller.tellings.waiting("command") == 0

    told(tmp_path, ear, main, lines)
    assert [each.subject for each in ear.heard][-20:] == [str(number) for number in range(10, 30)]
    assert events(lines).count("alarm.not_told") == 10


# --- the whole daemon -----------------------------------------------------------------------------------------

STOCK = {"MUG": 20, "CUP": 20}
NAMES = ("shop", "site")


@define
class Outside:
    """A webhook and a pager, as ports see them."""

    posts: list[Request] = field(factory=list)
    runs: list[dict[str, Any]] = field(factory=list)
    down: bool = False
    takes_s: float = 0.1

    async def send(self, request: Request) -> Reply:
        await trio.sleep(self.takes_s)
        if self.down:
            return NoAnswer("it does not answer", reached=False)
        self.posts.append(request)
        return Response(200, {}, b"")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def run(self, argv: Sequence[str], told: bytes, *, timeout_s: float, output_max: int) -> Ran:
        await trio.sleep(self.takes_s)
        if self.down:
            raise OSError(2, "No such file or directory", argv[0])
        self.runs.append(json.loads(told))
        return Ran(0, b"paged")

    def told(self) -> list[tuple[str, str]]:
        """What the webhook was told, in its order."""
        return [(each["state"], each["condition"]) for each in (json.loads(post.body) for post in self.posts)]


TARGETS = AlarmTargets(
    WebhookTarget("https://hooks.example.com/x", SecretRef("file", "/etc/key")), CommandTarget(("/bin/page",))
)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    """Every mall has both targets."""
    there = Outside()
    plain_config, plain_ports = Mall._config, Mall._ports

    def ports(mall: Mall) -> Any:
        plain = plain_ports(mall)

        def open_http(target: Any) -> Any:
            if target.channel != "alarm webhook":
                return plain.open_http(target)
            assert target.hosts == {"hooks.example.com"}
            assert not target.allow_plain
            assert not target.allow_private
            return there

        key = FileContents(b"whsec_AAECAwQFBgcICQoLDA0ODw==\n", 0o600)
        return evolve(plain, open_http=open_http, run_program=there.run, read_file=lambda *_: key)

    monkeypatch.setattr(Mall, "_ports", ports)
    monkeypatch.setattr(Mall, "_config", lambda mall: evolve(plain_config(mall), alarms=TARGETS))
    return there


def raised(mall: Mall) -> None:
    """A condition of somebody's."""
    assert mall.daemon is not None
    mall.daemon.parts.alarms.raised("mass_change", "shop", "Jane Doe, 1 Main Street", "A/1")


def cleared(mall: Mall) -> None:
    """It is over."""
    assert mall.daemon is not None
    mall.daemon.parts.alarms.cleared("mass_change", "shop", "A/1")


def test_both_targets_hear_of_an_alarm_once_over_restarts_and_kills(tmp_path: Path, outside: Outside) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            for _ in range(5):
                raised(mall)
                await trio.sleep(30)
            assert outside.told() == [("raised", "mass_change")]
            assert [each["state"] for each in outside.runs] == ["raised"]
            await mall.restart()
            await trio.sleep(300)
            await mall.crash()
            raised(mall)
            await trio.sleep(300)
            assert len(outside.posts) == len(outside.runs) == 1
            cleared(mall)
            await trio.sleep(30)
            assert outside.told() == [("raised", "mass_change"), ("cleared", "mass_change")]
            assert "webhook-signature" in outside.posts[0].secret_headers
            assert outside.runs[0] == json.loads(outside.posts[0].body)
            assert outside.runs[0]["id"] == outside.posts[0].headers["webhook-id"] != outside.runs[1]["id"]
            assert not any(b"Jane" in post.body for post in outside.posts)
            _, status = await mall.ask("/v1/status")
            assert [(each["target"], each["told"], each["failing_since"]) for each in status["alarm_targets"]] == [
                ("webhook", 1, None),
                ("command", 1, None),
            ]

    play(main)


def test_what_a_kill_left_untold_is_told_after_it_under_the_same_id(tmp_path: Path, outside: Outside) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            outside.down = True
            raised(mall)
            cleared(mall)
            await trio.sleep(60)
            _, status = await mall.ask("/v1/status")
            for each in status["alarm_targets"]:
                assert (each["waiting"], each["told"]) == (2, 0)
                assert each["failing_since"]
                assert each["last_error"]
            assert status["alarms"] == []  # a target that fails is no alarm: who could be told of it?
            await mall.crash()
            outside.down = False
            await trio.sleep(30)
            assert outside.told() == [("raised", "mass_change"), ("cleared", "mass_change")]
            assert [each["state"] for each in outside.runs] == ["raised", "cleared"]

    play(main)


def test_no_sale_waits_for_a_target_that_hangs(tmp_path: Path, outside: Outside) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            outside.takes_s = 1e9
            raised(mall)
            await trio.sleep(60)
            mall.sell("shop", "MUG", 1)
            await trio.sleep(2)
            assert mall.shown("site", "MUG") == 19
            began = trio.current_time()
            await mall.restart()  # and it does not hold up an orderly stop
            assert trio.current_time() - began < 10

    play(main)


def test_a_secret_that_cannot_be_had_stops_the_webhook_and_nothing_else(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Mall._config
    nowhere = WebhookTarget("https://hooks.example.com/x", SecretRef("env", "ALARM_KEY"))
    monkeypatch.setattr(Mall, "_config", lambda mall: evolve(config(mall), alarms=evolve(TARGETS, webhook=nowhere)))

    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            raised(mall)
            await trio.sleep(30)
            _, status = await mall.ask("/v1/status")
            webhook, command = status["alarm_targets"]
            assert webhook["last_error"].startswith("alarms.webhook.secret: the environment variable ALARM_KEY")
            assert (webhook["waiting"], command["told"], status["ready"]) == (1, 1, True)

    play(main)
