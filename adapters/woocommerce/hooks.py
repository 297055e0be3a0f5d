"""The store's webhooks as it keeps them: list them, create one, switch one on again (woocommerce.md §2)."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from adapters.strict import UnreadableError, decode
from adapters.woocommerce.auth import Store
from adapters.woocommerce.lists import PER_PAGE, more_pages, rows_of
from adapters.woocommerce.payloads import known_id
from adapters.woocommerce.refusals import failed_read, garbled
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

_PAGES_MAX = 50


class _Hook(msgspec.Struct):
    id: int
    topic: str
    delivery_url: str
    status: str = ""

    def seen(self) -> Webhook:
        state = self.status if self.status in ("active", "paused") else "disabled"
        return Webhook(self.topic, self.delivery_url, state, known_id(self.id, "the webhook's id"))  # type: ignore[arg-type]  # one of the three by now


def read_webhooks(store: Store) -> Exchange[tuple[Webhook, ...] | Failure]:
    """Every webhook of the store, ours or not. The failure count is never shown (recording 03)."""
    seen: list[Webhook] = []
    for page in range(1, _PAGES_MAX + 1):
        query = [("status", "all"), ("per_page", str(PER_PAGE)), ("page", str(page))]
        response = yield store.get("/webhooks", query, fresh=True)
        rows = rows_of(response)
        if isinstance(rows, Failure):
            return rows
        try:
            seen += [decode(row, _Hook).seen() for row in rows]
        except UnreadableError:
            return Failure(garbled(response, write=False))
        if not more_pages(response, page, len(rows)):
            break
    return tuple(seen)


def register(
    store: Store, secret: str, topic: str, url: str, existing: Webhook | None
) -> Exchange[Webhook | Failure]:
    """Create the webhook with `secret`, or switch `existing` on again.

    Creating pings `url` from inside this very call, so the listener must answer meanwhile (recording 03). Switching
    on does not ping, brings nothing back that was lost, and does not reset the store's failure count: until one
    delivery succeeds, the next single failure switches the webhook off again (recording 08).
    """
    if existing is not None:
        response = yield store.write("PUT", f"/webhooks/{quote(existing.webhook_id, safe='')}", {"status": "active"})
    elif not secret:
        # The store would invent one that nobody can ever read (recording 03).
        return Failure(Outcome("permanent", "no webhook secret is configured for this channel; give it one"))
    else:
        wish = {"name": f"onhand {topic}", "topic": topic, "delivery_url": url, "secret": secret, "status": "active"}
        response = yield store.write("POST", "/webhooks", wish)
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        return decode(response.body, _Hook).seen()
    except UnreadableError:
        return Failure(garbled(response, write=False))
