"""Writing stock: absolute, many rows a call, each only if the shop still shows what we believe (shopify.md §5)."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from adapters.groups import grouped
from adapters.shopify import documents
from adapters.shopify.answers import plain, said
from adapters.shopify.catalogue import GqlLevel
from adapters.shopify.payloads import Text, gid, is_listing, stamp
from adapters.shopify.shop import Shop, located
from adapters.strict import UnreadableError
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome

BATCH_MAX: Final = 250
"""Entries that an input list may hold (§5)."""

ROUNDS_MAX: Final = 5
"""Calls for one group: each drops the rows that the one before named, and sends the rest."""

NOT_STOCKED: Final = "ITEM_NOT_STOCKED_AT_LOCATION"

# The error table of single rows (§5).
LOOK_AGAIN: Final = frozenset(
    {"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"}
)
MAYBE_DONE: Final = frozenset({"IDEMPOTENCY_CONCURRENT_REQUEST"})
LATER: Final = frozenset({"SERVICE_UNAVAILABLE", "ADJUST_QUANTITIES_FAILED", "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"})
HALVED: Final = frozenset({"NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR"})
"""Everything else will never work as it is."""

_KEY = re.compile(r"[0-9a-f]{32}")


class UserError(msgspec.Struct):
    message: str = ""
    code: str | None = None
    field: list[str] | None = None

    def row(self, rows: int) -> int | None:
        """The row that it names, by its index in `input.quantities` (the form of the index is from memory, §5)."""
        path = self.field or []
        for name, place in itertools.pairwise(path):
            if name == "quantities" and place.isascii() and place.isdigit() and len(place) <= 4 and int(place) < rows:
                return int(place)
        return None

    def outcome(self, *, named: bool) -> Outcome:
        """What it means for its row; for all of them, where it names none."""
        code = self.code or ""
        reason = plain(f"{code}: {self.message}" if code else self.message or "refused without a word")
        if code in LOOK_AGAIN:
            return Outcome("conflict", reason)
        if code in MAYBE_DONE:
            return Outcome("unknown", reason)
        if code in LATER:
            return Outcome("transient", reason)
        return Outcome("permanent", reason, whole_call=not named and code not in _OURS)


_OURS: Final = frozenset({"INVALID_NAME", "INVALID_REASON", "INVALID_REFERENCE_DOCUMENT"})
"""No row is to blame for these: halving would not help."""


class Group(msgspec.Struct):
    createdAt: Text = ""  # noqa: N815  # Shopify's name


class Answer(msgspec.Struct):
    userErrors: list[UserError]  # noqa: N815
    inventoryAdjustmentGroup: Group | None = None  # noqa: N815


class Data(msgspec.Struct):
    inventorySetQuantities: Answer  # noqa: N815


class Activated(msgspec.Struct):
    userErrors: list[UserError]  # noqa: N815
    inventoryLevel: GqlLevel | None = None  # noqa: N815


class ActivateData(msgspec.Struct):
    inventoryActivate: Activated  # noqa: N815


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """Groups for one call each, in order. One listing twice means two groups: pairs must be unique (§5)."""
    return grouped(pushes, batch_max)


def push(shop: Shop, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order.

    A row that the shop refuses by name gets its outcome, and the rest is sent again with a new key, because third
    parties say that one bad row refuses the whole call (unsure, §5). Should the rest have been applied after all, the
    compare-and-set of the second call shows it: those rows are "conflict", and reading them back settles them.
    The key helps where Shopify honours it; the guard is `changeFromQuantity` (§5).
    """
    outcomes: dict[int, Outcome] = {}
    for place, each in enumerate(batch):
        if (unsendable := _unsendable(each)) is not None:
            outcomes[place] = unsendable
    if len(outcomes) == len(batch):
        return [outcomes[place] for place in range(len(batch))]
    location = yield from located(shop)
    if isinstance(location, Failure):
        return [outcomes.get(place, location.outcome) for place in range(len(batch))]
    for round_ in range(ROUNDS_MAX):
        places = [place for place in range(len(batch)) if place not in outcomes]
        if not places:
            break
        rows = [batch[place] for place in places]
        found = yield from _call(shop, location, rows, _uuid(key, round_))
        outcomes.update({places[row]: outcome for row, outcome in found.items()})
    for place, each in enumerate(batch):
        reason = outcomes[place].reason if place in outcomes else ""
        if reason.startswith(NOT_STOCKED):
            outcomes[place] = yield from _activate(shop, location, each, _uuid(key, ROUNDS_MAX + place))
    left = Outcome("transient", f"refused together with other rows, {ROUNDS_MAX} times")
    return [outcomes.get(place, left) for place in range(len(batch))]


