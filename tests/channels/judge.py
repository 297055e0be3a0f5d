"""What must hold of a world: in the end every listing is right, and on the way none was raised over a sale."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio
from attrs import define

from tests.channels.stage import NAME
from tests.channels.weather import STALE

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from daemon.storage.dead_letters import DeadLetter
    from tests.channels.world import World

REST_S = 2 * 3_600.0
"""A world must be at rest so long after it is calm, beside the longest that an older push or feed may be alive."""
MENDED_EVERY_S = 120.0
"""So often a person looks after the dead letters."""
STAYS_S = 1_800.0
"""And it must stay so: two rounds of comparing lie within."""
BUGS = ("daemon.task_crashed", "listener.handler_failed", "sku.crashed", "sku.quarantined", "queue.message_failed",
        "daemon.failed", "delivery.puzzle", "observation.late")  # fmt: skip
"""Lines that no fault of a channel excuses."""

SELDOM = ("drift.found", "push.not_done")
"""Said of a channel that neither lags nor lies, they are false."""
LIES = {*STALE, "time-out, effect later", "write acknowledged, not done", "stock written late"}


@define(eq=False)
class Judge:
    """Looks at a world that is calm."""

    world: World
    rest_s: float = -1.0
    mended: int = 0

    async def look(self) -> None:
        """All verdicts; `World.fail` is told what is wrong."""
        adapter = self._parts().channels[NAME].account.adapter
        patience_s = REST_S + max(adapter.life_s(None), adapter.traits.job_life_s)
        began, mended = trio.current_time(), trio.current_time()
        while why := self._unrest():
            if trio.current_time() - began > patience_s:
                self.world.fail(f"not at rest {patience_s:.0f} s after the calm: {why}")
                return
            if trio.current_time() - mended > MENDED_EVERY_S:
                mended = trio.current_time()
                await self.mend()
                await self.count_again()
            await trio.sleep(1.0)
        self.rest_s = trio.current_time() - began
        self.world.note(f"AT REST after {self.rest_s:.0f} s")
        await trio.sleep(STAYS_S)
        if why := self._unrest():
            self.world.fail(f"it did not stay at rest: {why}")
        await self._verdict()

    async def _verdict(self) -> None:
        parts = self._parts()
        for letter in parts.dead_letters.page(limit=10_000):
            self.world.fail(f"a letter is left that nobody can explain: {letter.kind} {letter.cause}")
        for record in self.world.lives.records:
            if record["event"] in BUGS or "traceback" in json.dumps(record).lower():
                self.world.fail(f"logged: {json.dumps(record)[:600]}")
            if record["event"] in SELDOM and record["channel"] == NAME and not self._clouded():
                self.world.fail(f"nothing of the kind was there to be found: {json.dumps(record)[:600]}")
        for each in self.world.crossing.raises:
            if each.unseen_s > self.world.stage.window_s:
                self.world.fail(
                    f"{each.sku} was raised to {each.level}, {self.world.now_s() - each.at_s:.0f} s before the end, "
                    f"over a sale made {each.unseen_s:.0f} s before that it had not heard of"
                )
        report = await self.world.lives.daemon.inside.maintenance.rebuild(verify_only=True)  # type: ignore[union-attr]
        if report.different or report.first_broken:
            self.world.fail(f"the log and the state differ: {report}")

    def _clouded(self) -> bool:
        """Did the channel show, or say, what was not so, or write late, over what was sold meanwhile?"""
        return self.world.channel == "amazon" or bool(LIES & set(self.world.weather.counts))

    # -- why it is not at rest --

    def _parts(self) -> Parts:
        assert self.world.lives.daemon is not None
        return self.world.lives.daemon.parts

    def _unrest(self) -> str:
        """Empty where everything is as it must be."""
        world, parts = self.world, self._parts()
        if reason := world.lives.daemon.not_ready():  # type: ignore[union-attr]  # it lives: `_parts` looked
            return reason
        for sku in world.stage.stock:
            available, on_hand = world.lives.known(sku)
            truth = world.books.available(sku)
            if available != truth:
                return f"{sku}: {truth} are available, the daemon says {available}"
            if on_hand != world.books.on_hand(sku):
                return f"{sku}: {world.books.on_hand(sku)} are on hand, the daemon says {on_hand}"
            if why := world.stage.wrong(sku, truth):
                return f"{sku}: {truth} are available, {why}"
            north = world.north.shop.by_sku[sku].quantity
            if north != max(0, truth):
                return f"{sku}: {truth} are available, the storefront shows {north}"
        for name, lane in parts.outbox.lanes.items():
            if lane.slots:
                return f"{name}: open slots {list(lane.slots.values())[:2]}"
        if parts.dead_letters.count:
            return f"letters: {[(each.kind, each.cause) for each in parts.dead_letters.page(limit=3)]}"
        return f"{world.office.on_the_way} webhooks are on their way" if world.office.on_the_way else ""

    # -- a person --

    async def tend(self) -> None:
        """For ever, as a person does where there is much to mend."""
        while True:
            await trio.sleep(MENDED_EVERY_S)
            await self.mend()

    async def mend(self) -> None:
        """Pushes that the platform refused are tried again, a channel that was held goes on as it was."""
        parts = self._parts()
        letters: list[DeadLetter] = list(parts.dead_letters.page(limit=10_000))
        for letter in letters:
            if letter.kind == "push":
                self.mended += 1
                await self.world.lives.tell(f"/v1/dead-letters/{letter.letter}/retry", {})
        for name, channel in parts.channels.items():
            if channel.mass_hold() is not None:
                await self.world.lives.tell(f"/v1/channels/{name}/drift/refuse", {})

    async def count_again(self) -> None:
        """Where `explain` says that nobody can tell on which side of a count some facts fall, so that the lower
        number holds, a person counts once more, now that everything is known."""
        parts = self._parts()
        for sku in self.world.stage.stock:
            state, there = parts.registry.peek(sku), self.world.books.on_hand(sku)
            if state is None or not state.stock.ambiguous or there < 0 or state.stock.on_hand == there:
                continue
            self.mended += 1
            self.world.note(f"counted {sku} again: {there} on hand")
            await self.world.lives.tell(
                "/v1/counts", {"sku": sku, "quantity": there, "kind": "on_hand", "reference": f"again-{self.mended}"}
            )
