"""Why a listing shows what it shows: numbers, rules and events, and the sentences that join them."""

from __future__ import annotations

from daemon.admin.answers import Json
from daemon.admin.drift import DONE, drift_view
from daemon.admin.views import PUSHES, Surroundings, entry, kit_view, numbers, raise_stuck, slot_state
from daemon.admin.words import belief, doings, ingredients, moment, when
from daemon.domain.instants import SECOND_US
from daemon.domain.kits import Kit
from daemon.domain.observations import LevelReport
from daemon.domain.policy import Policy, explained
from daemon.domain.sku import Sku
from daemon.domain.slot import Slot
from daemon.domain.stock import Stock
from daemon.storage.codec import Record
from daemon.storage.drifts import Drift

LOOK_BACK = 200
"""Events of the SKU among which the ones that changed a listing are looked for."""
EVENTS_SHOWN = 5
ORDERS_SHOWN = 50


def explain_view(state: Sku, around: Surroundings, channel: str = "") -> Json:
    """`GET /v1/skus/{sku}/explain`: every listing, or those of one channel."""
    recent = around.recent(state.sku, LOOK_BACK)
    orders = open_orders(state.stock)
    return {
        "sku": state.sku,
        **numbers(state),
        **kit_view(state, around),
        "stock": stock_sentences(state, around),
        "anchors": anchors(state.stock),
        "open_orders": orders[:ORDERS_SHOWN],
        "open_orders_count": len(orders),
        "listings": [
            _listing(state, slot, around, recent)
            for _, slot in sorted(state.slots.items())
            if not channel or slot.channel == channel
        ],
    }


def anchors(stock: Stock) -> list[Json]:
    """The count in force at each location: who counted what, when."""
    return [
        {
            "location": location or None,
            "quantity": anchor.quantity,
            "kind": anchor.kind,
            "at": moment(anchor.at),
            "source": anchor.source,
            "reference": anchor.reference or None,
            "settled": stock.settled_by(location),
        }
        for location, anchor in sorted(stock.anchors.items())
    ]


def open_orders(stock: Stock) -> list[Json]:
    """Order lines with units sold that are still on the shelf."""
    held = []
    for (channel, order, line), timeline in stock.open_lines():
        now = timeline.now()
        held.append(
            {"channel": channel, "order": order, "line": line, "held": now.taken - now.fulfilled,
             "taken": now.taken, "since": moment(timeline.placed or timeline.sightings[0].at),
             "kit": timeline.kit or None}
        )  # fmt: skip
    return held


def stock_sentences(state: Sku, around: Surroundings) -> list[str]:
    """Where the number comes from."""
    if state.kit is not None:
        return [*kit_sentences(state.sku, state.kit), *_halted(state, around)]
    stock = state.stock
    said = [
        f"{anchor.source} counted {anchor.quantity} {anchor.kind.replace('_', ' ')} at {moment(anchor.at)}"
        + (f", location {location}" if location else "")
        + (f" ({anchor.reference})" if anchor.reference else "")
        for location, anchor in sorted(stock.anchors.items())
    ]
    if stock.available is None:
        said.append("nobody has counted this SKU yet; enter what is there with `onhand count`")
    else:
        said.append(
            f"what moved since makes it {stock.available} available: "
            f"{stock.on_hand} on the shelf, {stock.held} of them sold and not yet handed over"
        )
    if stock.debt:
        said.append(f"{stock.debt} more were sold than there are; the next restock pays them first")
    if stock.ambiguous:
        said.append(
            f"of {stock.ambiguous} facts nobody can say on which side of a count they fall; the lower number holds"
        )
    through: dict[str, int] = {}
    for _, line in stock.open_lines():
        if line.kit and not line.whole:
            now = line.now()
            through[line.kit] = through.get(line.kit, 0) + now.taken - now.fulfilled
    said += [f"{units} of the units held were sold through kit {kit}" for kit, units in through.items() if units]
    if kits := around.kits_of(state.sku):
        said.append(f"it is a component of {', '.join(kits)}")
    return said + _halted(state, around)


def kit_sentences(sku: str, kit: Kit) -> list[str]:
    """Why a kit has the number it has."""
    said = [f"{sku} is a kit of {ingredients(kit.recipe)}: there are as many as its scarcest component makes"]
    limits = kit.limits()
    for component, units in kit.recipe:
        level, makes = kit.levels.get(component), kit.makes(component)
        if level is None or level.available is None:
            said.append(f"nobody has counted {component} yet: nothing is pushed until `onhand count {component} N`")
            continue
        limit = ", which sets the number" if component in limits else ""
        said.append(f"{level.available} {component} make {makes} at {units} each{limit}")
        if level.stuck:
            said.append(
                f"of {component} there may be fewer ({level.stuck}): nothing is raised until that letter is "
                "retried or discarded"
            )
    return said


def _halted(state: Sku, around: Surroundings) -> list[str]:
    said, stuck = [], around.stuck(state.sku)
    if state.freeze is not None:
        why = f" ({state.freeze.reason})" if state.freeze.reason else ""
        said.append(f"frozen by {state.freeze.by}{why}: its listings keep what they should show until it is unfrozen")
    if stuck.quarantined:
        said.append(f"nothing is applied to it: {stuck.quarantined}")
    if stuck.halted:
        said.append("what became of a push could not be applied: nothing is pushed until its dead letter is retried")
    if stuck.differs:
        said.append(f"{stuck.differs}: nothing is pushed until `onhand rebuild` has put that right")
    return said


