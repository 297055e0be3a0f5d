"""A case for each rule that `explain` can name: what happens, and what must be said then of a real SKU, registry and
channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from attrs import define, evolve

from daemon.admin.explain import explain_view
from daemon.admin.views import Channels
from daemon.domain.conditions import Stuck
from daemon.domain.drift import Named
from daemon.domain.instants import SECOND_US
from daemon.domain.kits import ComponentLevel
from daemon.domain.mode import ChannelMode
from daemon.domain.observations import OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Freeze
from daemon.domain.slot import Suspicion
from daemon.storage.codec import pack
from tests.harness import START_US, House, housed, span
from tests.storage.rooms import inline

KITS = {"SET": (("CUP", 1), ("PLATE", 2))}
LATER_US = START_US + 3_600 * SECOND_US


@define
class Scene:
    """A SKU A with 5 units, shown at `shop` and at `site` as 5; and a kit SET of a CUP and two PLATEs."""

    house: House

    @property
    def slot(self) -> Any:
        """A's listing at the shop."""
        return self.house.slot("A")

    @property
    def shop(self) -> Any:
        return self.house.channels["shop"]

    def rules(self, **rules: Any) -> None:
        """The shop's rules are these."""
        self.shop.rules = Policy(**rules)

    def stuck(self, **why: Any) -> None:
        """How A is stuck."""
        circumstances = self.house.registry.circumstances
        known = circumstances.stuck.get("A")
        circumstances.is_stuck("A", evolve(known or Stuck(), **why), "test")

    def drift(self, done: str) -> None:
        self.house.drifts.add(
            START_US, channel="shop", listing="L-A", sku="A", shown=3, expected=5, first_us=START_US,
            first_shown=4, done=done, causes=(Named("foreign edit", 0.9, "nobody sold anything"),),
        )  # fmt: skip

    def push_up(self) -> None:
        """The next push would raise the level."""
        self.slot.desired, self.slot.belief = 5, 3
        self.slot.generation, self.slot.settled_generation = 7, 6
        self.slot.wanted_us = self.slot.raised_us = LATER_US

    async def poison(self) -> None:
        self.house.dead_letters.add(
            "poison", 1, channel="shop", sku="A", cause="x", subject="order 9 line 1", content=pack("x")
        )
        await self.house.store.flush()


Case = Callable[[Scene], Any]
CASES: dict[str, tuple[str, Case, tuple[str, ...]]] = {}
"""By the rule's name: the SKU that is explained, what happens first, and what must be said then."""


def case(name: str, *said: str, sku: str = "A") -> Callable[[Case], Case]:
    def keep(function: Case) -> Case:
        assert name not in CASES
        CASES[name] = (sku, function, said)
        return function

    return keep


# --- where the number comes from -----------------------------------------------------------------------------


@case("count", "person counted 5 available at 20", "what moved since makes it 5 available: 5 on the shelf, 0 of them")
def _count(scene: Scene) -> None: ...


@case("count at a location", "person counted 7 on hand at 20", ", location cellar (R-1)")
async def _counted_at(scene: Scene) -> None:
    at = scene.house.now()
    await scene.house.tell(StockCount("person", "A", 7, kind="on_hand", at=at, location="cellar", reference="R-1"))


@case(
    "count pending", "nobody has counted this SKU yet; enter what is there with `onhand count`",
    "nobody has counted this SKU yet: the channel keeps what it shows", sku="NEW",
)  # fmt: skip
async def _count_pending(scene: Scene) -> None:
    await scene.house.listed("NEW", 3, "shop")


@case("debt", "2 more were sold than there are; the next restock pays them first", "never below 0 (debt of 2)")
async def _debt(scene: Scene) -> None:
    await scene.house.sold("A", 7)


