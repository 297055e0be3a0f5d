"""What the admin socket shows of SKUs and their listings: pure functions over what is inside, JSON-ready values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from attrs import define, field

from daemon.actors.packed import PackedLines
from daemon.admin.answers import ApiError, Json, unknown_sku
from daemon.admin.inside import ChannelView, Inside
from daemon.admin.words import kind_of, told, when
from daemon.domain.conditions import Stuck
from daemon.domain.kits import Assemble, ComponentLevel
from daemon.domain.mode import Mode
from daemon.domain.observations import BadSkuError, LevelReport, OrderLine, check_sku
from daemon.domain.policy import Policy
from daemon.domain.sku import (
    Confirmed,
    Doubted,
    Failed,
    Hold,
    Link,
    Postponed,
    PushMessage,
    ReadBack,
    Restore,
    Revive,
    Sent,
    Sku,
)
from daemon.domain.slot import Slot, SlotState
from daemon.domain.stock import Stock
from daemon.storage.codec import EmptyOrder, Record
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.drifts import Drift

PUSHES: Final = (Sent, Confirmed, Failed, Doubted, ReadBack, Revive, Hold, Restore, Postponed)


# --- listings ------------------------------------------------------------------------------------------------


class Surroundings(Protocol):
    """Under what circumstances SKUs are shown: those of now (`Channels`), or of a moment of the past."""

    @property
    def now_us(self) -> int:
        """The moment that is shown, on our clock."""
        ...

    def policy(self, channel: str) -> Policy | None:
        """The channel's rules; None for one that is not configured."""
        ...

    def view(self, channel: str) -> ChannelView | None:
        """How the channel is; None where nobody knows."""
        ...

    def stopped(self, channel: str) -> bool:
        """Does nothing leave for this channel, because a person paused it or it is not configured?"""
        ...

    def mode(self, channel: str) -> Mode:
        """Is the channel written to?"""
        ...

    def read_us(self, channel: str) -> int:
        """Every order of the channel up to then is absorbed; 0: not known."""
        ...

    def raise_waits(self, slot: Slot) -> bool:
        """Would the next push raise the level, while orders of that channel may still be unseen?"""
        ...

    def stuck(self, sku: str) -> Stuck:
        """Why the SKU is not worked on as usual."""
        ...

    def kits_of(self, sku: str) -> tuple[str, ...]:
        """The kits that hold this component."""
        ...

    def recent(self, sku: str, limit: int) -> list[Record]:
        """The SKU's newest events, newest first."""
        ...

    def drift_of(self, slot: Slot) -> Drift | None:
        """The newest drift of a listing."""
        ...


@define
class Channels:
    """The circumstances of now. Each channel's view is taken at most once: one request shows one moment."""

    inside: Inside
    now_us: int = field(init=False)
    _seen: dict[str, ChannelView | None] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.now_us = self.inside.store.wall_us()

    def policy(self, channel: str) -> Policy | None:
        """The channel's rules; None for one that is not configured any more."""
        control = self.inside.channels.get(channel)
        return control.policy() if control else None

    def view(self, channel: str) -> ChannelView | None:
        """The channel's view; None for one that is not configured any more."""
        if channel not in self._seen:
            control = self.inside.channels.get(channel)
            self._seen[channel] = control.view() if control else None
        return self._seen[channel]

    def stopped(self, channel: str) -> bool:
        """Does nothing leave for this channel, because a person paused it or it is not configured?"""
        view = self.view(channel)
        return view is None or view.state == "paused"

    def mode(self, channel: str) -> Mode:
        """Is it written to?"""
        view = self.view(channel)
        return view.mode.mode if view else "live"

    def read_us(self, channel: str) -> int:
        """Every order of the channel up to then is absorbed."""
        view = self.view(channel)
        return view.watermark_us if view else 0

    def raise_waits(self, slot: Slot) -> bool:
        """Would the next push raise the level, while orders of that channel may still be unseen?"""
        view = self.view(slot.channel)
        if view is None or not slot.raises():
            return False
        compares = view.compare_and_set and not self.inside.registry.shares(slot.sku)
        return view.watermark_us < slot.raise_needs_us(compares=compares)

    def stuck(self, sku: str) -> Stuck:
        """Why the SKU is not worked on as usual."""
        registry = self.inside.registry
        return Stuck(
            registry.quarantined.get(sku, ""), sku in registry.halted, self.inside.dead_letters.poison(sku),
            registry.circumstances.differs(sku),
        )  # fmt: skip

    def kits_of(self, sku: str) -> tuple[str, ...]:
        """The kits that hold this component."""
        return self.inside.registry.kits_of(sku)

    def recent(self, sku: str, limit: int) -> list[Record]:
        """The SKU's newest events, newest first."""
        return self.inside.store.history(sku, limit=limit)

    def drift_of(self, slot: Slot) -> Drift | None:
        """The newest drift of a listing."""
        return self.inside.drifts.newest_of(slot.channel, slot.listing)


