"""A channel's webhook subscriptions: what is there, what is missing or switched off, and putting it right.

A platform that switched a subscription off tells nobody: so it is looked at every hour, and whenever webhooks seem
to be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from daemon.domain.channel import Webhook
from daemon.domain.exchange import NoAnswer
from daemon.domain.outcomes import Failure
from daemon.outbound.account import Account

CHECK_S = 3600.0
RETRY_S = 60.0


@define(eq=False)
class Subscriptions:
    """The subscriptions of one channel. `url` is where the channel reaches us; "" means that a person subscribes."""

    account: Account
    url: str
    registered: Callable[[str], None]
    found_disabled: Callable[[str, str], None]
    failed: Callable[[str], None]
    disabled: Callable[[str], None] = lambda topic: None  # noqa: ARG005 - a silent default
    """Told each topic that the channel had switched off, before it is put right."""
    checked: Callable[[frozenset[str], Sequence[str]], None] = lambda active, done: None  # noqa: ARG005 - as above
    """Told the topics that are subscribed now, and what was done for that."""
    broken: str = ""
    _had: set[str] = field(factory=set)
    """The topics that were subscribed when it was looked at last."""
    _poked: trio.Event = field(factory=trio.Event)

    def poke(self) -> None:
        """Check soon."""
        self._poked.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check and repair every hour, for ever. For platforms without registration it does nothing."""
        task_status.started()
        if not self.account.adapter.traits.registers_webhooks or not self.url:
            await trio.sleep_forever()
        while True:
            # In shadow a person says when: a subscription may take the place of another tool's.
            result = [] if self.account.shadow else await self.repair()
            error = result if isinstance(result, str) else ""
            if error and error != self.broken:
                self.failed(error)
            self.broken = error
            with trio.move_on_after(RETRY_S if error else CHECK_S):
                await self._poked.wait()
            self._poked = trio.Event()

    async def listed(self) -> list[Webhook] | str:
        """The subscriptions at the channel, or why they cannot be read."""
        if not self.account.adapter.traits.registers_webhooks:
            return []
        answer = await self.account.converse(self.account.adapter.webhooks())
        return answer.reason if isinstance(answer, (NoAnswer, Failure)) else list(answer)

    def hindrance(self) -> str:
        """Why nothing can be registered, without asking the channel; empty if it can be tried."""
        if not self.account.adapter.traits.registers_webhooks:
            return f"{self.account.name}: this platform's webhooks are set up at the platform, not by onhand"
        if not self.url:
            return "set public_url in the configuration, so that the channel knows where to send webhooks"
        return ""

    async def repair(self, *, asked: bool = False) -> list[str] | str:
        """Make what is missing and switch on what is off; what was done, or why it failed. asked: by a person,
        so that it is done in shadow, too."""
        if hindrance := self.hindrance():
            return hindrance
        present = await self.listed()
        if isinstance(present, str):
            return present
        mine = {hook.topic: hook for hook in present if hook.url == self.url}
        done = []
        for topic in self.account.adapter.wanted_topics():
            hook = mine.get(topic)
            if hook is not None and hook.state == "active":
                continue
            if hook is not None or topic in self._had:
                self.found_disabled(topic, hook.state if hook is not None else "gone")
                self.disabled(topic)
            exchange = self.account.adapter.register(topic, self.url, hook)
            answer = await self.account.change(exchange, asked=asked)
            if isinstance(answer, (NoAnswer, Failure)):
                return f"{topic}: {answer.reason}"
            self.registered(topic)
            self._had.add(topic)
            done.append(f"{topic}: {'switched on again' if hook else 'subscribed'}")
        self._had = set(self.account.adapter.wanted_topics())
        self.checked(frozenset(self._had), done)
        return done
