"""The supervision tree: who runs, what happens when one fails, and the orderly start and stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio
from attrs import define, field

from daemon.admin.answers import refuse
from daemon.admin.api import AdminHandler
from daemon.admin.inside import Inside
from daemon.app.assembly import Parts, assemble
from daemon.app.audit import Auditor
from daemon.app.clocks import Clocks
from daemon.app.compaction import Compactor
from daemon.app.maintenance import Upkeep
from daemon.app.roots import Roots
from daemon.app.sentinel import Sentinel
from daemon.app.watching import CounterView
from daemon.config import Config
from daemon.domain.channel import Platform
from daemon.domain.instants import SECOND_US
from daemon.events import Event
from daemon.ingress.http_types import Limits
from daemon.ingress.server import FAREWELLS_MAX, HttpServer
from daemon.ingress.webhooks import PublicHandler
from daemon.notify import Notifier, feed_watchdog
from daemon.ports import Ports
from daemon.storage.codec import pack, unpack
from daemon.storage.environment import Environment, OpenEnvironment
from daemon.storage.files import StoreError
from daemon.storage.tables import META
from daemon.telemetry import Telemetry

REPEATED_MAX = 1_000
"""A longer tail of the log is written before webhooks are answered: else a daemon that is killed again and again
within `CHECKPOINT_S` would start more slowly each time."""
CHECKPOINT_S = 2.0
"""Seconds between two checkpoints; what lies between is repeated from the log after a kill."""
EXPIRE_S = 3600.0
PAGE_PAUSE_S = 0.01
"""Between two pages of housekeeping, so that it never holds up a sale."""
STOP_SERVING_S = 2.0
STOP_CALLS_S = 1.0
"""An orderly stop: requests are answered within the first, calls to channels end within the second."""
RESTART_S = (0.1, 30.0)
"""First and longest pause before a crashed background task is started again."""

ADMIN_CONNECTIONS = 64
FILES_RESERVED = 64 + ADMIN_CONNECTIONS + FAREWELLS_MAX
"""Open files that are not the public clients': our own (database, listeners, a backup's), the admin's, and clients
that are being told that the server is full."""
FILES_PER_CHANNEL = 8
"""Connections of one channel's client, twice: its pool may just be replaced."""
CONNECTIONS_MIN = 16
"""Serving fewer clients at once makes no sense."""

Listeners = Sequence[trio.abc.Listener[Any]]


