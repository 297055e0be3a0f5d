"""Access tokens: asked for once for all who wait, in time, once more where refused, and never lost by rotating."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from daemon.domain.access import Token, TokenSource
from daemon.domain.channel import Rarely, Traits
from daemon.domain.exchange import Exchange, NoAnswer, Reply, Request, Response
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.policy import Policy
from daemon.outbound.account import Account
from daemon.outbound.tokens import ASK_S, BACKOFF, DISTRUST_S, Vault
from tests.outbound.twin import wall_us

LIFE_S = 1_000.0


def place(request: Request, token: str) -> Request:
    return evolve(request, secret_headers={**request.secret_headers, "authorization": f"Bearer {token}"})


@define
class Platform(Rarely):
    """An adapter and its platform in one. Tokens are `a1`, `a2`, …; refresh tokens `r1`, `r2`, …"""

    rotates: bool = False
    early_s: float = 300.0
    life_s: float | None = LIFE_S
    takes_s: float = 1.0
    trouble: Any = None
    """What the token endpoint answers instead of a token."""
    good: set[str] = field(factory=set)
    refresh: str = ""
    spent: list[str] = field(factory=list)
    """The refresh tokens that were used, in order."""
    calls: list[str] = field(factory=list)
    """The access tokens that came with calls, in order."""
    given: int = 0
    traits: Traits = field(factory=lambda: Traits(rate_per_s=1_000.0, burst=1_000))

    @property
    def tokens(self) -> tuple[TokenSource, ...]:  # type: ignore[override]  # as good as the attribute
        return (TokenSource("main", self.ask, place, refresh=self.refresh, early_s=self.early_s),)

    def ask(self, refresh: str) -> Exchange[Token | Failure]:
        response = yield Request("POST", "token", {"refresh": refresh})
        if response.status != 200:
            return Failure(Outcome("permanent" if response.status == 400 else "transient", "the endpoint said no"))
        value, new = response.body.decode().split()
        return Token(value, self.life_s, new if self.rotates else "")

    async def send(self, request: Request) -> Reply:
        await trio.sleep(self.takes_s)
        if request.url == "token":
            if self.trouble is not None:
                return self.trouble  # type: ignore[no-any-return]  # a reply
            self.spent.append(request.headers["refresh"])
            self.given += 1
            self.good = {f"a{self.given}"}
            return Response(200, {}, f"a{self.given} r{self.given}".encode())
        token = request.secret_headers["authorization"].removeprefix("Bearer ")
        self.calls.append(token)
        return Response(200 if token in self.good else 401, {}, b"")

    async def aclose(self) -> None: ...


@define
class Shelf:
    """A vault in memory that can refuse, and says when."""

    held: dict[str, str] = field(factory=dict)
    trouble: str = ""
    log: list[str] = field(factory=list)
    on_keep: Callable[[], None] = lambda: None

    def kept(self, name: str, configured: str) -> str:
        return self.held.get(name, configured)

    async def keep(self, name: str, configured: str, refresh: str) -> str:
        await trio.sleep(0.1)
        self.on_keep()
        self.log.append(refresh)
        if not self.trouble:
            self.held[name] = refresh
        return self.trouble


def account(
    platform: Platform, vault: Vault | None = None, told: list[str] | None = None, gone: list[str] | None = None
) -> Account:
    adapter: Any = platform
    given: dict[str, Any] = {} if vault is None else {"vault": vault}
    if told is not None:
        given["protect"] = told.append
    if gone is not None:
        given["replaced"] = gone.append
    return Account("shop", adapter, platform, Policy(), wall_us, lambda: "nonce-0123456789", **given)


def call(token: str = "main") -> Exchange[int]:
    response = yield Request("GET", "call", token=token)
    return response.status


async def test_many_calls_share_one_token_and_one_asking(autojump_clock: MockClock) -> None:
    platform, told = Platform(), list[str]()
    mine = account(platform, told=told)
    found: list[Any] = []

    async def one() -> None:
        found.append(await mine.converse(call()))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert found == [200] * 20
    assert (platform.given, platform.spent) == (1, [""])
    assert told == ["a1"]


@pytest.mark.parametrize(("early_s", "renewed_after_s"), [(100.0, 900.0), (300.0, 800.0)])
async def test_a_token_is_renewed_before_its_end_but_not_all_the_time(
    early_s: float, renewed_after_s: float, autojump_clock: MockClock
) -> None:
    platform = Platform(early_s=early_s, takes_s=0)
    mine = account(platform)
    assert await mine.converse(call()) == 200
    await trio.sleep(renewed_after_s - 1)
    assert await mine.converse(call()) == 200
    assert platform.given == 1
    await trio.sleep(1)
    assert await mine.converse(call()) == 200
    assert platform.given == 2


async def test_a_token_without_an_end_is_kept(autojump_clock: MockClock) -> None:
    platform = Platform(life_s=None)
    mine = account(platform)
    for _ in range(3):
        assert await mine.converse(call()) == 200
        await trio.sleep(86_000)
    assert platform.given == 1


async def test_a_refused_token_is_replaced_once_for_all_who_meet_the_refusal(autojump_clock: MockClock) -> None:
    platform = Platform()
    mine = account(platform)
    assert await mine.converse(call()) == 200
    platform.good = set()  # revoked
    found: list[Any] = []

    async def one() -> None:
        found.append(await mine.converse(call()))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one)
    assert found == [200] * 5
    assert platform.given == 2


async def test_a_platform_that_refuses_what_it_just_gave_is_left_alone_for_a_while(autojump_clock: MockClock) -> None:
    platform = Platform()
    mine = account(platform)

    def spoil() -> Exchange[int]:
        platform.good = set()
        response = yield Request("GET", "call", token="main")
        return response.status

    original = platform.send

    async def send(request: Request) -> Reply:
        reply = await original(request)
        platform.good = set()
        return reply

    mine.http = type("Line", (), {"send": staticmethod(send)})()
    assert await mine.converse(call()) == 401  # the adapter hears it, once two tokens were refused
    assert platform.given == 2
    answer = await mine.converse(call())
    assert isinstance(answer, NoAnswer)
    assert not answer.reached
    assert answer.reason == "the platform refuses the very access token that it gave"
    assert platform.given == 2
    mine.http = platform
    await trio.sleep(DISTRUST_S)
    assert await mine.converse(call()) == 200


@pytest.mark.parametrize(
    "trouble", [NoAnswer("time-out", reached=True), Response(503, {}, b""), Response(400, {}, b"")]
)
async def test_a_failed_asking_is_shared_and_not_repeated_at_once(trouble: Any, autojump_clock: MockClock) -> None:
    platform = Platform(trouble=trouble)
    mine = account(platform)
    asked = 0
    original = platform.send

    async def send(request: Request) -> Reply:
        nonlocal asked
        asked += 1
        return await original(request)

    mine.http = type("Line", (), {"send": staticmethod(send)})()
    for _ in range(50):
        answer = await mine.converse(call())
        assert isinstance(answer, NoAnswer)
        assert not answer.reached  # nothing was sent: a push may be repeated
        assert answer.reason.startswith("no access token: ")
    assert asked == 1
    platform.trouble = None
    await trio.sleep(BACKOFF.most_s)
    assert await mine.converse(call()) == 200


async def test_a_failing_renewal_lets_the_present_token_live_to_its_end(autojump_clock: MockClock) -> None:
    platform = Platform(takes_s=0)
    mine = account(platform)
    assert await mine.converse(call()) == 200
    platform.trouble = Response(503, {}, b"")
    await trio.sleep(LIFE_S - 1)
    assert await mine.converse(call()) == 200
    await trio.sleep(2)
    assert isinstance(await mine.converse(call()), NoAnswer)


async def test_a_missing_token_in_the_middle_of_a_conversation_leaves_open_what_was_done(
    autojump_clock: MockClock,
) -> None:
    platform = Platform(trouble=Response(503, {}, b""))
    mine = account(platform)

    def both() -> Exchange[int]:
        yield Request("GET", "call", secret_headers={"authorization": "Bearer other"})
        response = yield Request("GET", "call", token="main")
        return response.status

    answer = await mine.converse(both())
    assert isinstance(answer, NoAnswer)
    assert answer.reached


async def test_an_unknown_token_is_said_so() -> None:
    answer = await account(Platform(takes_s=0)).converse(call("other"))
    assert isinstance(answer, NoAnswer)
    assert "'other'" in answer.reason


# --- refresh tokens -------------------------------------------------------------------------------------------


async def test_a_new_refresh_token_is_kept_before_anything_of_it_is_used(autojump_clock: MockClock) -> None:
    platform, told = Platform(rotates=True, refresh="r0"), list[str]()
    shelf = Shelf(on_keep=lambda: told.append(f"calls before: {len(platform.calls)}"))
    mine = account(platform, shelf, told)
    for _ in range(3):
        assert await mine.converse(call()) == 200
        await trio.sleep(LIFE_S)
    assert platform.spent == ["r0", "r1", "r2"]
    assert shelf.log == ["r1", "r2", "r3"]
    assert told == ["r0", "a1", "r1", "calls before: 0", "a2", "r2", "calls before: 1", "a3", "r3", "calls before: 2"]


async def test_what_was_replaced_is_said_but_never_what_is_configured(autojump_clock: MockClock) -> None:
    platform, gone = Platform(rotates=True, refresh="r0"), list[str]()
    mine = account(platform, Shelf(), gone=gone)
    for _ in range(3):
        assert await mine.converse(call()) == 200
        platform.good = set()  # refused before its end
        assert await mine.converse(call()) == 200
        await trio.sleep(LIFE_S)
    assert gone == ["r1", "a1", "r2", "a2", "r3", "a3", "r4", "a4", "r5", "a5"]


async def test_a_refresh_token_that_stays_is_used_again_and_kept_nowhere(autojump_clock: MockClock) -> None:
    platform, shelf = Platform(refresh="r0"), Shelf()
    mine = account(platform, shelf)
    for _ in range(3):
        assert await mine.converse(call()) == 200
        await trio.sleep(LIFE_S)
    assert platform.spent == ["r0"] * 3
    assert shelf.log == []


async def test_after_a_restart_the_newest_refresh_token_is_used(autojump_clock: MockClock) -> None:
    platform, shelf = Platform(rotates=True, refresh="r0"), Shelf()
    assert await account(platform, shelf).converse(call()) == 200
    assert await account(platform, shelf).converse(call()) == 200
    assert platform.spent == ["r0", "r1"]


async def test_what_cannot_be_kept_is_not_used_and_not_asked_for_again(autojump_clock: MockClock) -> None:
    platform, shelf = Platform(rotates=True, refresh="r0"), Shelf(trouble="the disk is full")
    mine = account(platform, shelf)
    for _ in range(4):
        answer = await mine.converse(call())
        assert isinstance(answer, NoAnswer)
        assert "cannot be kept" in answer.reason
        assert "the disk is full" in answer.reason
        await trio.sleep(BACKOFF.most_s)
    assert platform.calls == []
    assert platform.spent == ["r0"]  # the answer in hand is the only one there is
    shelf.trouble = ""
    assert await mine.converse(call()) == 200
    assert (platform.spent, shelf.held) == (["r0"], {"main": "r1"})


async def test_a_stop_in_the_middle_of_a_renewal_does_not_lose_the_new_refresh_token(
    autojump_clock: MockClock,
) -> None:
    platform, shelf = Platform(rotates=True, refresh="r0"), Shelf()
    mine = account(platform, shelf)
    with trio.move_on_after(0.5):
        await mine.converse(call())
    assert shelf.held == {"main": "r1"}
    assert trio.current_time() < ASK_S
    assert platform.calls == []


async def test_an_endless_renewal_ends(autojump_clock: MockClock) -> None:
    platform = Platform(rotates=True, refresh="r0", takes_s=10_000)
    answer = await account(platform, Shelf()).converse(call())
    assert isinstance(answer, NoAnswer)
    assert answer.reason == f"no access token within {ASK_S:.0f} s"
    assert trio.current_time() == pytest.approx(ASK_S)
