"""What a commit holds and what a request is for: the first half of a point's name."""

from __future__ import annotations

from urllib.parse import urlsplit

from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.sku import Confirmed, Doubted, Failed, Freeze, ReadBack, Revive, Sent
from daemon.storage.codec import Record, load_record
from daemon.storage.environment import Batch
from daemon.storage.tables import BEHIND, CURSORS, DEAD, DELIVERIES, LOG, META, REFETCH

_MESSAGES: dict[type, str] = {
    Sent: "claim", Confirmed: "settle", Failed: "settle", Doubted: "settle", ReadBack: "read-back",
    Adjustment: "adjust", Freeze: "freeze", Revive: "revive",
}  # fmt: skip
_META = {
    b"checkpoint": "checkpoint-end", b"clocks": "clocks", b"paused": "pause", b"format": "birth",
    b"floor": "compacted",
}  # fmt: skip
_ROWS = {CURSORS: "cursor", DELIVERIES: "webhook", DEAD: "letter", REFETCH: "refetch-wish"}


def commit_kinds(batch: Batch) -> list[str]:
    """All that this commit holds, by the names in `points.COMMITS`; each once."""
    kinds = [_told(load_record(int.from_bytes(key, "big"), payload)) for key, payload in batch.puts.get(LOG, [])]
    named = [_META.get(key, "") for key, _ in batch.puts.get(META, [])]
    if "birth" in named:
        named = ["birth"]  # a new state is born with an empty checkpoint
    kinds += named
    kinds += [kind for table, kind in _ROWS.items() if batch.puts.get(table)]
    if batch.deletes.get(DEAD):
        kinds.append("letter-gone")
    if batch.deletes.get(DELIVERIES):
        kinds.append("pruned")
    if any(batch.puts.get(table) or batch.deletes.get(table) for table in BEHIND):
        kinds.append("checkpoint-rows")
    return [kind for kind in dict.fromkeys(kinds) if kind]


def _told(record: Record) -> str:
    message, by = record.message, record.cause.by
    match message:
        case StockCount():
            return "first-count" if by == "catalogue" else "count"
        case OrderLine():
            return by if by in ("webhook", "poll", "refetch") else ""
        case LevelReport():
            return "catalogue" if by == "catalogue" else ""
        case _:
            return _MESSAGES.get(type(message), "")


def call_kind(method: str, url: str) -> str:
    """What a request is for, by the names in `points.CALLS`; empty for what is none of these."""
    parts = urlsplit(url)
    path = parts.path.removeprefix("/wp-json/wc/v3")
    if path == "/webhooks":
        return "register" if method == "POST" else "subscriptions"
    if method == "PUT" or path.endswith("/batch"):
        return "push"
    if path.startswith("/orders/"):
        return "refetch"
    if path == "/orders":
        return "poll"
    if path == "/listings":
        return "read-back" if "listing=" in parts.query else "catalogue"
    return ""