def raise_stuck(slot: Slot, around: Surroundings) -> str:
    """The dead letter because of which the listing is not raised: the sale it may hold is not applied yet."""
    return around.stuck(slot.sku).poison if slot.raises() else ""


def slot_state(slot: Slot, *, frozen: bool, around: Surroundings) -> SlotState:
    """The one word for a listing's state, the most pressing first."""
    if slot.dead_letter:
        return "dead"
    if slot.in_flight:
        return "in_flight"
    stuck = around.stuck(slot.sku)
    if frozen or slot.withheld() or stuck.halted or stuck.differs:
        return "held"
    if not slot.open() and slot.belief is not None and slot.belief == slot.desired:
        return "settled"
    if around.stopped(slot.channel):
        return "paused"
    if around.mode(slot.channel) != "live" and slot.prior is None:
        return "shadow"
    # Nobody counted, or the channel manages no quantity: what is there is held until somebody says more.
    unknown = slot.desired is None or slot.belief is None
    if unknown or around.raise_waits(slot) or (stuck.poison and slot.raises()):
        return "held"
    return "pending"


def listing_view(slot: Slot, *, frozen: bool, around: Surroundings) -> Json:
    """One listing. Levels are units, None where unknown."""
    return {
        "channel": slot.channel,
        "listing": slot.listing,
        "desired": slot.desired,
        "belief": slot.belief,
        "generation": slot.generation,
        "state": slot_state(slot, frozen=frozen, around=around),
        "last_push_at": when(slot.pushed_us),
        "last_error": slot.error or None,
        "dead_letter": slot.dead_letter or None,
    }


# --- SKUs ----------------------------------------------------------------------------------------------------


def valid_sku(text: str) -> str:
    """The SKU of a request. Raises `ApiError` 400 for one that cannot be kept, and so cannot be known."""
    try:
        return check_sku(text)
    except BadSkuError as error:
        raise ApiError(400, "bad_sku", str(error), "spell the SKU exactly as the channel does") from None


def find_sku(inside: Inside, sku: str) -> Sku:
    """The SKU's present state. Raises `ApiError` 404 where nobody told of it."""
    state = inside.registry.peek(sku)
    if state is None or not is_told(state):
        raise unknown_sku(sku)
    return state


def is_told(state: Sku) -> bool:
    """Did anybody ever tell anything of this SKU?"""
    stock = state.stock
    told = stock.anchors or stock.lines or stock.adjustments or stock.settled_us
    return bool(state.slots or told or state.freeze or state.kit)


def sku_view(state: Sku, around: Surroundings) -> Json:
    """`GET /v1/skus/{sku}`. Quantities are units; None while nobody has counted."""
    freeze = state.freeze
    return {
        "sku": state.sku,
        **numbers(state),
        **kit_view(state, around),
        "ambiguous": state.stock.ambiguous,
        "frozen": {"by": freeze.by, "reason": freeze.reason or None} if freeze else None,
        "quarantined": around.stuck(state.sku).quarantined or None,
        "versions": versions(state.stock),
        "listings": [
            listing_view(slot, frozen=freeze is not None, around=around) for _, slot in sorted(state.slots.items())
        ],
    }


def numbers(state: Sku) -> Json:
    """The four numbers of a SKU. A kit is not on the shelf itself, and its debt is its components'."""
    stock = state.stock
    if state.kit is not None:
        return {"available": state.available, "on_hand": None, "held": kits_held(stock), "debt": 0}
    return {"available": stock.available, "on_hand": stock.on_hand, "held": stock.held, "debt": stock.debt}


def kits_held(stock: Stock) -> int:
    """Kits sold and not yet handed over."""
    readings = [line.now() for _, line in stock.open_lines() if line.whole]
    return sum(now.taken - now.fulfilled for now in readings)


