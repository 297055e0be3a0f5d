"""The shop's webhooks as TikTok keeps them: one address for each event type (tiktok_shop.md §2)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from adapters.tiktok_shop.answers import reading
from adapters.tiktok_shop.inbound import TOPICS
from adapters.tiktok_shop.shop import Shop
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

PATH: Final = "/event/202309/webhooks"
ADDRESS_MAX: Final = 255

_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9-]+(\.[a-z0-9-]+)+")


class _Hook(msgspec.Struct):
    event_type: str | None = None
    address: str | None = None


class _Hooks(msgspec.Struct):
    webhooks: list[_Hook] | None = None


class _Done(msgspec.Struct):
    """Nothing of it is needed."""


def read_webhooks(shop: Shop) -> Exchange[tuple[Webhook, ...] | Failure]:
    """Every subscription of the shop; the list has no pages. TikTok documents no way in which it switches one off
    (§2, "disable rules"): one that is there is active, and one that is gone, or leads elsewhere, is missing."""
    cipher = yield from shop.own_cipher()
    if isinstance(cipher, Failure):
        return cipher
    data = reading((yield shop.get(PATH, cipher)), _Hooks)
    if isinstance(data, Failure):
        return data
    return tuple(
        Webhook(hook.event_type, hook.address, "active", hook.event_type)
        for hook in data.webhooks or () if hook.event_type and hook.address
    )  # fmt: skip


def register(shop: Shop, topic: str, url: str) -> Exchange[Webhook | Failure]:
    """Subscribe, which takes the place of whatever address the topic had before (§2).

    What TikTok would not take is said before it is asked: it wants https, a domain name and no port.
    """
    if topic not in TOPICS:
        return Failure(Outcome("permanent", f"TikTok Shop has no topic {topic[:60]!r} that can be subscribed"))
    if why := objection(url):
        return Failure(Outcome("permanent", f"TikTok Shop does not take this address: {why}; change public_url"))
    cipher = yield from shop.own_cipher()
    if isinstance(cipher, Failure):
        return cipher
    done = reading((yield shop.put(PATH, cipher, {"address": url, "event_type": topic})), _Done)
    return done if isinstance(done, Failure) else Webhook(topic, url, "active", topic)


def objection(url: str) -> str:
    """Why TikTok would not send webhooks there; empty where it would (§2, "URL rules")."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it cannot be read"
    if parts.scheme != "https":
        return "it must begin with https://"
    if port is not None or parts.netloc.endswith(":"):
        return "it must have no port"
    if not _NAME.fullmatch(parts.netloc.lower()):
        return "it must have a domain name"
    return f"it must have at most {ADDRESS_MAX} characters" if len(url) > ADDRESS_MAX else ""
