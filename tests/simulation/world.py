"""A whole simulated world in one Trio run: the daemon, storefronts, people, faults, all from one integer."""

from __future__ import annotations

import gc
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
import trio._core._run as trio_run
from attrs import frozen

from adapters.storefront import Storefront
from adapters.storefront.faults import Faults
from daemon.domain.policy import Policy
from daemon.storage.tables import LOG
from tests.simulation.clock import JumpingClock
from tests.simulation.fronts import Front
from tests.simulation.invariants import broken
from tests.simulation.lives import WALL_OFF_MAX_S, Lives
from tests.simulation.memory import Memory
from tests.simulation.oddities import Oddities
from tests.simulation.oracle import Oracle
from tests.simulation.people import Critic, Mender, Operator, Shoppers, Trialist
from tests.simulation.plan import Plan
from tests.simulation.ports import Life
from tests.simulation.shop_clock import ShopClock
from tests.simulation.strangers import Strangers
from tests.simulation.weather import Lightning, Weather

EPOCH_US: Final = 1_750_000_000_000_000
STEPS_MAX = 20_000
"""So many turns of the scheduler without a second passing are a busy loop."""
TRACE_LINES = 400
HANG_S = 600
"""Seconds of work after which a run of a pool is taken to hang; so long is none, however busy the machine."""
LONG_HOURS = 240.0
"""So long at most the worlds live that live longer than others."""
LATE_NEWS_S = 300.0
"""How long the world is watched further once it has come to rest."""


FATES = {
    "throttle": "429", "fail_before": "500 before the effect", "fail_after": "500 after the effect",
    "hold": "time-out without an effect", "hold_applied": "time-out after the effect",
    "hold_late": "time-out, effect later", "lose": "answer lost", "lie": "effect claimed, none there",
    "dropped": "webhook dropped", "doubled": "webhook doubled", "overtaken": "webhook overtaken",
    "delayed": "webhook delayed",
}  # fmt: skip
"""What the storefronts call what they do to calls and webhooks, in words."""


class SimulationError(AssertionError):
    """Something was not as it must be."""


