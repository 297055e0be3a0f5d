"""A channel's webhook subscriptions: what is there, what is missing or switched off, and putting it right.

A platform that switched a subscription off tells nobody: so it is looked at every hour.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define

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
    broken: str = ""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check and repair every hour, for ever. For platforms without registration it does nothing."""
        task_status.started()
        if not self.account.adapter.traits.registers_webhooks or not self.url:
            await trio.sleep_forever()
        while True:
            result = await self.repair()
            error = result if isinstance(result, str) else ""
            if error and error != self.broken:
                self.failed(error)
            self.broken = error
            await trio.sleep(RETRY_S if error else CHECK_S)

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

    async def repair(self) -> list[str] | str:
        """Make what is missing and switch on what is off; what was done, or why it failed."""
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
            if hook is not None:
                self.found_disabled(topic, hook.state)
            answer = await self.account.converse(self.account.adapter.register(topic, self.url, hook))
            if isinstance(answer, (NoAnswer, Failure)):
                return f"{topic}: {answer.reason}"
            self.registered(topic)
            done.append(f"{topic}: {'switched on again' if hook else 'subscribed'}")
        return done