@define(eq=False, repr=False)
class Daemon:
    """One daemon. `run` returns after an orderly stop; `stop` asks for one."""

    parts: Parts
    notifier: Notifier
    public: HttpServer = field(init=False)
    admin: HttpServer = field(init=False)
    handler: PublicHandler = field(init=False)
    inside: Inside = field(init=False)
    clocks: Clocks = field(init=False)
    roots: Roots = field(init=False)
    auditor: Auditor = field(init=False)
    compactor: Compactor = field(init=False)
    serving: trio.Event = field(factory=trio.Event)
    """Set when state is complete and webhooks are answered."""
    ended: trio.Event = field(factory=trio.Event)
    _stop: trio.Event = field(factory=trio.Event)
    _checkpointing: trio.Lock = field(factory=trio.Lock)

    def __attrs_post_init__(self) -> None:
        parts = self.parts
        self.clocks = Clocks(parts.store, parts.channels)
        self.roots = Roots(parts.store, parts.telemetry)
        self.auditor = Auditor(parts.store, parts.registry, parts.alarms, parts.ports.wall_us)
        self.compactor = Compactor(
            parts.store, parts.registry.circumstances, parts.alarms, parts.telemetry, parts.registry.policy_of,
            parts.ports.wall_us, parts.config.retention.history_us, parts.config.retention.history_grain,
        )  # fmt: skip
        intakes = {name: channel.intake for name, channel in parts.channels.items()}
        limits = parts.config.limits
        self.handler = PublicHandler(
            parts.receiver, intakes, self.not_ready, parts.ports.wall_us, limits.max_body_bytes
        )
        http_limits = Limits(
            max_body_bytes=limits.max_body_bytes, max_connections=self._connections_max(),
            max_connections_per_peer=limits.max_connections_per_peer, max_buffered_bytes=limits.max_buffered_bytes,
        )  # fmt: skip
        self.public = HttpServer(self.handler, http_limits, on_error=self._request_failed, wall_clock=self._wall_s)
        upkeep = Upkeep(
            parts.store,
            parts.registry,
            parts.receiver,
            intakes,
            parts.telemetry,
            self.auditor,
            self.checkpoint,
        )
        self.inside = Inside(
            parts.store, parts.registry, parts.outbox, parts.dead_letters, parts.alarms, parts.drifts, parts.channels,
            upkeep,
            CounterView(parts.telemetry.counters), parts.ports.wall_us(), self.not_ready,
            self.auditor.report, parts.tellers.report,
        )  # fmt: skip
        admin = AdminHandler(self.inside, new_id=parts.ports.new_id, forget=self._discarded, witness=self._commanded)
        self.admin = HttpServer(
            admin, Limits(max_connections=ADMIN_CONNECTIONS), on_error=self._request_failed,
            wall_clock=self._wall_s, refuse=refuse,
        )  # fmt: skip

    def _connections_max(self) -> int:
        """Clients of the public port at once, so that a crowd there can never use up the files that the store, the
        admin socket and the calls to channels need. Raises `RuntimeError` where that leaves next to nothing."""
        parts = self.parts
        wanted = parts.config.limits.max_connections
        reserve = FILES_RESERVED + FILES_PER_CHANNEL * len(parts.channels)
        room = parts.ports.files_max - reserve
        if room < min(wanted, CONNECTIONS_MIN):
            raise RuntimeError(
                f"only {parts.ports.files_max} files may be open at once: raise the limit to at least "
                f"{reserve + CONNECTIONS_MIN} (LimitNOFILE= in the unit, or ulimit -n)"
            )
        if room < wanted:
            parts.telemetry.event(Event.LISTENER_NARROWED, max_connections=room, files_max=parts.ports.files_max)
        return min(wanted, room)

    # -- state --

    def not_ready(self) -> str:
        """Why the daemon is not ready; empty when it is."""
        if not self.serving.is_set():
            return "starting"
        waiting = [name for name, each in self.parts.channels.items() if not each.catalogue.attempted.is_set()]
        if waiting:
            return f"waiting for the first look at {', '.join(waiting)}"
        return self.parts.store.trouble

    def _wall_s(self) -> float:
        return self.parts.ports.wall_us() / SECOND_US

    def _request_failed(self, error: BaseException) -> None:
        if isinstance(error, StoreError):
            raise error
        self.parts.telemetry.event(Event.HANDLER_FAILED, error=error)

    def _commanded(self, *, by: str, command: str, refused: str) -> None:
        if refused:
            self.parts.telemetry.event(Event.ADMIN_REFUSED, by=by, command=command, reason=refused)
        else:
            self.parts.telemetry.event(Event.ADMIN_COMMAND, by=by, command=command)

    def _discarded(self, channel: str, subject: str) -> None:
        self.parts.receiver.forget(channel, subject)
        self.parts.telemetry.event(Event.DEAD_LETTER_DISCARDED, channel=channel or None, subject=subject)

    # -- life --

    def stop(self) -> None:
        """Begin the orderly stop."""
        self._stop.set()

    async def run(self, public: Listeners, admin: Listeners) -> None:
        """Run until stopped. Raises `StoreError` if the store cannot go on."""
        parts = self.parts
        clean = False
        try:
            async with trio.open_nursery() as store_scope:
                await store_scope.start(parts.store.run)
                await self._recover()
                async with trio.open_nursery() as rooms:
                    await self._start(rooms, public, admin)
                    await self._stop.wait()
                    await self._finish(rooms)
                parts.store.hurry()
                parts.registry.drain()
                self.roots.at_stop()
                await self.checkpoint()
                parts.store.stop()
            clean = True
        finally:
            with trio.CancelScope(shield=True):
                for client in parts.clients:
                    await client.aclose()
                for teller in parts.tellers.each:
                    await teller.target.aclose()
            parts.store.env.close(clean=clean)
            self.ended.set()

    async def _recover(self) -> None:
        parts = self.parts
        parts.seen.load()
        parts.receiver.load()
        for channel in parts.channels.values():
            channel.switch.recall()
        repeated = parts.registry.replay()

        def life_us(channel: str) -> int:
            known = parts.channels.get(channel)
            return int((known.account.adapter.life_s(None) if known else 120.0) * SECOND_US)

        for name in unpack(parts.store.env.get(META, b"paused") or pack([])):
            if name in parts.channels:
                parts.channels[name].account.paused = True
        parts.stand("start")
        for channel in parts.channels.values():
            channel.switch.stood = parts.stand  # not before the log is repeated
        self.clocks.recall()
        unfinished = parts.registry.resume(life_us, parts.policies)
        parts.aftermath.begin()
        parts.telemetry.event(Event.STARTED, events=parts.store.head.seq, repeated=repeated, unfinished=unfinished)
        if repeated > REPEATED_MAX:
            await self.checkpoint()

    async def _start(self, rooms: trio.Nursery, public: Listeners, admin: Listeners) -> None:
        parts = self.parts
        await rooms.start(parts.registry.run)
        rooms.start_soon(self._checkpoints)
        sentinel = Sentinel(parts.alarms, parts.dead_letters, parts.channels, parts.ports.wall_us)
        rooms.start_soon(self._supervise, "sentinel", sentinel.run)
        rooms.start_soon(self._supervise, "self-audit", self.auditor.run)
        rooms.start_soon(self._supervise, "compaction", self.compactor.run)
        rooms.start_soon(self._supervise, "roots of the chain", self.roots.run)
        rooms.start_soon(self._supervise, "orders since a backup", parts.aftermath.run)
        for teller in parts.tellers.each:
            rooms.start_soon(self._supervise, f"alarm {teller.kind}", teller.run)
        for name, channel in parts.channels.items():
            tasks = {
                "poller": channel.poller.run,
                "order fetches": channel.poller.run_fetches,
                "catalogue": channel.catalogue.run,
                "sweep": channel.sweeper.run,
                "dispatcher": channel.dispatcher.run,
                "subscriptions": channel.subscriptions.run,
                "webhook watch": channel.hooks.run,
                "promises": channel.promises.run,
                "order filter": channel.probe.run,
                "mode": channel.switch.run,
            }
            if channel.queue is not None:
                tasks["queue"] = channel.queue.run
            for what, task in tasks.items():
                rooms.start_soon(self._supervise, f"{what} of {name}", task)
        await rooms.start(self.admin.serve, admin)
        await rooms.start(self.public.serve, public)
        self.serving.set()
        rooms.start_soon(self._announce)
        rooms.start_soon(feed_watchdog, self.notifier, self._alive)

    async def _announce(self) -> None:
        """Systemd is told when webhooks are answered; the log, when every channel has been looked at."""
        self.notifier.ready()
        for channel in self.parts.channels.values():
            await channel.catalogue.attempted.wait()
        self.parts.telemetry.event(Event.READY, channels=len(self.parts.channels))

    async def _alive(self) -> None:
        """Proof of life for the watchdog: the writer's thread and the loop both get their turn."""
        await self.parts.ports.run_blocking(lambda: None)

    async def _supervise(self, what: str, task: Callable[[], Awaitable[None]]) -> None:
        """Run a background task; one that raises is started again, ever more slowly, and says so."""
        pause_s = RESTART_S[0]
        while True:
            began = trio.current_time()
            try:
                await task()
            except (StoreError, trio.Cancelled):
                raise
            except Exception as error:
                self.parts.telemetry.event(Event.TASK_CRASHED, task=what, error=error)
            else:
                return
            pause_s = RESTART_S[0] if trio.current_time() - began > 60 else min(RESTART_S[1], pause_s * 2)
            await trio.sleep(pause_s)

    async def checkpoint(self) -> int:
        """Write everything that lags behind the log; returns rows."""
        async with self._checkpointing:
            parts = self.parts
            parts.cursors.catch_up()
            rows = await parts.store.checkpoint() if parts.store.behind else 0
            if rows:
                self.clocks.note()
                parts.seen.checkpointed()
                parts.shadows.checkpointed()
                gone = parts.registry.checkpointed()
                parts.telemetry.event(Event.CHECKPOINT, rows=rows, seq=parts.store.head.seq, passivated=gone)
            return rows

    async def _checkpoints(self) -> None:
        expire_at = trio.current_time() + EXPIRE_S
        while True:
            with trio.move_on_at(expire_at):
                if not self.parts.store.behind:
                    await self.parts.store.wait_news()
                await trio.sleep(CHECKPOINT_S)
            await self.checkpoint()
            if trio.current_time() >= expire_at:
                await self._expire()
                expire_at = trio.current_time() + EXPIRE_S

    async def _expire(self) -> None:
        """Forget what is past its retention, and fold what is past the settlement horizon; a little at a time."""
        parts, kept, settlement_us = self.parts, self.parts.config.retention, self.parts.config.storage.settlement_us
        now_us = parts.ports.wall_us()
        total = 0
        while gone := parts.seen.expire(now_us - kept.dedup_us, now_us - kept.deliveries_us, kept.deliveries_max):
            total += gone
            await parts.store.flush()
        if total:
            parts.telemetry.event(Event.PRUNED, deliveries=total)
        while parts.dead_letters.expire(now_us - kept.dead_letters_us):
            await parts.store.flush()
        horizon_us = now_us - settlement_us
        sku, more = "", True
        while more:
            floors = {name: channel.poller.reaches_back_to_us() for name, channel in parts.channels.items()}
            sku = parts.registry.settle_some(sku, horizon_us, floors)
            more = bool(sku)
            await trio.sleep(PAGE_PAUSE_S)
        order, more = b"", True
        while more:
            # Orders outlive the settlement of their lines by as long again: late news still finds its line.
            order = parts.registry.orders.prune(order, horizon_us - settlement_us, parts.registry.counts)
            more = bool(order)
            await trio.sleep(PAGE_PAUSE_S)

    async def _finish(self, rooms: trio.Nursery) -> None:
        """Stop accepting, answer what was begun, let calls under way end, then cancel what is left."""
        self.notifier.stopping()
        self.parts.telemetry.event(Event.STOPPING)
        self.handler.stopping = True
        for channel in self.parts.channels.values():
            channel.account.ending = True
        await self.public.close_gracefully(STOP_SERVING_S)
        with trio.move_on_after(STOP_CALLS_S):
            for channel in self.parts.channels.values():
                await channel.dispatcher.wait_idle()
        await self.admin.close_gracefully(0.5)
        rooms.cancel_scope.cancel()


async def serve(
    config: Config, platforms: Mapping[str, Platform], ports: Ports, telemetry: Telemetry, notifier: Notifier,
    open_environment: OpenEnvironment = Environment.open,
    *, task_status: trio.TaskStatus[Daemon] = trio.TASK_STATUS_IGNORED,
) -> None:  # fmt: skip
    """Assemble a daemon and run it until it is stopped; `started` gives it to the caller.

    Raises `StoreError`, `CredentialError`, `RuntimeError` or `OSError`, each with a sentence.
    """
    parts = assemble(config, platforms, ports, telemetry, open_environment)
    try:
        admin = await ports.listen_admin(config.admin_socket)
        public = await ports.listen_public(config.listen.host, config.listen.port)
        daemon = Daemon(parts, notifier)
    except BaseException:
        parts.store.env.close(clean=False)
        raise
    task_status.started(daemon)
    await daemon.run(public, admin)
    telemetry.event(Event.STOPPED)