@case("ambiguous", "of 1 facts nobody can say on which side of a count they fall; the lower number holds")
async def _ambiguous(scene: Scene) -> None:
    state = scene.house.registry.peek("A")
    assert state is not None
    (anchor,) = state.stock.anchors.values()
    at = span(anchor.at.at.hi - SECOND_US // 2)
    await scene.house.tell(OrderLine("shop", "8", "1", "A", 1, version=1, at=at), by="webhook")


@case("sold through a kit", "2 of the units held were sold through kit SET", "it is a component of SET", sku="PLATE")
async def _through_kit(scene: Scene) -> None:
    at = scene.house.now()
    await scene.house.tell(
        OrderLine("shop", "7", "1", "PLATE", 2, version=1, at=at, kit="SET", recipe=KITS["SET"]), by="webhook"
    )


# --- kits ----------------------------------------------------------------------------------------------------


@case(
    "kit", "SET is a kit of 1 CUP, 2 PLATE: there are as many as its scarcest component makes",
    "9 PLATE make 4 at 2 each, which sets the number", "it should show 4: kits from PLATE, available 4", sku="SET",
)  # fmt: skip
def _kit(scene: Scene) -> None: ...


@case(
    "kit of an uncounted component", "nobody has counted CUP yet: nothing is pushed until `onhand count CUP N`",
    "a component has not been counted yet: the channel keeps what it shows", sku="SET",
)  # fmt: skip
async def _kit_uncounted(scene: Scene) -> None:
    await component(scene, "CUP", None)


@case(
    "kit of a component in doubt",
    "of PLATE there may be fewer (dead letter 4): nothing is raised until that letter is retried or discarded",
    "it keeps 4 because of a component there may be fewer; else it would be 5: kits from CUP, available 5", sku="SET",
)  # fmt: skip
async def _kit_in_doubt(scene: Scene) -> None:
    await component(scene, "PLATE", 20, "dead letter 4")


async def component(scene: Scene, name: str, available: int | None, stuck: str = "") -> None:
    """What the kit is told of a component."""
    await scene.house.tell_sku("SET", ComponentLevel(name, available, 1 << 40, stuck), by="kit")


# --- what stops the whole SKU --------------------------------------------------------------------------------


@case(
    "frozen", "frozen by ann (audit): its listings keep what they should show until it is unfrozen",
    "it keeps 5 because the SKU is frozen; else it would be 1: available 1",
)  # fmt: skip
async def _frozen(scene: Scene) -> None:
    await scene.house.tell_sku("A", Freeze(frozen=True, by="ann", reason="audit"))
    await scene.house.counted("A", 1)


@case("quarantine", "nothing is applied to it: quarantined after 3 crashes")
def _quarantine(scene: Scene) -> None:
    scene.house.registry.quarantined["A"] = "quarantined after 3 crashes, the last one: KeyError"


@case("halted", "what became of a push could not be applied: nothing is pushed until its dead letter is retried")
def _halted(scene: Scene) -> None:
    scene.house.registry.halted.add("A")


@case(
    "books differ", "its books in use differ: nothing is pushed until `onhand rebuild` has put that right",
    "nothing is pushed: the books of the SKU are not what the log makes of them",
)  # fmt: skip
def _differs(scene: Scene) -> None:
    scene.stuck(differs="its books in use differ")


# --- the channel's rules -------------------------------------------------------------------------------------


@case("buffer", "available 5, minus the buffer of 2 = 3")
def _buffer(scene: Scene) -> None:
    scene.rules(buffer=2)


@case("share", "available 5, share of 50% = 2")
def _share(scene: Scene) -> None:
    scene.rules(share=0.5)


@case("cap", "available 5, capped at 3")
def _cap(scene: Scene) -> None:
    scene.rules(cap=3)


@case("never below zero", "minus the buffer of 8 = -3, never below 0 (3 short)")
def _floor(scene: Scene) -> None:
    scene.rules(buffer=8)


@case("adds held", "plus 1 sold here and not sent yet, which the channel takes off by itself = 5")
async def _adds_held(scene: Scene) -> None:
    await scene.house.sold("A", 1)
    scene.rules(adds_held=True)


# --- what is believed of the listing -------------------------------------------------------------------------


@case("belief", "it shows 5: the channel showed 5 at 20")
def _belief(scene: Scene) -> None: ...


@case("belief unknown", "what it shows is unknown: the channel has not said, or manages no quantity for it")
async def _belief_unknown(scene: Scene) -> None:
    scene.slot.belief = None


@case("sold since the evidence", "it shows 3: the channel showed 5 at ", ", and sold 2 since")
async def _belief_sold(scene: Scene) -> None:
    await scene.house.sold("A", 2)


@case("taken back since the evidence", ", and took back 1 since")
def _belief_back(scene: Scene) -> None:
    scene.slot.belief = 6


@case("held is in what it shows", "; 2 of these are sold there and not sent yet")
def _belief_added(scene: Scene) -> None:
    scene.slot.added = 2


# --- what is under way, and what waits -----------------------------------------------------------------------


@case("settled", "there is nothing to do")
def _settled(scene: Scene) -> None:
    scene.slot.desired = scene.slot.belief = 5
    scene.slot.settled_generation = scene.slot.generation


@case("pending", "it is pushed next")
def _pending(scene: Scene) -> None:
    scene.slot.belief = 6


@case("in flight", "a push of 4 (generation 7) is under way since 20")
def _in_flight(scene: Scene) -> None:
    scene.slot.in_flight, scene.slot.sent_level, scene.slot.sent_us = 7, 4, START_US


@case("failed, tried again", "the last try failed: 502", "the next try is at ", ", after 3 so far")
def _failed(scene: Scene) -> None:
    scene.slot.error, scene.slot.attempt, scene.slot.due_us = "502", 3, LATER_US


@case("dead letter", "pushing has stopped (dead letter 9): see `onhand dead-letters show 9`")
def _dead(scene: Scene) -> None:
    scene.slot.dead_letter = 9


@case("suspicion", "it was seen to show 3 where 5 was expected: it is read again")
def _suspicion(scene: Scene) -> None:
    scene.slot.suspicion = Suspicion(3, 5, START_US, "read")


@case("to be read back", "the listing is read back now, before anything else is pushed")
def _read_back(scene: Scene) -> None:
    scene.slot.recheck_us = START_US


@case("to be read back later", "the listing is read back at 20")
def _read_back_later(scene: Scene) -> None:
    scene.slot.recheck_us = LATER_US


@case("older request alive", "an older request may still be applied by the channel until ")
def _alive(scene: Scene) -> None:
    scene.slot.alive_until_us = LATER_US


# --- how the channel is --------------------------------------------------------------------------------------


@case("not configured", "the channel is not configured any more, so nothing is pushed")
def _gone(scene: Scene) -> None:
    del scene.house.channels["shop"]


@case("paused channel", "the channel is paused: see `onhand channels resume shop`")
def _paused(scene: Scene) -> None:
    scene.shop.paused = True


@case(
    "shadow",
    "the channel is in shadow, so nothing is pushed: see `onhand shadow shop`, and `onhand channels live shop`",
)
def _shadow(scene: Scene) -> None:
    scene.shop.mode = ChannelMode("shadow", "ann", START_US)


@case("rollback", "the channel is being rolled back to the levels from before it went live")
def _rollback(scene: Scene) -> None:
    scene.shop.mode = ChannelMode("rollback", "ann", START_US)


@case("down channel", "the channel is down: 503 for a while")
def _down(scene: Scene) -> None:
    ill(scene, "down")


def ill(scene: Scene, state: str) -> None:
    """How the shop is."""
    plain = scene.shop.view()
    scene.house.channels["shop"] = Ill(plain, evolve(plain, state=state, last_error="503 for a while"))  # type: ignore[assignment]  # as much as is asked


@define
class Ill:
    """A channel that is not well."""

    plain: Any
    shown: Any

    def view(self) -> Any:
        return self.shown

    def policy(self) -> Policy:
        return Policy()


@case(
    "held raise, stale feed", "held: waiting for shop's order feed, ",
    "raising waits until every order up to what it rests on has been read (so far up to 2025-",
    "a sale not yet seen must not be sold twice",
)  # fmt: skip
def _held_raise(scene: Scene) -> None:
    scene.push_up()
    scene.shop.watermark_us = START_US


@case("held raise, feed never read", "(so far up to none)")
def _held_raise_unread(scene: Scene) -> None:
    scene.push_up()
    scene.shop.watermark_us = 0


@case(
    "poison letter", "it is not raised until dead letter 1: order 9 line 1 is retried or discarded: that may be",
)  # fmt: skip
async def _poison(scene: Scene) -> None:
    await scene.poison()
    scene.push_up()


@case("acknowledgements doubted", "shop acknowledged what it did not do: many of its pushes are read back since 20")
def _doubted(scene: Scene) -> None:
    scene.shop.trust = "doubted"


@case("acknowledgements lie", "shop acknowledged what it did not do: its acknowledgements are read back since 20")
def _downgraded(scene: Scene) -> None:
    scene.shop.trust = "downgraded"


@case("acknowledgements lie, since before the start", "its acknowledgements are read back since a while ago")
def _downgraded_once(scene: Scene) -> None:
    plain = scene.shop.view()
    scene.house.channels["shop"] = Ill(plain, evolve(plain, trust="downgraded", trust_since_us=0))  # type: ignore[assignment]  # as much as is asked


@case("drift", "it showed 3 and should have shown 5, likely a foreign edit: nobody sold anything; done: our")
async def _drift(scene: Scene) -> None:
    scene.drift("corrected")
    await scene.house.store.flush()


def spoken(directory: Path, sku: str, happens: Case) -> list[str]:
    """Everything that `explain` says of `sku` and its listing at the shop, after what happens."""
    directory.mkdir(exist_ok=True)
    return trio.run(_spoken, directory, sku, happens)


async def _spoken(directory: Path, sku: str, happens: Case) -> list[str]:
    async with housed(directory, kits=KITS, run_blocking=inline, map_bytes=1 << 20) as house:
        await house.counted("A", 5)
        await house.counted("CUP", 5)
        await house.counted("PLATE", 9)
        await house.listed("A", 5)
        await house.listed("SET", 4)
        scene = Scene(house)
        made = happens(scene)
        if made is not None:
            await made
        state = house.registry.peek(sku)
        assert state is not None
        shown: Any = explain_view(state, Channels(house.inside()), "shop")
        (listing, *_) = shown["listings"] or [{"why": [], "rules": []}]
        return [*shown["stock"], *listing["why"], ", ".join(listing["rules"])]