def kit_view(state: Sku, around: Surroundings) -> Json:
    """`components`: what a kit is made of, None for any other SKU; `kits`: those that a component is in."""
    kit = state.kit
    limits = kit.limits() if kit else []
    components = [
        {
            "sku": component, "units": units, "makes": kit.makes(component), "limits": component in limits,
            "available": level.available if (level := kit.levels.get(component)) else None,
            "doubt": (level.stuck or None) if level else None,
        }
        for component, units in kit.recipe
    ] if kit else None  # fmt: skip
    return {"components": components, "kits": list(around.kits_of(state.sku))}


def versions(stock: Stock) -> dict[str, str]:
    """Per channel the newest version of any order that this SKU knows, as text."""
    newest: dict[str, int] = {}
    if isinstance(stock.lines, PackedLines):
        newest = stock.lines.newest()
    else:
        for (channel, _, _), line in stock.lines.items():
            newest[channel] = max(newest.get(channel, 0), line.sightings[-1].version)
    return {channel: str(version) for channel, version in sorted(newest.items())}


_PRESSING: Final[tuple[SlotState, ...]] = ("dead", "in_flight", "pending", "held", "paused", "shadow", "settled")


def sku_row(state: Sku, around: Surroundings) -> Json:
    """One SKU of a list: its numbers, how many listings it has, and the most pressing of their states."""
    frozen = state.freeze is not None
    states = {slot_state(slot, frozen=frozen, around=around) for slot in state.slots.values()}
    state_word = next((word for word in _PRESSING if word in states), None)
    return {"sku": state.sku, **numbers(state), "listings": len(state.slots), "state": state_word}


# --- events --------------------------------------------------------------------------------------------------


def entry(record: Record) -> Json:
    """One event of the log. `before` and `after` are available units around it; None where it has no say in them."""
    message, cause = record.message, record.cause
    order = cause.order or getattr(message, "order", "")
    line = cause.line or getattr(message, "line", "")
    shown: Json = {
        "seq": record.seq,
        "at": when(record.at_us),
        "sku": record.sku,
        "kind": kind_of(message),
        "channel": cause.channel or getattr(message, "channel", "") or None,
        "cause": {"delivery": cause.delivery or None, "order": order or None, "line": line or None, "by": cause.by},
        "before": record.before,
        "after": record.after,
        "note": told(message, record.note),
    }
    if record.note == "ambiguous":
        shown["ambiguous"] = True
    if isinstance(message, OrderLine):
        shown["version"] = message.version
        if message.kit:
            shown["kit"] = message.kit
    if isinstance(message, ComponentLevel):
        shown |= {"component": message.component, "component_available": message.available}
    if isinstance(message, Assemble):
        shown["components"] = [{"sku": component, "units": units} for component, units in message.recipe]
    if isinstance(message, Link):
        shown["listing"] = message.listing
    if isinstance(message, (*PUSHES, LevelReport)):
        shown["listing"] = message.listing
        shown |= _level_of(message)
    return shown


def _level_of(message: PushMessage | LevelReport) -> Json:
    names = ("generation", "level", "believed")
    return {name: getattr(message, name) for name in names if hasattr(message, name)}


def concerns(record: Record, sku: str) -> bool:
    """Is this event one of the SKU? The empty SKU stands for all."""
    return not sku or (record.sku == sku and not isinstance(record.message, EmptyOrder))


# --- dead letters --------------------------------------------------------------------------------------------


def letter_view(letter: DeadLetter) -> Json:
    """One dead letter, without its content."""
    return {
        "id": letter.letter,
        "kind": letter.kind,
        "at": when(letter.at_us),
        "channel": letter.channel or None,
        "sku": letter.sku or None,
        "subject": letter.subject,
        "topic": letter.topic or None,
        "delivery": letter.delivery or None,
        "cause": letter.cause,
        "next_action": letter.next_action,
    }


def page_of(rows: Iterable[Json], name: str, following: object) -> Json:
    """A page of a list; `next` is what to ask for the following one with, None at the end."""
    return {name: list(rows), "next": following}


def counts(counters: Mapping[str, int], *names: str) -> Json:
    """The named counters; one that never moved is 0."""
    return {name: counters.get(name, 0) for name in names}
