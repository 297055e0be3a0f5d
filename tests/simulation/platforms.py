"""Platforms that the sandbox is not by itself: one that takes webhook subscriptions over its API and may silently
switch them off, and one without compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import define, evolve, field

import adapters.sandbox
from adapters.sandbox_answers import refused
from adapters.storefront import StoreReply
from adapters.storefront.reply import answer
from daemon.domain.channel import Push, Setup, Webhook
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

if TYPE_CHECKING:
    from tests.simulation.fronts import Front

PUBLIC_URL = "https://onhand.test"


@define
class Desk:
    """The storefront's side."""

    front: Front
    hooks: dict[str, Webhook] = field(factory=dict)

    def serve(self, method: str, body: bytes) -> StoreReply:
        if method == "POST":
            asked = msgspec.json.decode(body)
            self.hooks[asked["topic"]] = Webhook(asked["topic"], asked["url"], "active", asked["topic"])
            if self.front.muted:
                self.front.muted = False
                self.front.world.fault("webhooks switched on again by the daemon")
        return answer([[each.topic, each.url, each.state, each.webhook_id] for each in self.hooks.values()])

    def switch_off(self) -> None:
        """From now on nothing is sent, and nobody is told."""
        self.hooks = {
            topic: Webhook(topic, each.url, "disabled", each.webhook_id) for topic, each in self.hooks.items()
        }


class SubscribingAdapter(adapters.sandbox.SandboxAdapter):
    """The sandbox as a platform that takes subscriptions over its API."""

    def wanted_topics(self) -> tuple[str, ...]:
        return ("everything",)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        response = yield self._request("GET", "/subscriptions", {})
        return _hooks(response)

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        body = msgspec.json.encode({"topic": topic, "url": url})
        response = yield self._request("POST", "/subscriptions", {}, body)
        found = _hooks(response)
        return found if isinstance(found, Failure) else found[0]


def _hooks(response: Response) -> tuple[Webhook, ...] | Failure:
    if response.status != 200:
        return Failure(refused(response, writing=False))
    rows: list[list[Any]] = msgspec.json.decode(response.body)
    return tuple(Webhook(*row) for row in rows)


class BlindAdapter(adapters.sandbox.SandboxAdapter):
    """The sandbox as a platform that knows no compare-and-set."""

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        return super().push([Push(push.listing, push.level, None, push.generation) for push in batch], key)


def blind(setup: Setup) -> BlindAdapter:
    """Build the blind one."""
    made = adapters.sandbox.PLATFORM.build(setup)
    assert isinstance(made, adapters.sandbox.SandboxAdapter)
    return BlindAdapter(made.base_url, evolve(made.traits, compare_and_set=False))


def subscribing(setup: Setup) -> SubscribingAdapter:
    """Build the one that takes subscriptions."""
    made = adapters.sandbox.PLATFORM.build(setup)
    assert isinstance(made, adapters.sandbox.SandboxAdapter)
    return SubscribingAdapter(made.base_url, evolve(made.traits, registers_webhooks=True))