def _listing(state: Sku, slot: Slot, around: Surroundings, recent: list[Record]) -> Json:
    frozen, doubted = state.freeze is not None, state.kit is not None and state.kit.unsure
    policy = around.policy(slot.channel)
    wish, rules = _explained(state, slot, policy) if policy else (None, [])
    now_us = around.now_us
    drift = around.drift_of(slot)
    return {
        "channel": slot.channel,
        "listing": slot.listing,
        "shows": slot.belief,
        "should_show": slot.desired,
        "wish_now": wish,
        "rules": rules,
        "state": slot_state(slot, frozen=frozen, around=around),
        "why": [
            belief(slot),
            *_wish(slot, wish, rules, frozen=frozen, doubted=doubted),
            *_waits(slot, around),
            *(_drifted(drift) if drift else ()),
            *_distrusted(slot, around),
        ],
        "generation": slot.generation,
        "attempts": slot.attempt,
        "next_try_at": when(slot.due_us) if slot.due_us > now_us else None,
        "read_back_at": when(slot.recheck_us),
        "last_push_at": when(slot.pushed_us),
        "last_error": slot.error or None,
        "dead_letter": slot.dead_letter or None,
        "drift": drift_view(drift) if drift else None,
        "events": [entry(record) for record in recent if _changed(record, slot)][:EVENTS_SHOWN],
    }


def _drifted(drift: Drift) -> list[str]:
    """The newest drift of a listing, in a sentence."""
    why = f": {drift.causes[0].because}" if drift.causes else ""
    showed = drift.first_shown if drift.done == "resolved" else drift.shown
    seen = f"at {when(drift.at_us)} it showed {showed} and should have shown {drift.expected}"
    return [f"{seen}, likely a {drift.cause}{why}; done: {DONE[drift.done]}"]


def _explained(state: Sku, slot: Slot, policy: Policy) -> tuple[int | None, list[str]]:
    held = state.held_at(slot)
    if state.kit is None:
        return explained(state.available, policy, held)
    if state.available is None:
        return None, ["a component has not been counted yet: the channel keeps what it shows"]
    wish, rules = explained(state.available, policy, held)
    return wish, [f"kits from {' and '.join(state.kit.limits())}", *rules]


def _wish(slot: Slot, wish: int | None, rules: list[str], *, frozen: bool, doubted: bool) -> list[str]:
    said = [f"it should show {slot.desired}: {', '.join(rules)}"] if slot.desired is not None and rules else rules
    if (frozen or doubted) and wish is not None and wish != slot.desired:
        why = "the SKU is frozen" if frozen else "of a component there may be fewer"
        return [f"it keeps {slot.desired} because {why}; else it would be {wish}: {', '.join(rules)}"]
    return said


def _waits(slot: Slot, around: Surroundings) -> list[str]:
    view, stuck = around.view(slot.channel), around.stuck(slot.sku)
    said = doings(slot, around.now_us)
    if around.policy(slot.channel) is None:
        return [*said, "the channel is not configured any more, so nothing is pushed"]
    if around.stopped(slot.channel):
        said.append(f"the channel is paused: see `onhand channels resume {slot.channel}`")
    elif around.mode(slot.channel) == "shadow":
        said.append(
            f"the channel is in shadow, so nothing is pushed: see `onhand shadow {slot.channel}`, and "
            f"`onhand channels live {slot.channel}`"
        )
    elif around.mode(slot.channel) == "rollback":
        said.append("the channel is being rolled back to the levels from before it went live")
    elif view is not None and view.state in ("down", "throttled"):
        said.append(f"the channel is {view.state}" + (f": {view.last_error}" if view.last_error else ""))
    if stuck.differs:
        said.append("nothing is pushed: the books of the SKU are not what the log makes of them")
    if slot.open() and (letter := raise_stuck(slot, around)):
        said.append(f"it is not raised until {letter} is retried or discarded: that may be a sale not yet applied")
    elif slot.open() and around.raise_waits(slot):
        waited_s = max(0, around.now_us - slot.raised_us) / SECOND_US
        read = when(around.read_us(slot.channel)) or "none"
        said.append(
            f"held: waiting for {slot.channel}'s order feed, {waited_s:.1f} s; raising waits until every order up to "
            f"what it rests on has been read (so far up to {read}): a sale not yet seen must not be sold twice"
        )
    return said or ["there is nothing to do" if slot.belief == slot.desired else "it is pushed next"]


def _distrusted(slot: Slot, around: Surroundings) -> list[str]:
    view = around.view(slot.channel)
    if view is None or view.trust == "trusted":
        return []
    since = when(view.trust_since_us) or "a while ago"
    if view.trust == "downgraded":
        return [f"{slot.channel} acknowledged what it did not do: its acknowledgements are read back since {since}"]
    return [f"{slot.channel} acknowledged what it did not do: many of its pushes are read back since {since}"]


def _changed(record: Record, slot: Slot) -> bool:
    """Did this event change what the listing shows, or should show?"""
    message = record.message
    if isinstance(message, (*PUSHES, LevelReport)):
        return (message.channel, message.listing) == (slot.channel, slot.listing)
    return record.before != record.after
