"""What the log makes of a SKU's listings, held against those in use and those that are stored.

Compared is everything of a listing that the log determines: the wish and its generation, what it is believed to show
and on what evidence, the push under way, what stopped or holds it. Not compared:

- when it is tried or read again (`due_us`, `recheck_us`): a channel that answers again has both moved, without a word
  in the log;
- when its wish last rose (`raised_us`): rows from before that was kept do not say;
- listings of a channel that was ever not live: what is only watched is looked at again without a word in the log, and
  under a rule of its own;
- all listings of a SKU whose first events are older than the rules in the log (`Folding.exact`), of one that is just
  being told something, and of one whose actor crashed, until its dead letter is dealt with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from daemon.actors.actor import Actor, load_actor
from daemon.actors.circumstances import FREE, RULES_MAX
from daemon.actors.past import Folding
from daemon.actors.registry import Registry
from daemon.domain.conditions import Standing
from daemon.domain.slot import Slot, dump_slot
from daemon.storage.codec import ESTRANGED, RULES, STANDING, pack
from daemon.storage.store import Store
from daemon.storage.tables import SKUS

Listings = Mapping[tuple[str, str], Slot]

WANTED, DUE, RECHECK = 5, 15, 16
"""Places in `dump_slot` of what is not compared."""


def watched(store: Store) -> frozenset[str]:
    """The channels that were not live at some time, as far as the log says."""
    records = store.events_of(STANDING, 0, store.head.seq, RULES_MAX)
    return frozenset(
        name for record in records if isinstance(record.message, Standing) for name, _ in record.message.modes
    )


def compared(slots: Listings, without: Collection[str]) -> dict[tuple[str, str], bytes]:
    """Of each listing what is compared, byte for byte."""
    found = {}
    for key, slot in slots.items():
        if slot.channel not in without:
            plain = list(dump_slot(slot))
            plain[WANTED], plain[DUE], plain[RECHECK] = slot.wanted_us, 0, 0
            found[key] = pack(plain)
    return found


def different(folded: Listings, there: Listings, without: Collection[str]) -> str:
    """The first listing that is not what the log makes of it, in words; empty where all are."""
    wanted, found = compared(folded, without), compared(there, without)
    for channel, listing in sorted(wanted.keys() | found.keys()):
        if wanted.get((channel, listing)) != found.get((channel, listing)):
            return f"listing {listing} of {channel}"
    return ""


def difference(store: Store, registry: Registry, folding: Folding) -> str:
    """Which listing of a SKU is not what the log makes of it, and where; empty where that is none, or cannot be said.
    Call it in the turn in which the folding has reached the end of the log."""
    sku, actor = folding.sku, registry.actors.get(folding.sku)
    stuck = registry.circumstances.stuck.get(sku, FREE)
    if not folding.exact or stuck.quarantined or stuck.halted or stuck.poison or (actor and actor.mailbox):
        return ""
    without = watched(store)
    if actor is not None and (where := different(folding.state.slots, actor.state.slots, without)):
        return f"{where}, in use, is not what the log makes of it at event {folding.newest}"
    row = None if actor is not None and actor.dirty else _stored(store, sku, folding)
    if row is not None and (where := different(folding.state.slots, row.state.slots, without)):
        return f"{where}, as it is stored, is not what the log makes of it at event {folding.newest}"
    return ""


def _stored(store: Store, sku: str, folding: Folding) -> Actor | None:
    """The stored row, where it knows all that the folding knows: also of what concerned every SKU."""
    payload = store.env.get(SKUS, sku.encode())
    row = None if payload is None else load_actor(sku, payload)
    if row is None or row.seq < folding.newest:
        return None
    head = store.head.seq
    news = any(store.events_of(name, row.as_of, head, 1) for name in (RULES, ESTRANGED))
    return None if news else row
