"""What leaves: each call and each write, looked at when it happens; and each listing that counts as settled."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import trio

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.sku import Sku
from daemon.domain.slot import Slot
from daemon.storage.tables import pair
from tests.simulation.kits import related

if TYPE_CHECKING:
    from daemon.actors.registry import Registry
    from daemon.app.assembly import Parts
    from tests.simulation.fronts import Front
    from tests.simulation.oracle import Oracle
    from tests.simulation.ports import LevelsAsked, Life
    from tests.simulation.truth import TrueLine, Version

PROMPT_S = 2.0
"""In fair weather a wish leaves within this."""
PAUSE_US = 60 * SECOND_US
"""So long after a pause was answered, calls that were begun before it may still push."""
WRITES = ("a push", "a subscription")
"""Calls that change something at a storefront."""
LIE_US = SECOND_US
"""What the daemon took for evidence up to so long after a lie may be the lie itself."""
WINDOW_US = 60 * SECOND_US
CRASHES_MAX = 3
"""A SKU may be quarantined only after so many crashes within the window, as design and daemon say."""

STRANGE = "XSKU-"
"""How the SKUs begin that only strangers name."""

Where = tuple[str, str]
"""(channel, listing)"""


class Pushing:
    """Looks at what leaves."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.known: dict[str, dict[str, dict[tuple[str, str], int]]] = {}
        """By push: what the daemon knew its listings' channel to have sold when it left, by (order, line)."""
        self.last_look_us: dict[str, dict[str, int]] = {}
        """By push: when each of its listings had last been read when it left."""
        self.keys: set[tuple[str, str]] = set()
        self.unanswered: set[Where] = set()
        """Listings with a push of which nobody knows what became of it, and at which nobody looked since."""
        self.edited_us: dict[Where, int] = defaultdict(lambda: -1)
        """When staff last changed what a listing shows, on the storefront's clock."""
        self.lied_us: dict[Where, int] = {}
        """When the storefront last said of a listing what is not so, on its own clock."""
        self.looked_us: dict[Where, int] = {}
        """When each listing was last read, by its name, and said what it showed."""
        self.quiet_until: dict[str, tuple[int, float]] = {}
        self.paused_us: dict[str, int] = {}
        plan = oracle.world.plan
        self.shadowed: set[str] = {plan.shadow} if plan.shadow and not plan.switched else set()
        """Channels that are only watched: from the answer to a word for it until another word is asked."""
        self.poisoned: set[tuple[str, str]] = set()
        """(channel, order) of every observation that actors crashed on."""
        self.stopped: set[str] = set()
        """SKUs that were in quarantine: what is told of them is in letters until somebody retries those."""
        self.crashed: dict[str, list[int]] = defaultdict(list)

    # -- calls --

    def calling(self, life: Life, front: Front, what: str) -> None:
        """Any request leaves: not while the storefront asked for quiet; and nothing is written to one that is only
        watched."""
        if front.name in self.shadowed and what in WRITES:
            self.oracle.fail("I8", f"{front.name} is in shadow, and {what} leaves for it")
        number, until = self.quiet_until.get(front.name, (0, 0.0))
        if number == life.number and trio.current_time() < until - 1e-3:
            left_s = until - trio.current_time()
            self.oracle.fail("I11", f"{front.name} is called {left_s:.3f} s before it allowed that again")

    def leaving(self, life: Life, front: Front, asked: LevelsAsked) -> None:
        """A push leaves."""
        assert life.daemon is not None
        parts, fail = life.daemon.parts, self.oracle.fail
        self.oracle.durable.look(life)
        if (front.name, asked.idempotency_key) in self.keys:
            fail("I6", f"{front.name}: the key {asked.idempotency_key} was used before")
        self.keys.add((front.name, asked.idempotency_key))
        known: dict[str, dict[tuple[str, str], int]] = {}
        looks = {item["listing"]: self.looked_us.get((front.name, item["listing"]), 0) for item in asked.items}
        self.last_look_us[asked.idempotency_key] = looks
        for item in asked.items:
            sku = front.store.shop.listings[item["listing"]].sku
            state = parts.registry.peek(sku)
            assert state is not None
            where = (front.name, item["listing"])
            slot = state.slots[where]
            if self.oracle.durable.sent.get(where) != slot.in_flight:
                fail("I6", f"{where}: the mark of push {slot.in_flight} is not durable, and it leaves")
            if item["quantity"] != slot.desired:
                fail("I6", f"{where}: {item['quantity']} leaves, {slot.desired} is wanted")
            if item.get("if_quantity", slot.belief) != slot.belief:
                fail("I6", f"{where}: {item['if_quantity']} is believed in the push, {slot.belief} by then")
            # Zero raises nothing, whatever becomes of the older one: it need not wait for a look.
            if where in self.unanswered and item["quantity"]:
                fail("I6", f"{where}: pushed again, and nobody looked since a push that was not answered")
            self.unanswered.add(where)
            self._check_held(sku, slot, life)
            if slot.held:
                fail("I8", f"{where}: it is pushed, but held: {slot.held}")
            self._check_prompt(slot)
            if not slot.alive_until_us and not slot.recheck_us:
                self.check_slot(slot, state, leaving=True)
            kin = related(sku, self.oracle.world.plan.kits)
            if (front.blind or len(kin) > 1) and slot.raises() and not self.oracle.world.wall_set:
                for each in kin:
                    self._check_raise(slot, each, parts.registry)
            known[item["listing"]] = {
                (key[1], key[2]): line.now().taken
                for key, line in state.stock.lines.items()
                if key[0] == front.name and (line.whole or not line.kit)
            }
        self.known[asked.idempotency_key] = known

    def _check_held(self, sku: str, slot: Slot, life: Life) -> None:
        frozen_us = self.oracle.durable.frozen_us.get(sku)
        if frozen_us is not None and slot.wanted_us > frozen_us:
            self.oracle.fail("I8", f"{sku} is frozen, but {slot.channel} follows its stock")
        paused_us = self.paused_us.get(slot.channel)
        if paused_us is not None and slot.wanted_us > paused_us + PAUSE_US:
            self.oracle.fail("I8", f"{slot.channel} is paused, but {sku} is pushed there")

    def _check_prompt(self, slot: Slot) -> None:
        shown_us = slot.base_at.at.hi if slot.base_at else 0
        waited_s = (slot.sent_us - max(slot.wanted_us, shown_us)) / SECOND_US
        if self.oracle.world.plan.fair and slot.attempt == 1 and not slot.touched and waited_s > PROMPT_S:
            self.oracle.fail("I7", f"a wish waited {waited_s:.3f} s in fair weather: {slot}")

    def _check_raise(self, slot: Slot, sold: str, registry: Registry) -> None:
        """Without compare-and-set, and where kits share units: every sale there before the wish last rose must be
        known, of the SKU itself and of `sold`, which takes or gives the same units."""
        truth, state = self.oracle.fronts[slot.channel], registry.peek(sold)
        for line in truth.by_sku[sold]:
            then = line.as_of(slot.raised_us - 1, None)
            known = state.stock.lines.get((slot.channel, line.order, line.name)) if state else None
            newest = max((seen.version for seen in known.sightings), default=0) if known else 0
            taken = known.now().taken if known else 0
            if known is None and (entry := registry.orders.table.get(pair(slot.channel, line.order))):
                # Struck before anybody told of it: the version without it says that it takes nothing.
                newest = max((version for version, _ in entry.versions), default=0)
            if line.versions[0].at_us < self.oracle.durable.settled_us[sold]:
                continue  # folded: known, and not as a line any more
            if then is not None and newest < then.number and then.taken() > taken:
                self.oracle.fail(
                    "I5",
                    f"{slot.channel}: {slot.sku} is raised to {slot.desired} over order {line.order} v{then.number}",
                )

    def replied(self, life: Life, front: Front, request: Request, reply: Reply) -> None:
        """The daemon gets a reply."""
        parts = urlsplit(request.url)
        if request.method == "PUT" and request.url.endswith("/levels"):
            listings = [item["listing"] for item in msgspec.json.decode(request.body)["items"]]
            if not _in_doubt(reply):
                self.unanswered.difference_update((front.name, listing) for listing in listings)
        elif parts.path == "/listings":
            listings = parse_qs(parts.query).get("listing", [])
            looked = {(front.name, listing) for listing in listings}
            # Also a look that failed: what lowers for certain need not wait until the channel can be read again.
            self.unanswered -= looked
            if isinstance(reply, Response) and reply.status == 200:
                rows = msgspec.json.decode(reply.body)["items"]
                told = looked & {(front.name, row["listing"]) for row in rows if row["quantity"] is not None}
                self.looked_us.update(dict.fromkeys(told, reply.sent_us))
        if isinstance(reply, Response) and reply.status in (429, 503) and "retry-after" in reply.headers:
            wait_s = float(reply.headers["retry-after"]) if reply.headers["retry-after"].isdigit() else 0.0
            number, until = self.quiet_until.get(front.name, (0, 0.0))
            known = until if number == life.number else 0.0  # a new life has not heard what an older one was told
            self.quiet_until[front.name] = (life.number, max(known, trio.current_time() + wait_s))

    # -- writes --

    def wrote(self, front: Front, write: Any) -> None:
        """A level was written, or refused, at this very moment."""
        if write.fault == "staff":
            self.edited_us[front.name, write.listing] = self.oracle.fronts[front.name].moves[write.listing][-1][0] \
                if self.oracle.fronts[front.name].moves[write.listing] else -1  # fmt: skip
            return
        if write.fault == "lie":
            now_us = self.oracle.world.now_us()
            self.lied_us[front.name, write.listing] = now_us + front.clock.off_us(now_us)
        if not write.applied:
            return
        if write.late:
            self._zombie(front, write)
            return
        self.oracle.world.count("levels written")
        if write.matched is not True and not front.blind:
            self.oracle.fail("I6", f"{front.name}: written without compare-and-set: {write}")
        sku = front.store.shop.listings[write.listing].sku
        honest = self.edited_us[front.name, write.listing] < 0 and front.host.moods.snapshot is None
        if write.after <= write.before or not honest or write.key not in self.known:
            return
        # Where nothing compares, what was sold since the listing had last been read nobody can have noticed.
        seen_us = self.last_look_us[write.key][write.listing] if front.blind else write.at_us
        if front.blind and self.oracle.world.wall_set:
            return
        known = self.known[write.key][write.listing]
        unseen = 0
        for line in self.oracle.fronts[front.name].by_sku[sku]:
            # What was sold before somebody counted is in the count, heard of or not; what is folded is known.
            since_us = max(max(self.oracle.counts[sku], default=(0, 0))[1], self.oracle.durable.settled_us[sku])
            if line.versions[0].at_us > since_us and (then := line.as_of(seen_us, None)):
                # What was given back since then needs no telling: the units are there again.
                least = min(then.taken(), line.versions[-1].taken())
                unseen += least - known.get((line.order, line.name), 0)
        if unseen > 0:
            self.oracle.fail("I5", f"{front.name}: {sku} is raised over {unseen} units sold unseen: {write}")

    def _zombie(self, front: Front, write: Any) -> None:
        """A write whose client had given up is applied: the daemon must be looking at that listing still."""
        life = self.oracle.world.life
        self.oracle.world.count("late writes applied")
        if life is None or not life.up or life.daemon is None or not life.daemon.serving.is_set():
            return
        if self.oracle.world.wall_set:
            return  # who sets our clock forward shortens every patience
        sku = front.store.shop.listings[write.listing].sku
        state = life.daemon.parts.registry.peek(sku)
        slot = state.slots.get((front.name, write.listing)) if state else None
        now_us = self.oracle.world.now_us()
        if slot is not None and not slot.in_flight and slot.alive_until_us < now_us - SECOND_US:
            self.oracle.fail("I6", f"{front.name}: an old push of {sku} is applied and nobody looks any more: {slot}")

    # -- what counts as settled --

    def check_slot(self, slot: Slot, state: Sku, *, leaving: bool = False) -> None:
        """The evidence is what the storefront showed, but for what it sold since; the belief follows from it."""
        if slot.listing in self.oracle.world.fronts[slot.channel].removed or state.sku in self.stopped:
            return
        if slot.dead_letter or slot.base is None or slot.base_at is None or slot.base_at.own is None:
            return
        if not leaving and (slot.open() or slot.held == "mass"):
            return  # so many differ at once that nothing of it is believed before a person has spoken
        truth = self.oracle.fronts[slot.channel]
        base_us = slot.base_at.own.lo
        where = (slot.channel, slot.listing)
        front = truth.front
        life = self.oracle.world.life
        if life.daemon and life.daemon.parts.channels[slot.channel].sweeper.owed:
            return  # too much of the channel differs to be believed before all of it, and its orders, can be read
        lie = base_us <= self.lied_us.get(where, -LIE_US) + LIE_US
        if self.edited_us[where] > base_us or lie or front.host.moods.snapshot is not None:
            return  # staff, lies and copies that lag behind: what the daemon was shown was not so
        level = front.store.shop.listings[slot.listing].quantity
        moved = truth.moved_since(state.sku, base_us)
        if slot.base - moved != level:
            self.oracle.fail(
                "I6",
                f"{slot.channel}: {state.sku} shows {level}, {slot.base} was there before {moved} were taken: {slot}",
            )
        seen = self._seen_since(state, truth.by_sku[state.sku], slot, base_us)
        if seen is not None and slot.belief != slot.base - seen:
            self.oracle.fail(
                "I7",
                f"{slot.channel}: {state.sku}: {seen} of {slot.base} are sold, not as believed: {slot}",
            )

    def _seen_since(self, state: Sku, lines: list[TrueLine], slot: Slot, base_us: int) -> int | None:
        """Units taken since the evidence, as far as the daemon was told; None where it cannot know."""
        truth, units = self.oracle.fronts[slot.channel], 0
        for line in lines:
            known = state.stock.lines.get((slot.channel, line.order, line.name))
            if known is None:
                continue
            last = truth.last[line.order]
            seen = {sighting.version for sighting in known.sightings}
            newest = [each for each in line.versions if not seen.isdisjoint(line.numbers(each, last))][-1:]
            then = line.as_of(0, base_us)
            if then is not None and self._seen_too_late(line, then, seen, base_us):
                return None
            if not newest or (then is not None and newest[0].number <= then.number):
                continue
            if then is not None and seen.isdisjoint(line.numbers(then, last)):
                return None
            units += newest[0].taken() - (then.taken() if then else 0)
        return units

    def _seen_too_late(self, line: TrueLine, then: Version, seen: set[int], base_us: int) -> bool:
        """Was what the evidence holds told by a later version of the order only, and something else before? Then
        nobody who was told can say on which side of the evidence it happened."""
        truth = self.oracle.fronts[line.channel]
        stamps = truth.stamps[line.order]
        numbers = line.numbers(then, truth.last[line.order])
        if any(stamps[number - 1] <= base_us for number in seen.intersection(numbers)):
            return False
        earlier = [each for each in line.versions if each.number < then.number]
        return bool(seen.intersection(numbers)) and any(
            not seen.isdisjoint(line.numbers(each, truth.last[line.order])) and each.taken() != then.taken()
            for each in earlier
        )

    # -- people, poison and strangers --

    def commanded(self, path: str, status: int) -> None:
        """A pause holds from its answer on; a resume from the moment it is asked."""
        channel, _, what = path.removeprefix("/v1/channels/").partition("/")
        if what == "pause" and status == 200:
            self.paused_us[channel] = self.oracle.world.now_us()
        elif what == "resume":
            self.paused_us.pop(channel, None)
        elif what == "shadow" and status == 200:
            self.shadowed.add(channel)
        elif what == "live":
            self.shadowed.discard(channel)

    def is_poison(self, channel: str, order: str) -> bool:
        return (channel, order) in self.poisoned

    def crashed_on(self, sku: str) -> None:
        """An actor crashed, because the world made it."""
        self.crashed[sku].append(self.oracle.world.now_us())

    def check_quarantine(self, sku: str, cause: str) -> None:
        """A quarantine needs its crashes."""
        self.stopped.add(sku)
        times = self.crashed[sku]
        crowded = any(
            times[place + CRASHES_MAX - 1] - times[place] <= WINDOW_US
            for place in range(len(times) - CRASHES_MAX + 1)
        )
        if not crowded:
            self.oracle.fail("I9", f"{sku} is stopped ({cause}) after crashes at {times}")

    def check_strangers(self, parts: Parts) -> None:
        """No trace of what strangers named."""
        for sku in (*parts.registry.actors, *self.oracle.durable.told):
            if sku.startswith(STRANGE):
                self.oracle.fail("I12", f"a stranger's delivery made {sku}")


def _in_doubt(reply: Reply) -> bool:
    """Might this push have happened, or still happen?"""
    if isinstance(reply, NoAnswer):
        return reply.reached
    if reply.status >= 500:
        try:
            return msgspec.json.decode(reply.body).get("applied") is not False
        except (msgspec.DecodeError, AttributeError):
            return True
    return False
