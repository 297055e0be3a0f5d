"""`python -m tests.vendure`: the daemon between a real Vendure and two storefronts on a bad day. See README.md."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import trio
from rich.console import Console

from daemon.theatre.truth import read_book
from tests.acceptance.processes import Daemon, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.vendure import goods, schema, trade, ways_in
from tests.vendure.books import book_of, open_units
from tests.vendure.graphql import Client, RefusedError
from tests.vendure.install import NotInstalledError, install, usual_folder
from tests.vendure.play import BOUTIQUE, NORTH, SKUS, SOUTH, STOCK, Play
from tests.vendure.server import NAME, PASSWORD, SECRET, NotServingError, Server
from tests.vendure.verdict import Verdict, judge, settled, show

RUN_MAX_S = 420.0
"""After the installation, however slow the machine is."""
FIRST_MAX_S, LAST_MAX_S = 60.0, 120.0
"""So long it may take until all shops show the same, at first and at last."""
TAIL = 25
"""Lines of each log that are shown where something failed."""
CALM_S = 3.0
"""What agreed must still agree so much later."""


class Teller:
    """Says how far it is, each line with the seconds since the beginning."""

    def __init__(self) -> None:
        self.console = Console(width=160, highlight=False)
        self._began: float | None = None

    def __call__(self, line: str) -> None:
        now = trio.current_time()
        self._began = now if self._began is None else self._began
        self.console.print(f"{now - self._began:6.1f} s  {line}")


def configure(folder: Path, port: int, shops: dict[str, int]) -> None:
    """The daemon's configuration. Vendure's numbers are the first count: it comes first."""
    boutique = {
        "adapter": "vendure", "base_url": f"http://127.0.0.1:{shops[BOUTIQUE]}",
        "username": NAME, "password": {"env": "SHOP_PASSWORD"},
        "webhook_secrets": [{"env": "HOOK_SECRET"}], "poll_interval_s": 5, "feed_lag_s": 1, "request_life_s": 5,
        "rate_per_s": 100, "burst": 100,
    }  # fmt: skip
    outlets = {name: sandbox_channel(name, shops[name]) for name in (NORTH, SOUTH)}
    write_config(folder, port, {BOUTIQUE: boutique, **outlets})


@asynccontextmanager
async def stage(installed: Path, folder: Path, http: httpx.AsyncClient, say: Teller) -> AsyncIterator[Play]:
    """Vendure with its goods, two storefronts, and the daemon between them; all are dead in the end."""
    port, shop_port = free_port(), free_port()
    server = Server(installed, folder, shop_port, f"http://127.0.0.1:{port}/webhooks/{BOUTIQUE}")
    try:
        say(f"Vendure starts, with a new data base; it serves after {await server.boot(http):.1f} s")
        admin = Client(http, f"{server.url}/admin-api")
        await goods.log_in(admin, NAME, PASSWORD)
        await goods.open_shop(admin)
        ids = await goods.put_on_sale(admin, "Assortment", dict.fromkeys(SKUS, STOCK))
        say(f"{len(ids)} variants are on sale, {STOCK} of each")
        hook = f"http://127.0.0.1:{port}/webhooks/"
        async with (
            shop(folder, NORTH, hook + NORTH, skus=len(SKUS), stock=STOCK) as north,
            shop(folder, SOUTH, hook + SOUTH, skus=len(SKUS), stock=STOCK) as south,
        ):
            ports = {BOUTIQUE: shop_port, NORTH: north.port, SOUTH: south.port}
            configure(folder, port, ports)
            env = {"SHOP_PASSWORD": PASSWORD, "HOOK_SECRET": SECRET}
            async with daemon(folder, port, env=env) as found:
                await found.wait_ready(FIRST_MAX_S)
                yield Play(server, admin, http, {NORTH: north, SOUTH: south}, found, ids, say)
    finally:
        server.process.kill()


async def perform(play: Play) -> Verdict:
    """From the first count to the last."""
    await _agree(play, FIRST_MAX_S)
    play.say("all three shops show the same; the doors open")
    await play.burst()
    play.say("the last order is placed, cancelled or handed over; now every number must become right")
    took_s = await _agree(play, LAST_MAX_S)
    play.say(f"all three agree, {took_s:.1f} s later")
    await trio.sleep(CALM_S)
    return await _judged(play)


async def _agree(play: Play, within_s: float) -> float:
    """Wait until all agree; where they do not in time, the books will say so."""
    began = trio.current_time()
    try:
        await until(lambda: settled(play), within_s, 0.25)
    except trio.TooSlowError:
        play.say(f"they do not agree after {within_s:.0f} s")
    return trio.current_time() - began


async def _judged(play: Play) -> Verdict:
    books = [
        await book_of(BOUTIQUE, play.admin, play.server.notes(), dict.fromkeys(SKUS, STOCK), play.ids),
        *[read_book(await outlet.get("/ledger")) for outlet in play.outlets.values()],
    ]
    return judge(
        books, await play.daemon.events(), await trade.shelf(play.admin), await open_units(play.admin),
        await play.known(), await _dead_letters(play.daemon), play.tally,
    )  # fmt: skip


async def _dead_letters(found: Daemon) -> int:
    return int((await found.ask("/v1/status"))["dead_letters"])


async def run(installed: Path, folder: Path, say: Teller) -> bool:
    """Everything after the installation; False where SIGTERM ended it. Raises what went wrong on the way."""
    good = False
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_sigterm, nursery.cancel_scope)
        good = await _run(installed, folder, say)
        nursery.cancel_scope.cancel()
    return good


async def _end_on_sigterm(
    everything: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """So that every child is killed then, too."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            everything.cancel()


