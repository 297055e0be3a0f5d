"""Who is told what: the webhook subscriptions of a storefront, and switching them off without a word.

A storefront that nobody ever subscribed at tells its one webhook URL everything, as it was started. From the first
subscription on, a topic is told to its active subscriptions alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from attrs import define, field
from msgspec import Meta, Struct

from adapters.storefront.calls import Name, read_body
from adapters.storefront.reply import StoreReply, answer, error, refused
from adapters.storefront.shop import Refusal

SUBSCRIPTIONS_MAX = 100

State = Literal["active", "paused", "disabled"]


class NewSubscription(Struct, frozen=True):
    topic: Annotated[str, Meta(min_length=1, max_length=64)]
    url: Annotated[str, Meta(pattern="^https?://", max_length=2000)]


class Switch(Struct, frozen=True):
    state: Literal["active", "paused"]


@define
class Subscription:
    """One topic for one URL. `disabled`: the storefront switched it off by itself, and told nobody."""

    id: str
    topic: Name
    url: str
    state: State = "active"


@define
class Subscriptions:
    """The subscriptions by id."""

    by_id: dict[str, Subscription] = field(factory=dict)

    def targets(self, topic: str) -> tuple[str, ...]:
        """The URLs to tell; "" is the one that the storefront was started with."""
        if not self.by_id:
            return ("",)
        wanted = [each for each in self.by_id.values() if each.topic == topic and each.state == "active"]
        return tuple(dict.fromkeys(each.url for each in wanted))

    def switch_off(self, topics: Collection[str]) -> None:
        """These topics ("*": all) are told no more, until somebody switches them on again."""
        for each in self.by_id.values():
            if each.topic in topics or "*" in topics:
                each.state = "disabled"

    def listed(self) -> StoreReply:
        """All of them, whatever their state."""
        return answer({"items": [_json(each) for each in self.by_id.values()]})

    def create(self, body: bytes) -> StoreReply:
        """A new one; the same topic and URL again is the same one, switched on."""
        wanted = read_body(body, NewSubscription)
        if isinstance(wanted, Refusal):
            return refused(wanted)
        same = (each for each in self.by_id.values() if (each.topic, each.url) == (wanted.topic, wanted.url))
        if (found := next(same, None)) is not None:
            found.state = "active"
            return answer(_json(found))
        if len(self.by_id) >= SUBSCRIPTIONS_MAX:
            return error(422, "too_many", f"there are {SUBSCRIPTIONS_MAX} subscriptions already")
        made = Subscription(f"W-{len(self.by_id) + 1}", wanted.topic, wanted.url)
        self.by_id[made.id] = made
        return answer(_json(made), 201)

    def switch(self, name: str, body: bytes) -> StoreReply:
        """Switch one on again, or pause it."""
        wanted = read_body(body, Switch)
        if isinstance(wanted, Refusal):
            return refused(wanted)
        found = self.by_id.get(name)
        if found is None:
            return error(404, "unknown_subscription", "there is no such subscription")
        found.state = wanted.state
        return answer(_json(found))


def _json(each: Subscription) -> dict[str, str]:
    return {"id": each.id, "topic": each.topic, "url": each.url, "state": each.state}
