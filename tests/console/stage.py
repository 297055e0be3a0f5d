"""The stage of the tour: the real daemon between two storefronts, with sales and trouble, and a console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define

from tests.acceptance.processes import (
    Daemon,
    Process,
    Shop,
    daemon,
    free_port,
    onhand,
    sandbox_channel,
    shop,
    until,
    write_config,
)

SKUS = 1_200
REFUSED = ("SKU-0007", "SKU-0009")
"""South refuses every level of these: its pushes end as dead letters."""
SOLD = "SKU-0003"
EDITED = "SKU-0005"
"""Somebody writes another level into north's shop."""
KIT, COMPONENT = "SKU-0012", "SKU-0013"
ODD = "<script>document.title='taken'</script>/ä b?#%2e"
"""A SKU that would be markup, or another address, if it were not taken for what it is: a name."""
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"
"""A reason that would be markup if the page took it for such."""


@define
class Stage:
    """Everything that runs, and its folder."""

    folder: Path
    north: Shop
    south: Shop
    daemon: Daemon

    @asynccontextmanager
    async def console(self, *options: str) -> AsyncIterator[str]:
        """`onhand console` with these options; its address."""
        command = onhand("console", "--json", "--socket", str(self.folder / "admin.sock"), *options)
        process = Process(command, self.folder / f"console{''.join(options)}.out")
        process.start()
        try:

            async def says() -> bool:
                assert process.alive, process.complaints()
                return bool(process.records())

            await until(says, 20)
            yield str(process.records()[0]["url"])
            assert await process.terminate(10) == 0
            assert process.complaints() == ""
        finally:
            process.kill()

    async def sell(self, where: Shop, sku: str, units: int = 1) -> None:
        """A shopper buys."""
        status, answer = await where.post("/orders", {"lines": [{"sku": sku, "quantity": units}]})
        assert status == 201, answer

    async def shows(self, where: Shop, sku: str, level: int, within_s: float = 30) -> None:
        """Wait until the shop shows this."""

        async def so() -> bool:
            return (await where.shown())[sku] == level

        await until(so, within_s, 0.1)

    async def refuse(self, where: Shop, *skus: str) -> None:
        """The shop refuses every level of these SKUs, for good; none: of no SKU any more."""
        listings = {item["sku"]: item["listing"] for item in (await self.page(where)) if item["sku"] in skus}
        script = [{"do": "refuse", "listing": listing, "times": None} for listing in listings.values()]
        assert (await where.post("/faults", {"script": script}))[0] == 200

    async def page(self, where: Shop) -> list[dict[str, object]]:
        """The first page of a shop's listings."""
        items: list[dict[str, object]] = (await where.get("/listings"))["items"]
        return items

    async def edit(self, where: Shop, sku: str, level: int) -> None:
        """Somebody writes a level in the shop's own back office."""
        listing = next(item["listing"] for item in await self.page(where) if item["sku"] == sku)
        items = [{"listing": listing, "quantity": level}]
        body = {"items": items, "idempotency_key": f"by hand {sku} {level}"}
        answer = await where.http.put(where.url + "/levels", json=body)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """The stage, set: both catalogues read."""
    port = free_port()
    hooks = f"http://127.0.0.1:{port}/webhooks"
    async with (
        shop(folder, "north", f"{hooks}/north", skus=SKUS) as north,
        shop(folder, "south", f"{hooks}/south", skus=SKUS) as south,
    ):
        channels = {
            each.name: sandbox_channel(each.name, each.port, sweep_s=5, sweep_share=1) for each in (north, south)
        }
        write_config(folder, port, channels, kits={KIT: {COMPONENT: 2}})
        async with daemon(folder, port) as running:
            await running.wait_ready(60)
            yield Stage(folder, north, south, running)


async def set_the_scene(stage: Stage) -> None:
    """A morning's trade: sales, goods that came, a level edited by hand, and listings that refuse theirs."""
    await stage.refuse(stage.south, *REFUSED)
    for sku in (SOLD, SOLD, *REFUSED, "SKU-0010", "SKU-0011"):
        await stage.sell(stage.north, sku)
    await stage.sell(stage.south, SOLD, 2)

    async def taken() -> bool:
        return (await stage.daemon.ask(f"/v1/skus/{SOLD}"))["available"] == 6

    await until(taken, 30)
    adjust = {"sku": SOLD, "quantity": 12, "reference": "delivery note 17", "reason": HOSTILE}
    await stage.daemon.tell("/v1/adjustments", adjust)
    await stage.daemon.tell("/v1/counts", {"sku": ODD, "quantity": 4})
    await stage.edit(stage.north, EDITED, 3)

    async def letters() -> bool:
        return len((await stage.daemon.ask("/v1/dead-letters"))["dead_letters"]) == len(REFUSED)

    async def drifted() -> bool:
        return bool((await stage.daemon.ask("/v1/drift"))["drifts"])

    await until(letters, 60, 0.1)
    await until(drifted, 60, 0.1)
    await stage.shows(stage.south, SOLD, 18)
