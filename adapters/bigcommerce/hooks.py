"""The store's webhooks: list them, create one, switch one on again (bigcommerce.md §2, "Subscribing")."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from adapters.bigcommerce.account import Store
from adapters.bigcommerce.inbound import KEY_HEADER
from adapters.bigcommerce.lists import more_pages, v3_rows
from adapters.bigcommerce.refusals import failed_read, garbled
from adapters.strict import RowId, UnreadableError, decode
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 50
PAGES_MAX = 50


class _Hook(msgspec.Struct):
    id: RowId
    scope: str
    destination: str
    is_active: Any = None

    def seen(self, blocked: Collection[str] = ()) -> Webhook:
        """Off after failures for 48 h, and after 90 days without anything to tell. A whole domain is blocked, for all
        its hooks, when more than a tenth of a burst fails: its hooks say nothing of that."""
        if self.is_active is not True:
            return Webhook(self.scope, self.destination, "disabled", str(self.id))
        state = "paused" if host_of(self.destination) in blocked else "active"
        return Webhook(self.scope, self.destination, state, str(self.id))  # type: ignore[arg-type]  # one of the two


class _Answer(msgspec.Struct):
    data: _Hook


class _Blocked(msgspec.Struct):
    destination: str = ""
    time_left: Any = None


class _Admin(msgspec.Struct):
    blocked_domains: list[_Blocked] = []


class _AdminAnswer(msgspec.Struct):
    data: _Admin


def read_webhooks(store: Store) -> Exchange[tuple[Webhook, ...] | Failure]:
    """Every webhook of this API account; those of another account are invisible (§2), also to their own store."""
    found: list[_Hook] = []
    for page in range(1, PAGES_MAX + 1):
        answer = v3_rows((yield store.get("/v3/hooks", [("limit", str(PER_PAGE)), ("page", str(page))])))
        if isinstance(answer, Failure):
            return answer
        try:
            found += [decode(row, _Hook) for row in answer.rows]
        except UnreadableError:
            return Failure(Outcome("transient", "a webhook of the store's list is not as it should be"))
        if not more_pages(answer, page, PER_PAGE):
            break
    blocked = _blocked((yield store.get("/v3/hooks/admin"))) if found else frozenset()
    return tuple(hook.seen(blocked) for hook in found)


def _blocked(response: Response) -> frozenset[str]:
    """The hosts that the platform does not deliver to now. Where the list cannot be read, none is known: what it
    holds back is noticed as silence."""
    if failed_read(response) is not None:
        return frozenset()
    try:
        domains = decode(response.body, _AdminAnswer).data.blocked_domains
    except UnreadableError:
        return frozenset()
    return frozenset(host_of(each.destination) for each in domains if each.time_left != 0) - {""}


def host_of(destination: str) -> str:
    """The host of an address, or of a bare domain; "" where it is neither."""
    try:
        return (urlsplit(destination if "//" in destination else f"//{destination}").hostname or "").lower()
    except ValueError:
        return ""


def register(store: Store, key: str, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
    """Create the webhook, or switch `existing` on again, with our static header. Destinations are https on port 443
    alone; nothing is sent to try them, and deliveries begin within about a minute (§2)."""
    if not key:
        return Failure(Outcome("permanent", "no webhook key is configured for this channel; give it one"))
    wish = {"scope": topic, "destination": url, "is_active": True, "headers": {KEY_HEADER: key}}
    if existing is None:
        response = yield store.write("POST", "/v3/hooks", wish)
    else:
        response = yield store.write("PUT", f"/v3/hooks/{quote(existing.webhook_id, safe='')}", wish)
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        return decode(response.body, _Answer).data.seen()
    except UnreadableError:
        return Failure(garbled(response))
