"""The store's inventory settings: what moves its stock, and what puts it back (bigcommerce.md §3)."""

from __future__ import annotations

import msgspec

from adapters.bigcommerce.account import Store
from adapters.bigcommerce.refusals import failed_read, garbled
from adapters.strict import UnreadableError, decode
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome


class InventorySettings(msgspec.Struct):
    """The global values, which orders of the control panel use, too (§3)."""

    update_stock_behavior: str
    refund_order_stock_adjustment: bool


class _Answer(msgspec.Struct):
    data: InventorySettings


def read_settings(store: Store) -> Exchange[InventorySettings | Failure]:
    """The settings as they are now. Reading them needs a scope that is not surely known (§1): a refusal says so."""
    response = yield store.get("/v3/settings/inventory")
    failure = failed_read(response)
    if failure is not None:
        if response.status == 403:
            said = (
                "the inventory settings cannot be read: give the API account the scope to read the store's settings"
            )
            return Failure(Outcome("permanent", said))
        return failure
    try:
        return decode(response.body, _Answer).data
    except UnreadableError:
        return Failure(garbled(response))


def objection(settings: InventorySettings) -> str:
    """Why stock cannot be kept with these settings; empty where it can.

    A store that takes units off only when an order is shipped shows, and tells at first contact, units that are sold
    already: what it writes and reads would not be what can be sold (§3, "the setting be demanded").
    """
    if settings.update_stock_behavior == "order_placed":
        return ""
    return (
        "the store takes units off its stock only when orders are shipped or completed: "
        "set its inventory setting to update stock when an order is placed"
    )
