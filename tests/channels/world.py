"""One world from one integer: a channel's twin and a storefront, the daemon between them, people, weather; judged."""

from __future__ import annotations

import gc
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter, deque
from hashlib import blake2b
from pathlib import Path
from typing import Final

import trio
import trio._core._run as trio_run
from attrs import field, frozen

from adapters.storefront import Hook, Storefront
from daemon.theatre.store_host import StoreHost
from tests.channels.books import Books
from tests.channels.crossing import Crossing
from tests.channels.judge import Judge
from tests.channels.lives import Lives
from tests.channels.people import Town
from tests.channels.post import PostOffice
from tests.channels.stage import Surroundings
from tests.channels.stages import STAGES
from tests.channels.storms import Storms
from tests.channels.weather import Weather
from tests.simulation.clock import JumpingClock
from tests.simulation.world import Steps
from tests.sqs_twin import CLOCK_S

NORTH: Final = "north"
SKUS: Final = ("SKU-0001", "SKU-0002", "SKU-0003", "SKU-0004")
MINUTES: Final = (6, 12, 12, 20, 30, 60)
"""So long a world lives until it is calm, unless it is told."""
DEEDS: Final = 150
"""So much happens in a world at most: polls read again what is new, and a long busy world would do little else."""
STORY_LINES: Final = 4_000


@frozen
class Result:
    """What a world came to. `rest_s`: how long it took, once it was calm, until all was right."""

    channel: str
    seed: int
    minutes: float
    failures: tuple[str, ...]
    faults: Counter[str]
    deeds: Counter[str]
    calls: int
    rest_s: float
    wall_s: float
    digest: str
    story: tuple[str, ...] = field(repr=False)


