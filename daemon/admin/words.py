"""Log events, moments and slots in words that a shop owner understands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.domain.conditions import Compacted, Condition, Estranged, FeedRead, Root, Rules, Standing, Stuck
from daemon.domain.instants import Instant
from daemon.domain.kits import Assemble, ComponentLevel
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, Recipe, StockCount
from daemon.domain.sku import (
    Confirmed,
    Doubted,
    Failed,
    Freeze,
    Hold,
    Link,
    Postponed,
    PushMessage,
    ReadBack,
    Reprice,
    Restore,
    Revive,
    Sent,
    Settle,
)
from daemon.domain.slot import Slot
from daemon.storage.codec import EmptyOrder, Entry

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US: Final = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000


def rfc3339(us: int) -> str:
    """A moment of our clock (µs since 1970) as RFC 3339 in UTC, with microseconds."""
    at = _EPOCH + timedelta(microseconds=min(max(us, 0), _LAST_US))
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def when(us: int) -> str | None:
    """The same; None for 0, which means "never"."""
    return rfc3339(us) if us else None


def moment(instant: Instant) -> str:
    """The latest that an instant may have been, on our clock."""
    return rfc3339(instant.at.hi)


KINDS: Final[dict[type, str]] = {
    OrderLine: "order",
    EmptyOrder: "order",
    StockCount: "count",
    Adjustment: "adjustment",
    LevelReport: "link",
    Sent: "push_sent",
    Confirmed: "push_confirmed",
    Failed: "push_failed",
    Doubted: "push_doubted",
    ReadBack: "read_back",
    Revive: "revive",
    Hold: "hold",
    Restore: "restore",
    Settle: "settle",
    Reprice: "reprice",
    Assemble: "recipe",
    ComponentLevel: "component",
    Postponed: "postponed",
    Rules: "rules",
    Standing: "standing",
    FeedRead: "feed_read",
    Stuck: "stuck",
    Root: "chain.root",
    Estranged: "restored",
    Compacted: "chain.compacted",
}

VERDICTS: Final = {
    "superseded": "a newer count holds it already, so it changes nothing",
    "conflict": "the channel contradicts itself here; the order is fetched again",
    "late": "it is older than what has been settled; it was put aside as a dead letter",
    "poison": "it could not be applied; it was put aside as a dead letter",
    "known": "nothing new",
    "ambiguous": "nobody can say on which side of a count it falls, so the lower number holds",
}
"""What a verdict other than "applied" means. Verdicts that need no word (linked, frozen ...) are left out."""


def kind_of(message: Entry) -> str:
    """The word for a kind of event, as `history` and `events` show it."""
    if isinstance(message, Freeze):
        return "freeze" if message.frozen else "unfreeze"
    if isinstance(message, Link):
        return "linked" if message.linked else "unlinked"
    return KINDS[type(message)]


def told(message: Entry, verdict: str = "") -> str:
    """What happened, in one sentence; `verdict` is the record's note."""
    if isinstance(message, LevelReport) and verdict in ("suspected", "looked"):
        seen = "shows" if message.read_us else "is said to show"
        return (
            f"listing {message.listing} {seen} {_level(message.level)}, which nothing explains yet: it is read again"
        )
    meaning = VERDICTS.get(verdict, "")
    return f"{_told(message)}: {meaning}" if meaning else _told(message)


def _told(message: Entry) -> str:
    match message:
        case OrderLine():
            return _line(message)
        case EmptyOrder():
            return f"order {message.order} has no lines"
        case StockCount():
            by = f" ({message.reference})" if message.reference else ""
            return f"{message.source} counted {message.quantity} {message.kind.replace('_', ' ')}{by}"
        case Adjustment():
            reason = f" ({message.reason})" if message.reason else ""
            return f"{message.source} adjusted by {message.quantity:+d}, reference {message.reference}{reason}"
        case LevelReport():
            return f"listing {message.listing} was linked to this SKU; it shows {_level(message.level)}"
        case Freeze() | Link():
            return _decided(message)
        case Settle():
            return f"what is older than {rfc3339(message.horizon_us)} was folded into the count"
        case Reprice():
            return "the channels' rules changed"
        case Assemble():
            return f"a kit of {ingredients(message.recipe)}" if message.recipe else "no kit any more"
        case ComponentLevel():
            return _component(message)
        case Rules() | Standing() | FeedRead() | Stuck() | Root() | Estranged() | Compacted():
            return _circumstance(message)
        case _:
            return _pushed(message)


def _circumstance(message: Condition) -> str:
    match message:
        case Rules():
            names = ", ".join(name for name, _, _ in message.channels) or "none"
            return f"from here on these channels are configured, with their rules: {names}"
        case Standing():
            modes = [f"{name} is in {mode}" for name, mode in message.modes]
            said = [f"paused: {', '.join(message.paused)}"] * bool(message.paused) + modes
            return "; ".join(said) or "every channel is live, and none is paused"
        case FeedRead():
            return f"the orders of {message.channel} are read up to {rfc3339(message.up_to_us)}"
        case Root():
            return f"the chain of {message.day} ends at event {message.seq} with {message.digest.hex()}"
        case Compacted():
            return f"what was up to event {message.seq} is kept as the state that it made"
        case Estranged():
            return "the state was restored from a backup: every listing is read before anything is pushed to it"
        case Stuck():
            reasons = [message.quarantined, message.poison, message.differs]
            said = [reason for reason in reasons if reason] + ["nothing is pushed"] * message.halted
            return f"it is stuck: {'; '.join(said)}" if said else "it is worked on as usual again"