async def _run(installed: Path, folder: Path, say: Teller) -> bool:
    limits = httpx.Limits(max_keepalive_connections=0)  # the shop dies: no connection outlives an exchange
    with trio.fail_after(RUN_MAX_S):
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as http,
            stage(installed, folder, http, say) as play,
        ):
            fits = await _fits(play)
            verdict = await perform(play)
            show(say.console, verdict, play.tally)
            return verdict.good and fits


async def _fits(play: Play) -> bool:
    """Does the adapter fit the server: its documents the schema, and both its ways in?"""
    found = schema.complaints(await schema.real_schema(play.admin))
    found += await ways_in.complaints(play.http, play.server.url, await goods.api_key(play.admin), STOCK)
    for each in found:
        play.say(f"not as the server has it: {each}")
    if not found:
        count = len(schema.DOCUMENTS)
        play.say(f"the adapter's {count} documents are valid by the server's own schema, and both ways in are open")
    return not found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vendure", description=__doc__)
    parser.add_argument("--dir", type=Path, default=usual_folder(), help="where Vendure is installed (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave logs and data there, also where all was right")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that npm ends with us
    try:
        installed = install(options.dir)
    except (NotInstalledError, KeyboardInterrupt) as exc:
        print(str(exc) or "stopped", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="onhand-v-"))
    say, good = Teller(), False
    try:
        good = trio.run(run, installed, folder, say)
    except KeyboardInterrupt:
        say.console.print("stopped")
    except BaseException as exc:  # shown to whoever started it
        say.console.print(f"[bold red]it could not be played to its end:[/] {_reason(exc)}")
    if not good:
        _tails(say.console, folder)
    if good and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say.console.print(f"logs and data are in {folder}")
    return 0 if good else 1


def _reason(exc: BaseException) -> str:
    """The first cause, in one line."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, RefusedError | NotServingError | AssertionError):
        return str(exc)
    return "something took too long" if isinstance(exc, trio.TooSlowError) else repr(exc)


def _tails(console: Console, folder: Path) -> None:
    """The end of every log."""
    for path in sorted([*folder.glob("*.out"), *folder.glob("*.err")]):
        lines = path.read_text("utf-8", "replace").splitlines()[-TAIL:]
        if lines:
            console.print(f"\n--- {path.name}", markup=False)
            console.print("\n".join(lines), markup=False)


if __name__ == "__main__":
    sys.exit(main())
