"""What concerns channels in shadow, as tables and sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from rich.console import Group

from daemon.cli.tables import clock, sentences, table

ROWS_SHOWN: Final = 40
"""Lines of a report; --json has them all."""

_WORDS: Final = {"under_way": "is being written", "unlisted": "not linked any more", "same": "", "differs": ""}


def priors(document: Any) -> Group:
    """`onhand channels rollback`."""
    name, kept = document["channel"], document["kept"]
    states = Counter(each["state"] for each in document["listings"])
    rows = [each for each in document["listings"] if each["state"] != "same"]
    said = (
        f"{name} showed at {clock(kept['at'])}, before it went live: {kept['listings']} listings; "
        f"{states['same']} show the same now, {states['differs'] + states['under_way']} differ, "
        f"{states['stopped']} are stopped, {states['unlisted']} are not linked any more"
    )
    lines = [said]
    if document["mode"] == "rollback":
        lines.append(f"{name} is being rolled back: {states['under_way']} left")
    elif document["mode"] == "shadow":
        lines.append(f"{name} is in shadow: nothing is written there")
    parts: list[Any] = [sentences(lines)]
    if rows:
        parts += ["", table(("listing", "sku", "#shows", "#before", "#change", ""), map(_prior, rows[:ROWS_SHOWN]))]
    if len(rows) > ROWS_SHOWN:
        parts.append(sentences([f"and {len(rows) - ROWS_SHOWN} more: see --json"]))
    return Group(*parts)


def _prior(each: Any) -> tuple[object, ...]:
    change = None if each["change"] is None else f"{each['change']:+d}"
    word = _WORDS.get(each["state"], each["state"])
    return each["listing"], each["sku"], each["shows"], each["prior"], change, word


def shadows(document: Any) -> Group:
    """`onhand shadow`."""
    if not document["channels"]:
        return Group(
            sentences(["no channel is in shadow: `onhand channels shadow NAME`, or `mode: shadow` in the file"])
        )
    parts: list[Any] = []
    for each in document["channels"]:
        parts += [*([""] if parts else []), *_report(each)]
    return Group(*parts)


def _report(found: Any) -> list[Any]:
    listings = found["listings"]
    if not found["since"]:
        return [sentences([f"{found['channel']} was never in shadow"])]
    over = [each for each in listings if each["over"]["times"]]
    under = [each for each in listings if each["under"]["times"]]
    head = (
        f"{found['channel']}, {found['mode']}, watched since {clock(found['since'])}: {len(listings)} listings moved"
    )
    lines = [
        f"{head}, {found['would_push']} pushes would have left",
        _off("showed more than there was (possible oversell)", "over", over),
        _off("showed less than could be sold", "under", under),
        *_lags(found),
    ]
    rows = sorted(listings, key=lambda each: (-each["over"]["at_most_s"], -each["would_push"], each["listing"]))
    shown = [each for each in rows if each["would_push"] or each["over"]["times"] or each["under"]["times"]]
    parts: list[Any] = [sentences(lines)]
    if shown:
        columns = (
            "listing",
            "sku",
            "#shows",
            "#would show",
            "#there is",
            "#pushes",
            "last push",
            "#too much",
            "#too little",
        )
        parts += ["", table(columns, map(_listing, shown[:ROWS_SHOWN]))]
    if len(shown) > ROWS_SHOWN:
        parts.append(sentences([f"and {len(shown) - ROWS_SHOWN} more: see --json"]))
    return parts


def _off(what: str, name: str, listings: list[Any]) -> str:
    if not listings:
        return f"  no listing {what}"
    least, most = (sum(each[name][part] for each in listings) for part in ("at_least_s", "at_most_s"))
    worst = max(each[name]["worst"] for each in listings)
    yet = sum(each[name]["now"] for each in listings)
    return f"  {len(listings)} listings {what}, for {_time(least)} to {_time(most)} together, by {worst} at worst" + (
        f"; {yet} of them do now" if yet else ""
    )


def _lags(found: Any) -> list[str]:
    waits = sum(each["waits_for"] for each in found["listings"])
    lost = sum(each["not_followed"] for each in found["listings"])
    said = f"  sales on other channels that had to be followed there: {found['sales']}; {found['followed']} were"
    lines = [f"{said}, {waits} are not yet, {lost} never were"]
    least, most, own = found["lag_at_least_ms"], found["lag_at_most_ms"], found["onhand_ms"]
    if most["count"]:
        lines.append(
            f"  the tool that is live followed after {_ms(least['p50'])} to {_ms(most['p50'])} (p50), "
            f"{_ms(least['p99'])} to {_ms(most['p99'])} (p99)"
        )
    if own["count"]:
        lines.append(f"  onhand's push would have left after {_ms(own['p50'])} (p50), {_ms(own['p99'])} (p99)")
    return lines


def _ms(milliseconds: float) -> str:
    return _time(milliseconds / 1_000)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def _listing(each: Any) -> tuple[object, ...]:
    last = each["pushes"][-1] if each["pushes"] else None
    said = f"{last['level']} over {last['showed']}, {clock(last['at'])}: {last['cause']}" if last else None
    return (
        each["listing"], each["sku"], each["shows"], each["would_show"], each["there_is"], each["would_push"], said,
        _span(each["over"]), _span(each["under"]),
    )  # fmt: skip


def _span(spell: Any) -> str | None:
    if not spell["times"]:
        return None
    return f"{spell['worst']}, {_time(spell['at_least_s'])} to {_time(spell['at_most_s'])}"