def _line(message: OrderLine) -> str:
    parts = [f"{message.ordered} ordered"]
    parts += [
        f"{units} {word}"
        for units, word in (
            (message.cancelled, "cancelled"),
            (message.restocked, "restocked"),
            (message.fulfilled, "fulfilled"),
        )
        if units
    ]
    through = f" (through kit {message.kit})" if message.kit not in ("", message.sku) else ""
    return f"order {message.order} line {message.line}{through}: {', '.join(parts)}"


def ingredients(recipe: Recipe) -> str:
    """What one kit holds."""
    return ", ".join(f"{units} {component}" for component, units in recipe)


def _component(message: ComponentLevel) -> str:
    has = "has not been counted" if message.available is None else f"has {message.available} available"
    return f"component {message.component} {has}" + (f"; perhaps fewer ({message.stuck})" if message.stuck else "")


def _decided(message: Freeze | Link) -> str:
    why = f" ({message.reason})" if message.reason else ""
    if isinstance(message, Link):
        return (
            f"{message.by} said that listing {message.listing} {'is' if message.linked else 'is not'} this SKU{why}"
        )
    return f"frozen by {message.by}{why}" if message.frozen else f"unfrozen by {message.by}"


HELD: Final = {
    "": "it is pushed to again",
    "report": "nothing is pushed to it because it drifted: its channel's rule is to report that",
    "mass": "it is held: too many listings of its channel changed at once",
    "adopt": "what it shows is to be taken for a fact",
    "correct": "our level is to be pushed over what it shows",
}


def _pushed(message: PushMessage) -> str:
    match message:
        case Sent():
            return f"push of {message.level} sent (it showed {_level(message.believed)})"
        case Confirmed():
            return f"the channel shows {message.level}"
        case Failed() if message.dead_letter:
            return f"the push failed for good: {message.error} (dead letter {message.dead_letter})"
        case Failed():
            return f"the push failed and is tried again: {message.error}"
        case Doubted():
            return f"nobody knows whether the push happened: {message.error}; the listing is read back"
        case ReadBack():
            return f"read back: the listing shows {_level(message.level)}"
        case Postponed():
            why = f" ({message.error})" if message.error else ""
            return f"it is to be read back at {rfc3339(message.recheck_us)}{why}"
        case Revive():
            return "asked for by a person: read the listing, then push what differs"
        case Hold():
            return f"listing {message.listing}: {HELD[message.held]}"
        case Restore(level=None):
            return f"listing {message.listing} follows the stock again"
        case Restore():
            return f"listing {message.listing} is to show {message.level} again, as before it was pushed to"


def _level(level: int | None) -> str:
    return "no managed quantity" if level is None else str(level)


# --- why a slot is as it is ----------------------------------------------------------------------------------


def doings(slot: Slot, now_us: int) -> list[str]:
    """What is under way for a listing, and what waits, in sentences; empty when nothing is."""
    said = []
    if slot.in_flight:
        since = when(slot.sent_us)
        said.append(f"a push of {slot.sent_level} (generation {slot.in_flight}) is under way since {since}")
    if slot.error:
        said.append(f"the last try failed: {slot.error}")
    if slot.dead_letter:
        said.append(
            f"pushing has stopped (dead letter {slot.dead_letter}): see `onhand dead-letters show {slot.dead_letter}`"
        )
        return said
    if slot.held:
        said.append(HELD[slot.held])
    if slot.suspicion is not None:
        seen = slot.suspicion
        said.append(f"it was seen to show {seen.shown} where {seen.expected} was expected: it is read again")
    if slot.due_us > now_us:
        said.append(f"the next try is at {when(slot.due_us)}, after {slot.attempt} so far")
    if slot.recheck_us:
        said.append(f"the listing is read back {_by(slot.recheck_us, now_us)}, before anything else is pushed")
    if slot.alive_until_us > now_us:
        said.append(f"an older request may still be applied by the channel until {when(slot.alive_until_us)}")
    return said


def _by(at_us: int, now_us: int) -> str:
    return "now" if at_us <= now_us else f"at {rfc3339(at_us)}"


def belief(slot: Slot) -> str:
    """What we believe the listing shows, and on what evidence."""
    if slot.belief is None or slot.base_at is None:
        return "what it shows is unknown: the channel has not said, or manages no quantity for it"
    seen = f"it shows {slot.belief}: the channel showed {slot.base} at {moment(slot.base_at)}"
    if slot.added:
        seen += f"; {slot.added} of these are sold there and not sent yet"
    if slot.belief != slot.base:
        sold = (slot.base or 0) - slot.belief
        seen += f", and {'sold' if sold > 0 else 'took back'} {abs(sold)} since"
    return seen
