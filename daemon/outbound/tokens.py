"""The access tokens of one account: asked for once for all who wait, renewed in time, and once more where refused.

A refresh token that the platform replaced is durable before anything that came with it is used: with the old one
gone and the new one lost, only a person could let us in again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import trio
from attrs import define, field

from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, NoAnswer
from daemon.domain.outcomes import Failure
from daemon.domain.retry import Backoff

LIFE_PART = 0.8
"""A token is renewed no earlier than after this part of its life: a short one would be renewed for ever."""

ASK_S = 20.0
"""The most that asking for a token may take, its whole conversation and what is kept of it."""

DISTRUST_S = 60.0
"""A platform that refuses the token it has just given is not asked for another one so long."""

BACKOFF = Backoff(1.0, 300.0, 0)
"""After a failure nobody asks again so soon; whoever needs the token meanwhile hears the same failure."""


class Vault(Protocol):
    """Where refresh tokens survive that the platform replaced."""

    def kept(self, name: str, configured: str) -> str:
        """The newest refresh token that grew out of the `configured` one; itself where there is none.

        May be called before the loop runs. A person who configures a new one thereby ends all that came before.
        """
        ...

    async def keep(self, name: str, configured: str, refresh: str) -> str:
        """Make it durable; "" once it is, else the reason."""
        ...


class NoVault:
    """Keeps nothing: for accounts whose refresh tokens stay as they were configured."""

    def kept(self, name: str, configured: str) -> str:  # noqa: ARG002  # see Vault
        return configured

    async def keep(self, name: str, configured: str, refresh: str) -> str:  # noqa: ARG002  # as above
        return "there is no place to keep refresh tokens"


Ask = Callable[[Exchange[Token | Failure]], Awaitable[Token | Failure | NoAnswer]]


@define(eq=False)
class _Held:
    """One source's token. Times are Trio's clock."""

    source: TokenSource
    refresh: str = field(repr=False)
    value: str = field(default="", repr=False)
    renew_at: float = 0.0
    ends_at: float = 0.0
    unkept: Token | None = field(default=None, repr=False)
    """It came with a new refresh token that is not durable yet: not to be used."""
    former: str = field(default="", repr=False)
    """The last token that was given, good or not."""
    failures: int = 0
    ask_at: float = 0.0
    """Not before this may the platform be asked again."""
    reason: str = ""
    turn: trio.Lock = field(factory=trio.Lock)

    def fresh(self, now: float) -> bool:
        return bool(self.value) and now < self.renew_at

    def good(self, now: float) -> bool:
        return bool(self.value) and now < self.ends_at


@define(eq=False)
class Tokens:
    """The tokens of one account. `get` and `refused` are all that its calls need."""

    ask: Ask
    vault: Vault = field(factory=NoVault)
    protect: Callable[[str], None] = lambda secret: None  # noqa: ARG005  # nobody writes a log
    replaced: Callable[[str], None] = lambda secret: None  # noqa: ARG005  # as above
    _held: dict[str, _Held] = field(factory=dict)

    def open(self, sources: Iterable[TokenSource]) -> None:
        """Take up the sources of an adapter, each with its newest refresh token."""
        for source in sources:
            newest = self.vault.kept(source.name, source.refresh) if source.refresh else ""
            if newest:
                self.protect(newest)
            self._held[source.name] = _Held(source, newest)

    @property
    def sources(self) -> Mapping[str, TokenSource]:
        return {name: held.source for name, held in self._held.items()}

    async def get(self, name: str) -> str | NoAnswer:
        """A token that is good now; NoAnswer (nothing was sent) where none can be had."""
        held = self._held.get(name)
        if held is None:
            return NoAnswer(f"the adapter names a token {name!r} that it does not describe", reached=False)
        if held.fresh(trio.current_time()):
            return held.value
        async with held.turn:
            now = trio.current_time()
            if not held.fresh(now):
                if held.ask_at <= now:
                    await self._renew(held)
                now = trio.current_time()
            if held.good(now):
                return held.value
            return NoAnswer(held.reason or "there is no access token", reached=False)

    def refused(self, name: str, value: str) -> None:
        """The platform does not take this very token any more: the next `get` asks for another."""
        held = self._held[name]
        if held.value == value:
            held.value, held.renew_at, held.ends_at = "", 0.0, 0.0

    def distrust(self, name: str, value: str) -> None:
        """The platform refused a token that it had given just now: asking again and again would not help."""
        self.refused(name, value)
        held = self._held[name]
        held.reason = "the platform refuses the very access token that it gave"
        held.ask_at = trio.current_time() + DISTRUST_S

    async def _renew(self, held: _Held) -> None:
        # Shielded where the answer may hold the only refresh token that there will be.
        with trio.move_on_after(ASK_S, shield=bool(held.refresh)) as patience:
            if held.unkept is None:
                answer = await self.ask(held.source.ask(held.refresh))
                if not isinstance(answer, Token):
                    lasting = isinstance(answer, Failure) and answer.outcome.kind == "permanent"
                    self._failed(held, f"no access token: {answer.reason}", lasting=lasting)
                    return
                self._protect(held, answer)
                held.unkept = answer
            await self._use(held, held.unkept)
        if patience.cancelled_caught:
            self._failed(held, f"no access token within {ASK_S:.0f} s", lasting=False)

    def _protect(self, held: _Held, token: Token) -> None:
        for secret in (token.value, token.refresh):
            if secret and secret not in (held.value, held.refresh):
                self.protect(secret)

    async def _use(self, held: _Held, token: Token) -> None:
        if token.refresh and token.refresh != held.refresh:
            why = await self.vault.keep(held.source.name, held.source.refresh, token.refresh)
            if why:
                self._failed(held, f"the new refresh token cannot be kept, so nothing is done with it: {why}")
                return
            if held.refresh != held.source.refresh:
                self.replaced(held.refresh)
            held.refresh = token.refresh
        if held.former and held.former != token.value:
            self.replaced(held.former)
        held.former = token.value
        held.unkept = None
        held.failures, held.reason, held.ask_at = 0, "", 0.0
        life_s = float("inf") if token.lives_s is None else max(0.0, token.lives_s)
        now = trio.current_time()
        held.value, held.ends_at = token.value, now + life_s
        held.renew_at = now + max(life_s - held.source.early_s, life_s * LIFE_PART)

    def _failed(self, held: _Held, reason: str, *, lasting: bool = False) -> None:
        held.failures += 1
        wait_s = min(BACKOFF.most_s, BACKOFF.first_s * 2.0 ** min(held.failures - 1, 20))
        held.ask_at = trio.current_time() + (BACKOFF.most_s if lasting else wait_s)
        held.reason = reason
