"""What the storefronts' own ledgers say, and whether the daemon agrees with them, unit by unit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, field

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ledgers = Mapping[str, Any]
"""`GET /ledger` of every storefront, by its name."""


@define
class Findings:
    """What a comparison found; `problems` empty means that all is well."""

    acked: int = 0
    """Versions of orders whose webhook was answered 2xx."""
    lost: int = 0
    """Of these: not in the log by then."""
    twice: int = 0
    """Facts that moved units more than once."""
    miscounted: int = 0
    units_miscounted: int = 0
    oversold_skus: int = 0
    oversold_units: int = 0
    problems: list[str] = field(factory=list)


def true_stock(ledgers: Ledgers, elsewhere: Mapping[str, int]) -> dict[str, int]:
    """What is really there: the first count, less what was sold everywhere, plus what was given back. `elsewhere`:
    units by SKU that were sold where there is no storefront."""
    first = next(iter(ledgers.values()))["skus"]
    return {
        sku: entry["initial"] - elsewhere.get(sku, 0)
        - sum(each["skus"][sku]["sold"] - each["skus"][sku]["given_back"] for each in ledgers.values())
        for sku, entry in first.items()
    }  # fmt: skip


def astray(ledgers: Ledgers, truth: Mapping[str, int], buffers: Mapping[str, int]) -> list[str]:
    """Listings that do not show what they should, as sentences."""
    return [
        f"{sku}: {name} shows {ledger['skus'][sku]['quantity']}, not {max(0, units - buffers[name])}"
        for sku, units in truth.items()
        for name, ledger in ledgers.items()
        if ledger["skus"][sku]["quantity"] != max(0, units - buffers[name])
    ]


def judge_numbers(findings: Findings, truth: Mapping[str, int], known: Mapping[str, Any]) -> None:
    """Compare the true units with what the daemon says of each SKU (`/v1/skus/SKU`)."""
    for sku, units in truth.items():
        found = known[sku]
        if (found["available"], found["debt"]) != (units, max(0, -units)):
            findings.miscounted += 1
            findings.units_miscounted += abs((found["available"] or 0) - units)
            findings.problems.append(f"{sku}: available {found['available']}, in truth {units}")
        if units < 0:
            findings.oversold_skus += 1
            findings.oversold_units -= units


def judge_deliveries(
    findings: Findings, ledgers: Ledgers, events: list[dict[str, Any]], contradicted: Collection[tuple[str, str]] = ()
) -> None:
    """Every order version whose webhook was answered 2xx is in the log, line by line, and was by then.

    What came into the log only later, from the order feed, had been lost. And nothing counts twice, but for orders
    (storefront, order) of which a lie was told: they move units until the truth is known again.
    """
    at: dict[tuple[str, str, str, int], int] = {}
    seen: Counter[tuple[str, str, str, int]] = Counter()
    for event in events:
        if event["kind"] == "order":
            key = (event["channel"], event["cause"]["order"], event["cause"]["line"], event["version"])
            at.setdefault(key, microseconds(event["at"]))
            # The same news with a better known moment is written down again; it must not move a unit again.
            seen[key] += event["before"] != event["after"] and key[:2] not in contradicted
    for key, times in seen.items():
        if times > 1:
            findings.twice += 1
            findings.problems.append(f"{key[0]}: order {key[1]} line {key[2]} version {key[3]} counted {times} x")
    for name, ledger in ledgers.items():
        for order, version, lines, acked_us in acknowledged(ledger):
            findings.acked += 1
            entries = [at.get((name, order, line, version)) for line in lines]
            if any(entry is None or entry > acked_us for entry in entries):
                findings.lost += 1
                late = [None if entry is None else entry - acked_us for entry in entries]
                findings.problems.append(
                    f"{name}: order {order} version {version} was acknowledged, and lost: in the log its lines are "
                    f"{late} us after the answer at {acked_us} (None: not there)"
                )


def acknowledged(ledger: dict[str, Any]) -> Iterator[tuple[str, int, list[str], int]]:
    """(order, version, lines, when) of every change whose webhook was answered 2xx.

    The storefront sends one `order.updated` for each change, in the same order; each change is a version.
    """
    answered: dict[str, list[int]] = {}
    for hook in ledger["webhooks"]:
        if hook["topic"] == "order.updated":
            good = [attempt["at_us"] for attempt in hook["attempts"] if attempt["status"] in (200, 204)]
            answered.setdefault(hook["delivery"], []).extend(good)
    versions: dict[str, int] = defaultdict(int)
    lines = {order["id"]: [line["id"] for line in order["lines"]] for order in ledger["orders"]}
    for change, good in zip(ledger["order_changes"], answered.values(), strict=True):
        versions[change["order"]] += 1
        if good:
            yield change["order"], versions[change["order"]], lines[change["order"]], min(good)


def microseconds(stamp: str) -> int:
    """An RFC 3339 stamp as µs since 1970."""
    return (datetime.fromisoformat(stamp) - EPOCH) // timedelta(microseconds=1)
