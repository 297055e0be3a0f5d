"""Writing one level: a PATCH that merges, and what becomes of it (amazon.md §5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.amazon.account import Seller
from adapters.amazon.items import MERCHANT, Item, one, sendable, some
from adapters.amazon.refusals import garbled, refused
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome

LOOKS_MAX = 6
"""So often Amazon is asked whether it shows a level that it accepted: for about five minutes, ever more rarely. After
that nobody can say what became of it."""
NO_TYPE = "PRODUCT"
"""The generic product type: good for quantities, as public issue threads show (§5.1); the real one is preferred."""
_JOB = re.compile(r"shown:([0-9]{1,2}):(.{1,200})", re.DOTALL)


class _Issue(msgspec.Struct):
    code: str = ""
    message: str = ""
    severity: str = ""


class _Submission(msgspec.Struct, rename="camel"):
    status: str
    submission_id: str = ""
    issues: list[_Issue] = []  # msgspec gives each its own copy


def push(seller: Seller, each: Push) -> Exchange[Outcome]:
    """Write one level. The listing is read first: only one that the merchant alone fulfils may be written (§7), and
    under its own product type. `merge` changes the quantity alone; `replace` would drop the handling time (§0.6)."""
    if bad := unsendable(each):
        return bad
    item = yield from one(seller, each.listing)
    if isinstance(item, Failure):
        return item.outcome
    if refusal := not_ours(item):
        return refusal
    assert item is not None
    query = [("marketplaceIds", seller.marketplace), ("issueLocale", "en_US")]
    body = {"productType": product_type(item, seller), "patches": patches(each.level)}
    response = yield seller.write("PATCH", seller.item_path(each.listing), body, "", query=query)
    return _submitted(response)


def unsendable(each: Push) -> Outcome | None:
    """What Amazon could only refuse."""
    if not sendable(each.listing):
        return Outcome("permanent", f"{each.listing[:60]!r} cannot be a SKU of Amazon's")
    if isinstance(each.level, bool) or not isinstance(each.level, int) or not 0 <= each.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    return None


def not_ours(item: Item | None) -> Outcome | None:
    """Why this listing must not be written; None where it may."""
    if item is None:
        return Outcome("permanent", "Amazon knows no such SKU at this marketplace")
    if not item.ours():
        shown = ", ".join(sorted(item.codes()))[:100] or "none"
        return Outcome(
            "permanent",
            f"its fulfilment channel is {shown}: only listings that the merchant alone fulfils (DEFAULT) are written",
        )
    return None


def product_type(item: Item, seller: Seller) -> str:
    summary = item.summary(seller.marketplace)
    return (summary.product_type if summary else "") or NO_TYPE


def patches(level: int) -> list[dict[str, Any]]:
    """The one patch there is, for a PATCH as for a feed (§5.1, §5.2)."""
    value = [{"fulfillment_channel_code": MERCHANT, "quantity": level}]
    return [{"op": "merge", "path": "/attributes/fulfillment_availability", "value": value}]


def _submitted(response: Response) -> Outcome:
    """ACCEPTED means taken in, not done; a 200 that says INVALID is a refusal for good (§5.1)."""
    outcome = refused(response, write=True)
    if outcome is not None:
        return outcome
    try:
        found = decode(response.body, _Submission)
    except UnreadableError:
        return garbled(response, write=True)
    if found.status == "ACCEPTED":
        # The submission's own name is of no use: no call asks after one (§5.1).
        return Outcome("accepted", job=shown_job(found.submission_id[:100] or "unnamed"))
    if found.status == "INVALID":
        return Outcome("permanent", _issues(found.issues) or "Amazon says that it is invalid, and not why")
    return Outcome("unknown", f"Amazon answers with the status {found.status[:40]!r}")


def _issues(issues: Sequence[_Issue]) -> str:
    text = "; ".join(f"{each.code}: {each.message}" for each in issues if each.severity == "ERROR")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


# --- following ----------------------------------------------------------------------------------------------


def shown_job(name: str, looks: int = 0) -> str:
    """The job of waiting until an accepted level shows; how often it was looked for is part of its name."""
    return f"shown:{looks}:{name}"


def follow_shown(seller: Seller, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
    """Does Amazon show what it accepted? Its level is read: there is nothing else to ask (§5.1)."""
    place = _JOB.fullmatch(job)
    looks, name = (int(place[1]), place[2]) if place else (LOOKS_MAX, "unnamed")
    found = yield from some(seller, [each.listing for each in batch])
    if isinstance(found, Failure):
        later = Outcome("accepted", found.reason, job=shown_job(name, looks + 1))
        gone = Outcome("unknown", found.reason)
        return [later if looks + 1 < LOOKS_MAX else gone] * len(batch)
    return [_shown(each, found.get(each.listing), name, looks + 1) for each in batch]


def _shown(each: Push, item: Item | None, name: str, looks: int) -> Outcome:
    """The level: done. What it showed before: not yet. Anything else: something was sold, before or after it was
    done, and only a reading back with all orders can tell."""
    if refusal := not_ours(item):
        return refusal
    assert item is not None
    level = item.level()
    if level == each.level:
        return Outcome("ok", level=level)
    if level is not None and each.believed is not None and level != each.believed:
        return Outcome("unknown", f"it shows {level}, neither the old nor the new level")
    if looks >= LOOKS_MAX:
        return Outcome("unknown", "Amazon accepted the level, and does not show it yet")
    return Outcome("accepted", job=shown_job(name, looks))
