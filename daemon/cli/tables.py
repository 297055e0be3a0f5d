"""The daemon's documents as tables and sentences for whoever runs the shop."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

PIPE_COLUMNS: Final = 200
"""Width where nobody tells one: nothing a script reads should be cut at 80."""

STYLES: Final = {
    "settled": "green", "live": "green", "trusted": "green", "closed": "green", "yes": "green", "active": "green",
    "pending": "yellow", "in_flight": "yellow", "held": "yellow", "paused": "yellow", "throttled": "yellow",
    "shadow": "cyan",
    "half_open": "yellow", "dead": "bold red", "down": "bold red", "open": "bold red", "no": "bold red",
    "disabled": "bold red", "missing": "bold red", "doubted": "yellow", "downgraded": "bold red",
}  # fmt: skip

# What would move the cursor, colour the screen or reverse the text: names come from channels, not from us.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def say(renderable: Any) -> None:
    """Print to stdout. Nothing in a text is taken for markup."""
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not sys.stdout.isatty():
        console.width = max(console.width, PIPE_COLUMNS)
    console.print(renderable)


def shown(value: object) -> str:
    """A value for a cell: one line, nothing hidden in it; a dash for what is not known."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return _UNSAFE.sub("\ufffd", str(value))


def clock(at: str | None) -> str:
    """RFC 3339 as a person reads it: to the second, UTC."""
    return "-" if not at else at[:19].replace("T", " ") + "Z"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A table; columns whose name begins with `#` are numbers, the word of a state is coloured."""
    made = Table(title=title or None, title_justify="left", pad_edge=False, box=None, header_style="bold")
    for column in columns:
        made.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left", overflow="fold")
    for row in rows:
        words = [shown(value) for value in row]
        made.add_row(*(Text(word, style=STYLES.get(word, "")) for word in words))
    return made


def sentences(lines: Iterable[str]) -> Text:
    """Lines of text."""
    return Text("\n".join(shown(line) for line in lines))


# --- one document each ---------------------------------------------------------------------------------------


def status(document: Any) -> Group:
    """`onhand status`."""
    outbox, storage = document["outbox"], document["storage"]
    ready = "ready" if document["ready"] else f"NOT READY: {document['not_ready']}"
    lines = [
        f"{ready}, up since {clock(document['since'])}",
        (
            f"webhooks: {document['acked']} acknowledged, {document['duplicates']} known already, "
            f"{document['rejected']} rejected"
        ),
        (
            f"listings: {outbox['pending']} waiting, {outbox['in_flight']} being pushed, {outbox['dead']} stopped; "
            f"dead letters: {document['dead_letters']}"
        ),
        (
            f"{document['events']} events, {document['actors']} SKUs in memory, "
            f"{storage['used_bytes'] >> 20} of {storage['map_bytes'] >> 20} MiB used"
            + (f", history since {clock(storage['history_since'])}" if storage["history_since"] else "")
        ),
    ]
    if storage["trouble"]:
        lines.append(f"STORAGE: {storage['trouble']}")
    lines += [f"QUARANTINED {sku}: {reason}" for sku, reason in document["quarantined"].items()]
    lines += [f"BOOKS DIFFER {sku}: {reason}" for sku, reason in document["audit"]["differing"].items()]
    lines += [_failing(each) for each in document["alarm_targets"] if each["failing_since"] or each["lost"]]
    alarms = _alarms(document["alarms"])
    apart: list[Any] = [sentences(alarms), ""] if alarms else []
    return Group(*apart, sentences(lines), "", *_brief(list(document["channels"].values())))


STATUS_COLUMNS: Final = 78
"""What of a channel's error is shown: `status` is one screen of 24 lines and 80 columns, `channels` says it all."""


def _brief(channels: Sequence[Any]) -> list[Any]:
    """A line a channel, then those of which there is something to say."""
    rows = (
        (
            each["name"], each["state"], each["pending"] + each["in_flight"], each["dead"],
            each["push_lag_ms"]["p99"], clock(each["orders_seen_until"]),
        )
        for each in channels
    )  # fmt: skip
    columns = ("channel", "state", "#waiting", "#stopped", "#p99 ms", "orders seen until")
    apart = [f"{each['name']}: {each['last_error']}" for each in channels if each["last_error"]]
    apart = [line if len(line) <= STATUS_COLUMNS else line[: STATUS_COLUMNS - 2] + " …" for line in map(shown, apart)]
    said = [*_modes(channels), *apart]
    return [table(columns, rows), *([sentences(said)] if said else [])]


def _alarms(alarms: Sequence[Any]) -> list[str]:
    """Each alarm: what it is and since when, then what to do."""
    lines: list[str] = []
    for each in alarms:
        about = " ".join(each[name] for name in ("channel", "subject") if each[name])
        words = each["condition"].upper().replace("_", " ")
        times = f", found {each['count']} times" if each["count"] > 1 else ""
        lines.append(f"ALARM {words}{f' {about}' if about else ''}, since {clock(each['since'])}{times}")
        lines += [f"  {each['text']}", f"  what to do: {each['what_to_do']}"]
    return lines


