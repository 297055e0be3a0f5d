"""What makes the daemon come by a point: an operator's commands, contradictory news, the signal to stop.

Each prompter works until it is cancelled, whatever becomes of the daemon meanwhile. What was promised to it (a count
that was answered, an adjustment, a backup) is kept, and looked up afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field

from daemon.storage.files import StoreError
from daemon.storage.restore import restore
from tests.acceptance.webhooks import exchange, request, signed
from tests.crash.points import Need
from tests.crash.traffic import CUT_OFF, TILL, TILL_SECRET, sku
from tests.crash.world import World

SHELF, DRAWER, FIRST = "SHELF", "DRAWER", 1_000
"""SKUs that no channel lists: the first is counted again and again, the second adjusted from its first count on."""
PAUSE_S = 0.02


@define
class Prompter:
    """Gives the daemon things to do, and remembers what it promised."""

    world: World
    asked_count: int = FIRST
    told_count: int = FIRST
    """The newest count that was asked for, and the newest that was answered."""
    adjusted: int = 0
    """Adjustments told until they were answered."""
    backups: dict[Path, bool] = field(factory=dict)
    """Each directory, and whether its backup was answered."""
    posts: int = 0
    """A running number."""

    async def prompt(self, need: Need) -> None:
        """Bring the daemon to points that need this, for ever."""
        steps: dict[Need, Callable[[], Awaitable[None]]] = {
            "stop": self._stop, "count": self._count, "adjust": self._adjust, "pause": self._pause,
            "freeze": self._freeze, "pull": self._pull, "backup": self._backup, "verify": self._verify,
            "letter": self._letter, "contradiction": self._contradict,
        }  # fmt: skip
        while True:
            try:
                await steps.get(need, trio.sleep_forever)()
            except (httpx.TransportError, *CUT_OFF):
                await trio.sleep(PAUSE_S)  # the daemon is not up yet, or not any more
            await trio.sleep(PAUSE_S)

    async def _tell(self, path: str, body: object = None) -> Any:
        return await self.world.daemon.tell(path, body)

    async def prepare(self) -> None:
        """Count the two SKUs for the first time."""
        for each in (SHELF, DRAWER):
            await self._tell("/v1/counts", {"sku": each, "quantity": FIRST})

    # -- steps --

    async def _stop(self) -> None:
        process = self.world.daemon.process
        await self.world.serving()
        process.ask_to_stop()
        await trio.sleep_forever()

    async def _count(self) -> None:
        self.asked_count += 1
        await self._tell("/v1/counts", {"sku": SHELF, "quantity": self.asked_count})
        self.told_count = self.asked_count

    async def _adjust(self) -> None:
        """The same reference until it is answered: it must count once."""
        await self._tell("/v1/adjustments", {"sku": DRAWER, "quantity": 1, "reference": f"A-{self.adjusted + 1}"})
        self.adjusted += 1

    async def _pause(self) -> None:
        await self._tell("/v1/channels/outlet/pause")
        await self._tell("/v1/channels/outlet/resume")

    async def _freeze(self) -> None:
        await self._tell(f"/v1/skus/{sku(12)}/freeze", {"reason": "a look at the shelf"})
        await self._tell(f"/v1/skus/{sku(12)}/unfreeze")

    async def _pull(self) -> None:
        await self._tell(f"/v1/skus/{sku(11)}/pull")

    async def _backup(self) -> None:
        self.posts += 1
        directory = self.world.daemon.folder / f"backup-{self.posts}"
        self.backups[directory] = False
        await self._tell("/v1/backup", {"directory": str(directory)})
        self.backups[directory] = True

    async def _verify(self) -> None:
        await self._tell("/v1/rebuild", {"verify": True})

    async def _letter(self) -> None:
        self.posts += 1
        body = b'{"topic": "order.updated", "order": {"id": 5, "lines": "none"}}'
        headers = signed(body, TILL_SECRET, delivery=f"puzzle-{self.posts}")
        await exchange(self.world.port, request("POST", f"/webhooks/{TILL}", body, headers))
        for letter in (await self.world.daemon.ask("/v1/dead-letters"))["dead_letters"]:
            await self._tell(f"/v1/dead-letters/{letter['id']}/discard")

    async def _contradict(self) -> None:
        """Tell an order of the storefront's once more, in the same version and with another number of units."""
        orders = (await self.world.shops["north"].get("/ledger"))["orders"]
        if not orders:
            return
        self.posts += 1
        order = orders[self.posts % len(orders)]
        self.world.contradicted.add(("north", order["id"]))
        order["lines"][0]["ordered"] += 1
        body = json.dumps({"topic": "order.updated", "order": order}).encode()
        headers = signed(body, "secret-north", delivery=f"contradiction-{self.posts}")
        await exchange(self.world.port, request("POST", "/webhooks/north", body, headers))

    # -- what was promised --

    async def settle(self) -> None:
        """Bring to an end what a kill cut short: the adjustment without an answer, a pause, a freeze."""
        await self._adjust()
        await self._tell("/v1/channels/outlet/resume")
        await self._tell(f"/v1/skus/{sku(12)}/unfreeze")

    async def broken_promises(self) -> list[str]:
        """What was answered and does not hold, as sentences."""
        problems = []
        counted = (await self.world.daemon.ask(f"/v1/skus/{SHELF}"))["available"]
        if not self.told_count <= counted <= self.asked_count:
            problems.append(f"{SHELF}: {counted} on hand, counted {self.told_count}, asked {self.asked_count}")
        drawer = (await self.world.daemon.ask(f"/v1/skus/{DRAWER}"))["available"]
        if drawer != FIRST + self.adjusted:
            problems.append(f"{DRAWER}: {drawer} on hand, not {FIRST + self.adjusted}")
        for directory, answered in self.backups.items():
            problems += self._unrestorable(directory, answered)
        self.backups.clear()
        return problems

    def _unrestorable(self, directory: Path, answered: bool) -> list[str]:
        """A backup that was answered can be restored; one that was cut short can be, or says that it cannot."""
        try:
            restore(directory, directory.with_name(f"{directory.name}-restored"))
        except StoreError as error:
            return [f"the backup in {directory} was answered and cannot be restored: {error}"] if answered else []
        return []