class Steps(trio.abc.Instrument):
    """Counts the scheduler's turns in each simulated second."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.second = -1
        self.turns = self.most = self.total = 0

    def before_io_wait(self, timeout: float) -> None:
        now = int(self.world.clock.current_time())
        if now != self.second:
            self.second, self.turns = now, 0
        self.turns += 1
        self.total += 1
        if self.turns > self.most:
            self.most = self.turns
            if self.turns == STEPS_MAX:
                self.world.fail(broken("I11", "a busy loop: the clock does not move"))


@frozen
class Result:
    """What a run came to."""

    seed: int
    hours: float
    wall_s: float
    cpu_s: float
    events: int
    log_hash: str
    trace_hash: str
    failures: tuple[str, ...]
    counts: Counter[str]
    trace: tuple[str, ...]
    turns: int
    most_turns: int


class World:
    """Build it, `run` it once, look at the result."""

    def __init__(
        self, seed: int, hours: float, plan: Plan | None = None, *, loud: bool = False, in_memory: bool = False
    ) -> None:
        self.seed = seed
        self.hours = hours
        self.plan = plan or Plan.of(seed)
        self.loud = loud
        self.clock = JumpingClock()
        self.steps = Steps(self)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.trace: deque[str] = deque(maxlen=TRACE_LINES * 25 if loud else TRACE_LINES)
        self.digest = blake2b(digest_size=16)
        self.rng_ids = self.dice("ids")
        self.rng_net = self.dice("network")
        self.rng_disk = self.dice("disk")
        self.rng_bolt = self.dice("bolts")
        self.bolt = 0
        self.stall_until = self.full_until = 0.0
        self.wall_off_us = 0
        self.wall_set = False
        """Was our clock ever set?"""
        self.moments: dict[str, trio.Event] = {}
        """What somebody waits for to happen."""
        self.touched_at = 0.0
        self.stormy = False
        self.over = False
        self.calm = trio.Event()
        self.scope = trio.CancelScope()
        self.life: Life | None = None
        self.lives = 0
        self.nursery: trio.Nursery
        self.log_hash, self.events = "", 0
        self.fronts = {front.name: front for front in self._fronts()}
        self.front_list = list(self.fronts.values())
        self.oracle = Oracle(self)
        self.oddities = Oddities(self)
        self.directory = Path()
        self.memory = Memory() if in_memory else None

    def dice(self, stream: str) -> random.Random:
        return random.Random(f"{self.seed}:{stream}")

    def _fronts(self) -> Iterator[Front]:
        rng, rng_kits, rng_rules, plan = self.dice("fronts"), self.dice("kits"), self.dice("rules"), self.plan
        for name in plan.channels:
            mine = [sku for sku in plan.skus if rng.random() < 0.85] or [plan.skus[0]]
            stock = {sku: rng.randrange(plan.stock_max + 1) for sku in mine}
            kits = [kit for kit in plan.kits if rng_kits.random() < 0.85]
            stock |= {kit: rng_kits.randrange(plan.stock_max + 1) for kit in kits}
            mine += kits
            store = Storefront(name, mine, stock, f"secret-{name}", self.seed)
            policy = Policy(
                buffer=rng.choice((0, 0, 0, 1, 2)), share=rng.choice((1.0, 1.0, 1.0, 0.5)),
                cap=rng.choice((None, None, None, 5)), drift=rng_rules.choice(("correct", "correct", "report")),
            )  # fmt: skip
            offset_s = rng.choice((0.0, 0.0, 1.0)) and rng.uniform(-250.0, 250.0)
            drift_ppm = rng.uniform(-plan.drift_ppm, plan.drift_ppm)
            for name_of, off in (("clock off", offset_s), ("clock drifts", drift_ppm)):
                if off:
                    self.fault(name_of)
            clock = ShopClock(offset_s, drift_ppm, EPOCH_US)
            front = Front(
                self, name, store, clock, policy, self.dice(f"front {name}"), blind=plan.blind and name == "site",
                subscribed=plan.subscribes and name == "outlet",
            )  # fmt: skip
            front.set_faults(Faults())
            yield front

    # -- time and chance --

    epoch_us = EPOCH_US
    """The wall clock when a world begins."""

    def now_us(self) -> int:
        return EPOCH_US + round(self.clock.current_time() * 1e6)

    def wall_us(self) -> int:
        """Our own clock on the wall, as it is set."""
        return self.now_us() + self.wall_off_us

    def set_wall(self, by_s: float) -> None:
        """Somebody sets our clock."""
        if abs(self.wall_off_us / 1e6 + by_s) < WALL_OFF_MAX_S:
            self.wall_off_us += round(by_s * 1e6)
            self.wall_set = True
            self.fault("our clock set forward" if by_s > 0 else "our clock set back")
            self.reached("a clock being set")

    def net_s(self) -> float:
        return self.rng_net.choice((0.0, 0.002, 0.02, 0.02, 0.1)) * (1 + self.rng_net.random())

    def disk_s(self) -> float:
        if trio.current_time() < self.stall_until:
            return self.rng_disk.uniform(0.1, 4.0)
        return self.rng_disk.choice((0.0, 0.0005, 0.002, 0.005))

    def disk_full(self) -> bool:
        return trio.current_time() < self.full_until

    def disk_sick(self) -> bool:
        """May a daemon end with an error of its store?"""
        return self.disk_full() or (self.stormy and self.plan.eio > 0)

    def lose_answer(self) -> bool:
        return self.stormy and self.rng_net.random() < 0.02

    def lightning(self) -> bool:
        if not self.stormy:
            return False
        if self.bolt:
            self.bolt -= 1
            return not self.bolt
        return self.rng_bolt.random() < self.plan.bolts

    # -- saying --

    def note(self, line: str) -> None:
        line = f"{self.clock.current_time():.6f} {line}"
        self.digest.update(line.encode())
        self.trace.append(line)

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def fault(self, name: str) -> None:
        """Something went wrong as the seed wanted it; a soak must show every kind."""
        self.counts["fault: " + name] += 1

    def reached(self, moment: str) -> None:
        """It happens now: whoever waits for it may act."""
        if moment in self.moments:
            self.moments.pop(moment).set()

    async def moment(self, name: str, patience_s: float) -> bool:
        """Wait until that happens; False where it does not in time."""
        with trio.move_on_after(patience_s):
            await self.moments.setdefault(name, trio.Event()).wait()
            return True
        return False

    def fail(self, what: str) -> None:
        """Remember what is wrong and end the run."""
        hours = self.clock.current_time() / 3600
        self.failures.append(f"{hours:.4f} h: {what}")
        self.trace.append(f"{self.clock.current_time():.6f} FAILED: {what}")
        self.scope.cancel()

    # -- talking to the daemon --

    async def ask(self, door: Any, request: bytes, *, all_of_it: bool = True) -> tuple[int | None, bytes]:
        """Send a request over a new connection; the answer's status and body, None and nothing where there was none.

        `all_of_it`: False for a request that is cut short; we hang up behind it."""
        try:
            ours = door.connect()
        except trio.BrokenResourceError:
            return None, b""
        answer = b""
        try:
            with trio.move_on_after(30.0):
                await ours.send_all(request)
                if not all_of_it:
                    await ours.send_eof()
                while data := await ours.receive_some(65536):
                    answer += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            door.hung_up(ours)
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
        return status, answer.partition(b"\r\n\r\n")[2]

    async def ask_admin(self, path: str, body: object = None, *, method: str = "POST") -> tuple[int | None, bytes]:
        life = self.life
        if life is None or not life.up:
            return None, b""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\nhost: onhand\r\nconnection: close\r\n"
        head += f"content-length: {len(content)}\r\n\r\n"
        return await self.ask(life.admin, head.encode() + content)

    # -- the run --

    def run(self) -> Result:
        began, worked = time.perf_counter(), time.process_time()
        shm = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="onhand-sim-", dir=shm if shm.is_dir() else None))
        before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
        trio_run._r.seed(self.seed)
        # What a collector finds, and when, is not a matter of the seed; and it would be a fifth of all work.
        collecting = gc.isenabled()
        gc.disable()
        try:
            trio.run(self._main, clock=self.clock, instruments=[self.steps])
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever ends a daemon ends the world; what failed before it says more.
            self.fail(broken("I0", _in_words(error)))
        finally:
            if collecting:
                gc.enable()
            trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before
            shutil.rmtree(self.directory, ignore_errors=True)
        return Result(
            self.seed, self.clock.current_time() / 3600, time.perf_counter() - began,
            time.process_time() - worked, self.events, self.log_hash,
            self.digest.hexdigest(), tuple(self.failures), self.counts, tuple(self.trace), self.steps.total,
            self.steps.most,
        )  # fmt: skip

    async def _main(self) -> None:
        with self.scope:
            async with trio.open_nursery() as self.nursery:
                for front in self.front_list:
                    self.nursery.start_soon(front.host.run, front.send)
                    self.nursery.start_soon(front.late_news)
                self.nursery.start_soon(Lives(self).run)
                self.nursery.start_soon(self.oracle.watch)
                await self._days()
                self.nursery.cancel_scope.cancel()

    async def _days(self) -> None:
        rng = self.dice("days")
        hours = min(self.hours * self.plan.stretch, max(self.hours, LONG_HOURS))
        if self.plan.stretch > 1:
            self.count("worlds that live for weeks")
        parts = max(2, min(8, round(hours / 6))) if hours > 2 else 2
        for part in range(parts):
            if part or not self.plan.early:
                await self._rest()
            self.stormy, self.calm = not self.plan.fair, trio.Event()
            with trio.CancelScope() as busy:
                async with trio.open_nursery() as people:
                    for each in (Shoppers, Operator, *((Critic,) if self.plan.fair else (Weather, Lightning))):
                        people.start_soon(each(self).run)
                    if self.plan.oddities and not self.plan.fair:
                        people.start_soon(self.oddities.run)
                    if self.plan.switched:
                        people.start_soon(Trialist(self).run)
                    if "strangers" in self.plan.kinds:
                        people.start_soon(Strangers(self).run)
                    await trio.sleep(hours * 3600 / parts * rng.uniform(0.7, 1.3))
                    self._calm()
                    busy.cancel()
            await self._rest()
        await self._end()

    def _calm(self) -> None:
        self.note("CALM")
        self.stormy, self.stall_until, self.full_until, self.bolt = False, 0.0, 0.0, 0
        self.calm.set()
        for front in self.front_list:
            front.clear_up()

    async def _rest(self) -> None:
        """Until all is settled; checked then, and once more when the last late news has come."""
        began = trio.current_time()
        bound_s = self.plan.catalogue_s + 1800.0
        await self._quiet(began + bound_s, "come to")
        self.counts["seconds to rest"] += round(trio.current_time() - began)
        # A letter about a push that nobody wants any more stays until a person has seen it.
        await Mender(self).look()
        await self._quiet(began + bound_s, "stay at")
        await self.oracle.at_rest.check()
        if not self.plan.fair:
            await Strangers(self).siege()
        await trio.sleep(LATE_NEWS_S)
        if self.life is not None and not self.plan.fair and self.rng_bolt.random() < 0.3:
            self.fault("crash at the instant of quiet")
            self.life.crash("at the instant of quiet")
        await self._quiet(trio.current_time() + bound_s, "stay at")
        await Mender(self).look()
        await self._quiet(trio.current_time() + bound_s, "stay at")
        await self.oracle.at_rest.check()

    async def _quiet(self, until: float, how: str) -> None:
        """Wait until all is at rest; now and then somebody looks after the dead letters."""
        looks = 0
        while why := self.oracle.unrest.why():
            looks += 1
            if trio.current_time() > until:
                self.fail(self.oracle.unrest.restless(how, why))
                await trio.sleep(1)
            if looks % 20 == 0:
                await Mender(self).look()
            await trio.sleep(1.0)

    async def _end(self) -> None:
        life = self.life
        assert life is not None
        assert life.daemon is not None
        digest = blake2b(digest_size=16)
        env, after = life.daemon.parts.store.env, b""
        while rows := env.scan(LOG, after, limit=1000):
            for key, payload in rows:
                digest.update(key + payload)
                self.events += 1
            after = rows[-1][0] + b"\0"
        self.log_hash = digest.hexdigest()
        store = life.daemon.parts.store
        self.counts["events compacted"] += store.head.seq - self.events
        self.over = True
        for front in self.front_list:
            for name, times in (front.store.fates | front.store.outbox.mishaps).items():
                self.counts["fault: " + FATES.get(name, name)] += times
        del self.counts["fault: as_usual"]
        life.daemon.stop()
        await life.ended.wait()


def _in_words(error: BaseException) -> str:
    """The innermost error, and where it was raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-1:]
    places = ", ".join(f"{Path(each.filename).name} line {each.lineno}" for each in where)
    return f"{type(error).__name__}: {error} ({places})"