def _unsendable(push: Push) -> Outcome | None:
    if not is_listing(push.listing):
        return Outcome("permanent", f"{push.listing[:60]!r} is no inventory item of Shopify: its number is needed")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    return None


def _call(shop: Shop, location: str, rows: Sequence[Push], key: str) -> Exchange[Mapping[int, Outcome]]:
    """One mutation; what became of each row that is decided by it (all of them, unless some were named)."""
    quantities = [
        {
            "inventoryItemId": gid("InventoryItem", row.listing), "locationId": location,
            "quantity": row.level, "changeFromQuantity": row.believed,
        }
        for row in rows
    ]  # fmt: skip
    variables = {
        "key": key,
        "input": {
            "name": "available", "reason": "correction", "referenceDocumentUri": f"gid://onhand/Push/{key}",
            "quantities": quantities,
        },
    }  # fmt: skip
    response = yield shop.ask(documents.SET_QUANTITIES, variables, documents.WRITE_COST, write=True)
    data = said(response, Data, write=True)
    if isinstance(data, Outcome):
        return dict.fromkeys(range(len(rows)), data)
    return _read(data.inventorySetQuantities, rows)


def _read(answer: Answer, rows: Sequence[Push]) -> Mapping[int, Outcome]:
    group = answer.inventoryAdjustmentGroup
    if not answer.userErrors:
        if group is None:
            # Neither done nor refused: look.
            return dict.fromkeys(range(len(rows)), Outcome("unknown", "the shop names neither a change nor an error"))
        try:
            own = stamp(group.createdAt, "createdAt")
        except UnreadableError:
            own = None
        return {place: Outcome("ok", level=row.level, own=own) for place, row in enumerate(rows)}
    named: dict[int, Outcome] = {}
    for error in answer.userErrors:
        place = error.row(len(rows))
        if place is not None:
            named.setdefault(place, error.outcome(named=True))
    general = next((error for error in answer.userErrors if error.row(len(rows)) is None), None)
    if general is not None:
        whole = general.outcome(named=False)
        return {place: named.get(place, whole) for place in range(len(rows))}
    if group is not None:
        # Some rows were refused, and something was changed all the same: what, reading back will tell.
        unsure = Outcome("unknown", "the shop refused some rows of the call and changed something")
        return {place: named.get(place, unsure) for place in range(len(rows))}
    return named


def _activate(shop: Shop, location: str, push: Push, key: str) -> Exchange[Outcome]:
    """The first stock of an item at our location; its user errors have no code (§5)."""
    variables = {
        "item": gid("InventoryItem", push.listing), "location": location,
        "available": push.level, "key": key,
    }  # fmt: skip
    response = yield shop.ask(documents.ACTIVATE, variables, documents.WRITE_COST, write=True)
    data = said(response, ActivateData, write=True)
    if isinstance(data, Outcome):
        return data
    errors = data.inventoryActivate.userErrors
    if errors:
        return Outcome("permanent", f"it is not stocked at the location, and cannot be: {plain(errors[0].message)}")
    level = data.inventoryActivate.inventoryLevel
    shown = level.available() if level else None
    if shown != push.level:
        return Outcome("conflict", "it was not stocked at the location; now it is, and shows another number")
    return Outcome("ok", level=shown)


def _uuid(key: str, part: int) -> str:
    """A key in the form of a UUID; another one for each part of a push."""
    plain_key = (
        key if part == 0 and _KEY.fullmatch(key) else hashlib.sha256(f"{key}\0{part}".encode()).hexdigest()[:32]
    )
    return "-".join((plain_key[:8], plain_key[8:12], plain_key[12:16], plain_key[16:20], plain_key[20:]))
