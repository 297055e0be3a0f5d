"""Webhook subscriptions: what is missing is made, what was switched off is switched on, and somebody is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from attrs import define, field

from daemon.domain.channel import Rarely, Traits, Webhook
from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.policy import Policy
from daemon.ingress.subscriptions import Subscriptions
from daemon.outbound.account import Account

URL = "https://sync.example.com/webhooks/shop"


@define
class Shop(Rarely):
    """An adapter and its HTTP client in one: it holds subscriptions and can be told to fail."""

    hooks: list[Webhook] = field(factory=list)
    down: bool = False
    traits: Traits = field(factory=lambda: Traits(registers_webhooks=True, rate_per_s=1000, burst=1000))
    registered: list[str] = field(factory=list)

    async def send(self, request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        return NoAnswer("down", reached=False) if self.down else Response(200, {}, b"")

    async def aclose(self) -> None: ...

    def wanted_topics(self) -> tuple[str, ...]:
        return ("order.updated", "product.updated")

    def webhooks(self) -> Any:
        yield Request("GET", "https://shop.example.com/webhooks")
        return tuple(self.hooks)

    def register(self, topic: str, url: str, existing: Webhook | None) -> Any:
        yield Request("POST", "https://shop.example.com/webhooks")
        if topic == "product.updated" and existing is not None and existing.webhook_id == "broken":
            return Failure(Outcome("permanent", "not allowed"))
        self.hooks = [hook for hook in self.hooks if hook is not existing]
        self.hooks.append(Webhook(topic, url, "active", f"{len(self.hooks)}"))
        self.registered.append(topic)
        return self.hooks[-1]


def subscriptions(shop: Shop, url: str = URL) -> tuple[Subscriptions, list[tuple[str, ...]]]:
    said: list[tuple[str, ...]] = []
    account = Account("shop", shop, shop, Policy(), lambda: 1_750_000_000_000_000, lambda: "n")  # type: ignore[arg-type]  # as much of an adapter as is asked
    return Subscriptions(
        account,
        url,
        lambda topic: said.append(("registered", topic)),
        lambda topic, state: said.append(("disabled", topic, state)),
        lambda error: said.append(("failed", error)),
    ), said


def hooks(*rows: Sequence[str]) -> list[Webhook]:
    return [Webhook(topic, url, state, name) for topic, url, state, name in rows]  # type: ignore[arg-type]  # the states are literals


async def test_missing_subscriptions_are_made_and_present_ones_left_alone() -> None:
    shop = Shop(hooks(("order.updated", URL, "active", "1")))
    mine, said = subscriptions(shop)
    assert await mine.repair() == ["product.updated: subscribed"]
    assert said == [("registered", "product.updated")]
    assert await mine.repair() == []


async def test_a_switched_off_subscription_is_told_and_switched_on_again() -> None:
    shop = Shop(hooks(("order.updated", URL, "disabled", "1"), ("product.updated", URL, "active", "2")))
    mine, said = subscriptions(shop)
    assert await mine.repair() == ["order.updated: switched on again"]
    assert said == [("disabled", "order.updated", "disabled"), ("registered", "order.updated")]


async def test_subscriptions_of_somebody_else_do_not_count_as_ours() -> None:
    shop = Shop(hooks(("order.updated", "https://other.example.com/x", "active", "1")))
    mine, _ = subscriptions(shop)
    await mine.repair()
    assert shop.registered == ["order.updated", "product.updated"]


async def test_a_channel_that_cannot_be_asked_is_said_once_and_asked_again(autojump_clock: Any) -> None:
    shop = Shop(down=True)
    mine, said = subscriptions(shop)
    with trio.move_on_after(200):
        await mine.run()
    assert said == [("failed", "down")]
    shop.down = False
    with trio.move_on_after(100):
        await mine.run()
    assert len(shop.registered) == 2


async def test_a_refused_registration_is_named_with_its_topic() -> None:
    shop = Shop(hooks(("order.updated", URL, "active", "1"), ("product.updated", URL, "paused", "broken")))
    mine, _ = subscriptions(shop)
    assert await mine.repair() == "product.updated: not allowed"


async def test_without_a_public_url_the_sentence_says_what_to_set() -> None:
    mine, _ = subscriptions(Shop(), url="")
    said = await mine.repair()
    assert isinstance(said, str)
    assert "public_url" in said


async def test_a_platform_that_registers_nothing_has_nothing_to_list_and_says_so() -> None:
    mine, _ = subscriptions(Shop(traits=Traits()))
    assert await mine.listed() == []
    assert isinstance(await mine.repair(), str)


async def test_in_shadow_nothing_is_subscribed_until_a_person_asks_for_it(autojump_clock: Any) -> None:
    shop = Shop()
    mine, _ = subscriptions(shop)
    mine.account.shadow = True
    with trio.move_on_after(3 * 3600):
        await mine.run()
    assert shop.registered == []
    assert await mine.repair() == "order.updated: the channel is in shadow: nothing is written there"
    assert shop.registered == []
    assert await mine.repair(asked=True) == ["order.updated: subscribed", "product.updated: subscribed"]