class World:
    """Build it, `run` it once."""

    def __init__(
        self, channel: str, seed: int, minutes: float | None = None, *, loud: bool = False, every: bool = False,
        compared: bool | None = None,
    ) -> None:  # fmt: skip
        """every: each kind of fault has its turn. compared: None: drawn."""
        self.channel, self.seed, self.loud, self.every = channel, seed, loud, every
        rng = self.dice("world")
        self.minutes = minutes or float(rng.choice(MINUTES))
        self.pace_s = max(rng.choice((1.0, 4.0, 10.0, 30.0)), self.minutes * 60 / DEEDS)
        if every:
            self.pace_s = STAGES[channel].turn_s / 8
        self.early = rng.random() < 0.5
        """Does the storm blow when the daemon meets the channel first?"""
        self.kills = rng.random() < 0.4 and not every
        drawn = rng.random() < 0.5 or every
        self.compared = drawn if compared is None else compared
        """Are listings compared while nothing is wrong with them? That would heal what went wrong before."""
        self.failures: list[str] = []
        self.story: deque[str] = deque(maxlen=STORY_LINES)
        self.hash = blake2b(digest_size=16)
        self.clock = JumpingClock()
        self.scope = trio.CancelScope()
        self.directory = Path()
        self.stock = {sku: rng.choice((3, 8, 20, 60)) for sku in SKUS}

    def dice(self, stream: str) -> random.Random:
        return random.Random(f"{self.channel}:{self.seed}:{stream}")

    def now_s(self) -> float:
        return CLOCK_S + self.clock.current_time()

    def now_us(self) -> int:
        return round(self.now_s() * 1e6)

    def note(self, line: str) -> None:
        line = f"{self.clock.current_time():.3f} {line}"
        self.hash.update(line.encode())
        self.story.append(line)

    def fail(self, what: str) -> None:
        """Remember what is wrong, and end the world."""
        self.failures.append(what)
        self.note(f"FAILED: {what}")
        self.scope.cancel()

    def run(self) -> Result:
        began = time.perf_counter()
        shm = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="onhand-channels-", dir=shm if shm.is_dir() else None))
        before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
        trio_run._r.seed(f"{self.channel}:{self.seed}")
        collecting = gc.isenabled()
        gc.disable()  # what a collector finds, and when, is not a matter of the seed
        try:
            trio.run(self._main, clock=self.clock, instruments=[Steps(self)])
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.fail(_in_words(error))
        finally:
            if collecting:
                gc.enable()
            trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before
            shutil.rmtree(self.directory, ignore_errors=True)
        return Result(
            self.channel, self.seed, self.minutes, tuple(self.failures), self.weather.counts, self.town.counts,
            self.crossing.calls, self.judge.rest_s, time.perf_counter() - began, self.hash.hexdigest(),
            tuple(self.story),
        )  # fmt: skip

    async def _main(self) -> None:
        with self.scope:
            await self._live()

    async def _live(self) -> None:
        async with trio.open_nursery() as nursery:
            self._build(nursery)
            nursery.start_soon(self.host.run, self._north_sends)
            self.weather.stormy = self.early
            await nursery.start(self.lives.run)
            await self._met()
            await self._busy()
            self._calm()
            await self.judge.look()
            await self.lives.end()
            nursery.cancel_scope.cancel()

    def _build(self, nursery: trio.Nursery) -> None:
        self.stage = STAGES[self.channel](
            self.stock,
            Surroundings(
                self.now_s, self.dice("stage"), nursery, lambda *told: self.office.post(*told),
                lambda *told: self.office.send(*told), self._befell, self.every,
            ),
        )  # fmt: skip
        self.stage.compared = self.compared
        self.weather = Weather.drawn(self.dice("weather"), self.stage, every=self.every)
        self.crossing = Crossing(self.stage, self.weather, self.dice("way"), nursery, self.note)
        self.north = Storefront(NORTH, SKUS, self.stage.stock, f"secret-{NORTH}", self.seed)
        self.host = StoreHost(self.north, self.now_us)
        self.lives = Lives(self)
        self.office = PostOffice(
            self.dice("post"), self.weather, nursery, self.lives.knock, self._taken, self.note, self.stage.retries_s
        )
        self.books = Books(self.stage, self.north)
        self.town = Town(
            self.dice("people"), self.stage, self.host, self.books, self.lives.tell, self.lives.known, self.note,
            self.pace_s, self.every,
        )  # fmt: skip
        self.storms = Storms(self.dice("storms"), self.weather, self.crossing, self.stage, self.note, self.every)
        self.judge = Judge(self)

    def _befell(self, kind: str) -> None:
        self.weather.happened(kind)
        self.note(kind)

    def _taken(self, body: bytes) -> None:
        if self.stage.contents:
            self.crossing.tell(body)

    async def _north_sends(self, hook: Hook) -> int | None:
        return await self.lives.knock(f"/webhooks/{NORTH}", hook.body, dict(hook.headers)) or None

    async def _met(self) -> None:
        """Until every SKU has its first count: before that nobody sells."""
        with trio.move_on_after(7_200):
            while any(self.lives.known(sku)[0] is None for sku in SKUS):  # noqa: ASYNC110 - no event says so
                await trio.sleep(1.0)
            return
        self.fail("some SKU got no first count within two hours")

    async def _busy(self) -> None:
        self.weather.stormy = True
        self.note(f"STORM: {', '.join(self.weather.share)}; a sale every {self.pace_s:g} s, {self.minutes:g} min")
        with trio.move_on_after(self.minutes * 60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.town.run)
                nursery.start_soon(self.storms.run)
                if self.kills:
                    nursery.start_soon(self.lives.kill_now_and_then, self.dice("kills"))
                if self.every:
                    nursery.start_soon(self.judge.tend)
                    await self.storms.done.wait()
                    nursery.cancel_scope.cancel()

    def _calm(self) -> None:
        self.note("CALM")
        self.weather.stormy, self.weather.spell = False, None
        self.crossing.copies.clear()
        self.stage.clear_up()


def _in_words(error: BaseException) -> str:
    """The innermost error, and where it was raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-2:]
    places = ", ".join(f"{Path(each.filename).name} line {each.lineno}" for each in where)
    return f"{type(error).__name__}: {error} ({places})"


def play(
    channel: str, seed: int, minutes: float | None = None, *, loud: bool = False, every: bool = False,
    compared: bool | None = None,
) -> Result:  # fmt: skip
    """One world, from its beginning to its verdict. `loud`: its story has every line of the daemon's log; `every`:
    each kind of fault has its turn in it; `compared`: whether listings are compared while nothing is wrong."""
    return World(channel, seed, minutes, loud=loud, every=every, compared=compared).run()