def _failing(target: Any) -> str:
    """An alarm target that is not told what it should be."""
    lost = f"; {target['lost']} it is never told" if target["lost"] else ""
    if not target["failing_since"]:
        return f"ALARM {target['target'].upper()} works{lost}: see the log"
    since = clock(target["failing_since"])
    waiting = f"{target['waiting']} wait{lost}"
    return f"ALARM {target['target'].upper()} FAILS since {since}: {target['last_error']}; {waiting}"


def channels(document: Any) -> Group:
    """`onhand channels`."""
    return Group(*_channels(document["channels"]))


def _modes(channels: Sequence[Any]) -> list[str]:
    """A sentence for each channel that is not simply live, as the configuration has it."""
    lines = []
    for each in channels:
        if each["mode"] == "live" and not each["mode_by"]:
            continue
        words = {
            "live": "is live",
            "shadow": "is in shadow, nothing is written there",
            "rollback": "is being rolled back",
        }
        said = f"{each['name']} {words[each['mode']]}, since {clock(each['mode_since'])}"
        said += f", as {each['mode_by']} said" if each["mode_by"] else ", as config.yaml says"
        if each["mode_by"] and each["mode"] != each["mode_in_file"]:
            said += f" (config.yaml says {each['mode_in_file']}, and a person's word wins)"
        lines.append(said)
    return lines


def _channels(channels: Iterable[Any]) -> list[Any]:
    rows = list(channels)
    modes = _modes(rows)
    return [_states(rows), *([sentences(modes)] if modes else []), "", _lags(rows)]


SPANS: Final = {
    "webhook_lag_ms": "event to receipt",
    "commit_lag_ms": "receipt to commit",
    "push_lag_ms": "commit to acknowledgement",
    "visible_lag_ms": "acknowledgement to visible",
}
"""The four spans between a sale at one channel and the level at another, in their order."""


def _lags(channels: Iterable[Any]) -> Table:
    return table(
        ("channel", "span", "#p50 ms", "#p95", "#p99", "#measured"),
        (
            (each["name"], words, *(each[span][figure] for figure in ("p50", "p95", "p99", "count")))
            for each in channels
            for span, words in SPANS.items()
            if each[span]["count"]
        ),
        "how long it takes",
    )


def _states(channels: Iterable[Any]) -> Table:
    columns = (
        "channel", "platform", "state", "breaker", "acknowledgements",
        "webhooks told", "#waiting", "#in flight", "#dead", "orders seen until", "last error",
    )  # fmt: skip
    return table(
        columns,
        (
            (
                each["name"], each["platform"], each["state"], each["breaker"],
                each["acknowledgements"], _capture(each), each["pending"], each["in_flight"], each["dead"],
                clock(each["orders_seen_until"]), each["last_error"],
            )
            for each in channels
        ),
    )  # fmt: skip


def _capture(channel: Any) -> str:
    """How much of what the order feed showed its webhooks told: in the last hour, else in the last day."""
    if channel["webhooks_silent_since"]:
        return f"SILENT since {clock(channel['webhooks_silent_since'])}"
    for window in ("hour", "day"):
        told = sum(topic[window]["told"] for topic in channel["webhook_capture"])
        missed = sum(topic[window]["missed"] for topic in channel["webhook_capture"])
        if told + missed:
            return f"{100 * told / (told + missed):.1f} % this {window}"
    return "-"


def _stock(document: Any) -> str:
    if document.get("components") is not None:
        held = document["held"]
        sold = f"{held} sold and not yet handed over" if held else "none waiting to be handed over"
        if document["available"] is None:
            return f"{document['sku']}: a kit, and a component has not been counted yet"
        return f"{document['sku']}: a kit, {document['available']} can be made ({sold})"
    if document["available"] is None:
        return f"{document['sku']}: nobody has counted it yet"
    said = (
        f"{document['sku']}: {document['available']} available "
        f"({document['on_hand']} on the shelf, {document['held']} of them sold)"
    )
    return said + (f", {document['debt']} SOLD TOO MANY" if document["debt"] else "")


def sku(document: Any) -> Group:
    """`onhand sku`."""
    lines = [*_then(document), _stock(document)]
    if document["frozen"]:
        reason = document["frozen"]["reason"]
        lines.append(f"frozen by {document['frozen']['by']}" + (f": {reason}" if reason else ""))
    if document["quarantined"]:
        lines.append(f"QUARANTINED: {document['quarantined']}")
    if document["kits"]:
        lines.append(f"component of {', '.join(document['kits'])}")
    made_of: list[Any] = [] if document["components"] is None else ["", _components(document)]
    if not document["listings"]:
        return Group(sentences([*lines, "no channel lists it"]), *made_of)
    rows = (
        (
            each["channel"], each["listing"], each["belief"], each["desired"], each["state"],
            clock(each["last_push_at"]), each["last_error"],
        )
        for each in document["listings"]
    )  # fmt: skip
    columns = ("channel", "listing", "#shows", "#should show", "state", "last push", "last error")
    return Group(sentences(lines), *made_of, "", table(columns, rows))


def _then(document: Any) -> list[str]:
    """What moment of the past it is, if it is one."""
    return [f"as it was at {document['at']}, after event {document['after_event']}"] if "at" in document else []


def _components(document: Any) -> Table:
    return table(
        ("component", "#per kit", "#available", "#makes", "sets the number", "doubt"),
        (
            tuple(each[name] for name in ("sku", "units", "available", "makes", "limits", "doubt"))
            for each in document["components"]
        ),
    )


def skus(document: Any) -> Table:
    """`onhand skus`."""
    return table(
        ("sku", "#available", "#on hand", "#held", "#debt", "#listings", "state"),
        (
            tuple(each[name] for name in ("sku", "available", "on_hand", "held", "debt", "listings", "state"))
            for each in document["skus"]
        ),
    )


def history(document: Any) -> Group:
    """`onhand history`."""
    rows = table(
        ("#seq", "at", "channel", "#before", "#after", "what", "told by"),
        (
            (each["seq"], clock(each["at"]), each["channel"], each["before"], each["after"], each["note"], _by(each))
            for each in document["history"]
        ),
    )
    since = document["whole_since"]
    if since is None or document["next"] is not None:
        return Group(rows)
    said = f"what was before {clock(since)} is compacted (retention.history_days): only the newest of it is kept"
    return Group(rows, sentences([said]))


def _by(each: Any) -> str:
    cause = each["cause"]
    return f"{cause['by']} (delivery {cause['delivery']})" if cause["delivery"] else str(cause["by"])


def event_line(each: Any) -> str:
    """`onhand events`: one event, one line."""
    change = f" {shown(each['before'])} -> {shown(each['after'])}" if each["before"] != each["after"] else ""
    where = f" [{each['channel']}]" if each["channel"] else ""
    return shown(f"{each['seq']:>8} {clock(each['at'])} {each['sku']}{where}{change}  {each['note']}")


def explain(document: Any) -> Group:
    """`onhand explain`."""
    parts: list[Any] = [sentences([*_then(document), _stock(document), *(f"  {line}" for line in document["stock"])])]
    orders = document["open_orders"]
    if orders:
        rows = (
            (each["channel"], each["order"], each["line"], each["held"], each["kit"], clock(each["since"]))
            for each in orders
        )
        title = f"open orders ({document['open_orders_count']})"
        parts += ["", table(("channel", "order", "line", "#held", "through kit", "since"), rows, title)]
    for each in document["listings"]:
        state = each["state"].replace("_", " ")
        head = f"{each['channel']}, listing {each['listing']}: {state}"
        parts += ["", sentences([head, *(f"  {line}" for line in each["why"])])]
        parts += [sentences(f"  {event_line(event).strip()}" for event in each["events"])] if each["events"] else []
    return Group(*parts)


def letters(document: Any) -> Group | Table:
    """`onhand dead-letters`."""
    rows = [
        (
            each["id"], clock(each["at"]), each["kind"], each["channel"], each["sku"], each["subject"], each["cause"],
            each["next_action"],
        )
        for each in document["dead_letters"]
    ]  # fmt: skip
    if not rows:
        return Group(sentences(["there are no dead letters"]))
    return table(("#id", "at", "kind", "channel", "sku", "about", "cause", "what to do"), rows)


def letter(document: Any) -> Group:
    """`onhand dead-letters show`."""
    content = document["content"]
    names = ("id", "kind", "at", "channel", "sku", "subject", "topic", "delivery", "cause", "next_action")
    rows = [(name.replace("_", " "), document[name]) for name in names if document[name] is not None]
    rows.append(("holds", content.get("text", content.get("hex"))))
    return Group(table(("", ""), rows))


def webhooks(document: Any) -> Group:
    """`onhand webhooks`."""
    rows: list[tuple[object, ...]] = []
    apart: list[str] = []
    for each in document["channels"]:
        if each.get("error"):
            rows.append((each["channel"], None, "unknown", each["error"]))
            continue
        rows += [(each["channel"], hook["topic"], hook["state"], hook["url"]) for hook in each["webhooks"]]
        if not each["webhooks"] and not each["wanted"]:
            apart.append(f"{each['channel']}: nothing to subscribe from here; its webhooks are set up at the channel")
        there = {hook["topic"] for hook in each["webhooks"]}
        rows += [(each["channel"], topic, "missing", None) for topic in each["missing"] if topic not in there]
    found = [table(("channel", "topic", "state", "url"), rows)] if rows else []
    return Group(*found, *([sentences(apart)] if apart else []))
