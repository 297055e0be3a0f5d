"""What is made of what: a configuration and the ports become one daemon, not yet running."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from attrs import asdict, define, evolve, field

from daemon.actors.actor import Part
from daemon.actors.drifting import Investigator
from daemon.actors.registry import Bounds, Registry
from daemon.app.aftermath import Aftermath
from daemon.app.alarm_targets import tellers
from daemon.app.channel import Channel
from daemon.app.modes import ModeSwitch
from daemon.app.shadowing import ShadowWatch
from daemon.app.steady import SteadyClock
from daemon.app.telling import Tellers
from daemon.app.watching import Watch
from daemon.config import Config
from daemon.config_channels import ChannelConfig
from daemon.credentials import CredentialError, Secret, SecretRef, WebhookSecret, resolver
from daemon.domain.channel import Adapter, Platform
from daemon.domain.conditions import Standing, rules_of
from daemon.domain.exchange import Reply, Request
from daemon.domain.policy import Policy
from daemon.domain.queues import Queue
from daemon.domain.signatures import PublicKeyScheme, Scheme, names_url, unusable
from daemon.domain.sku import Message
from daemon.domain.slot import Slot
from daemon.events import Event
from daemon.ingress.catalogue import Catalogue, FirstCounts
from daemon.ingress.filterprobe import FilterProbe
from daemon.ingress.hookwatch import HookWatch
from daemon.ingress.masses import Masses
from daemon.ingress.normalise import Normaliser
from daemon.ingress.poller import Poller
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.queues import QueueReader
from daemon.ingress.receiver import Intake, Receiver
from daemon.ingress.subscriptions import Subscriptions
from daemon.ingress.sweep import Sweeper
from daemon.outbound.account import Account
from daemon.outbound.budget import Budget
from daemon.outbound.dispatcher import Dispatcher
from daemon.outbound.promises import Promises
from daemon.ports import HttpPort, HttpTarget, Ports
from daemon.storage.alarms import Alarms
from daemon.storage.codec import Cause, pack
from daemon.storage.cursors import Cursors, Refetches
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.drifts import Drifts
from daemon.storage.environment import Environment, OpenEnvironment
from daemon.storage.idempotency import SeenDeliveries
from daemon.storage.links import Links
from daemon.storage.modes import Modes
from daemon.storage.orders import OrderIndex
from daemon.storage.outbox import Outbox
from daemon.storage.priors import Priors
from daemon.storage.shadows import Shadows
from daemon.storage.store import Notices, Store
from daemon.storage.tables import META
from daemon.telemetry import Telemetry
from daemon.vault import FileVault


@define(eq=False, repr=False)
class Parts:
    """The assembled daemon."""

    config: Config
    ports: Ports
    telemetry: Telemetry
    store: Store
    outbox: Outbox
    registry: Registry
    receiver: Receiver
    seen: SeenDeliveries
    dead_letters: DeadLetters
    alarms: Alarms
    drifts: Drifts
    cursors: Cursors
    channels: dict[str, Channel]
    watch: Watch
    aftermath: Aftermath
    policies: bytes
    """Stands for the channels' rules: when it changes, every listing is wished anew."""
    modes: Modes
    priors: Priors
    shadows: Shadows
    tellers: Tellers
    clients: list[HttpPort] = field(factory=list)

    def stand(self, by: str) -> None:
        """Write down which channels are paused or not live, where that is news."""
        paused = [name for name, channel in self.channels.items() if channel.account.paused]
        modes = {name: channel.switch.mode.mode for name, channel in self.channels.items()}
        self.registry.circumstances.standing(Standing.of(paused, modes), by or "config.yaml")


def assemble(
    config: Config, platforms: Mapping[str, Platform], ports: Ports, telemetry: Telemetry,
    open_environment: OpenEnvironment = Environment.open,
) -> Parts:  # fmt: skip
    """Open the store, make every part. Raises `StoreError`, `CredentialError` or `RuntimeError`, each a sentence."""
    calendar_us, clock = ports.wall_us, SteadyClock(ports.wall_us)
    ports = evolve(ports, wall_us=clock)
    resolve = resolver(ports.environ, ports.read_file, telemetry.protect)
    adapters = {
        name: _adapter(channel, platforms[channel.adapter], resolve) for name, channel in config.channels.items()
    }
    setups = {
        name: (channel, _keys(channel, adapters[name].scheme, resolve, telemetry))
        for name, channel in config.channels.items()
    }
    store = _open_store(config, ports, telemetry, open_environment)
    clock.not_before(store.head.hlc_us)
    links, orders, outbox = Links(store), OrderIndex(store, config.kits), Outbox(store)
    letters, seen = DeadLetters(store, config.retention.dead_letters_max), SeenDeliveries(store)
    cursors, refetches = Cursors(store), Refetches(store)
    watch = Watch(telemetry, ports.wall_us)
    alarms = Alarms(store, watch.alarm_began, watch.alarm_ended)
    watch.tellers = tellers(config.alarms, store, ports, telemetry, resolve, alarms)
    policies = {
        name: evolve(channel.policy, adds_held=traits.includes_held, returns_unsure=traits.returns_unsure)
        for name, channel in config.channels.items()
        for traits in (adapters[name].traits,)
    }
    limits = config.limits
    # Of a channel that is only watched nothing is taken for a fact, and nothing is withheld for later.
    watched = {name: evolve(policy, drift="correct") for name, policy in policies.items()}

    def policy_of(name: str) -> Policy | None:
        return (watched if in_shadow(name) else policies).get(name)

    def in_shadow(name: str) -> bool:
        return name in parts.channels and parts.channels[name].account.shadow

    registry = Registry(
        store, outbox, orders, links, letters, refetches, policy_of, watch,
        Bounds(limits.mailbox_max, limits.queued_max, limits.actors_max), config.kits,
    )  # fmt: skip
    registry.circumstances.rules = rules_of(
        {name: (policies[name], adapters[name].traits.compare_and_set) for name in config.channels}, config.kits
    )
    cursors.moved = registry.circumstances.feed_read
    registry.circumstances.watermark_us = lambda channel: cursors.get(channel).polled_us
    drifts = Drifts(store, config.retention.drifts_max, config.retention.drift_days)
    registry.sighted = Investigator(store, drifts, config.kits, registry.actors, watch.drifted, in_shadow).look
    receiver = Receiver(store, registry, seen, letters, watch, ports.wall_us, calendar_us)
    letters.let_go = receiver.let_go
    ranks = _ranks(config)
    first_counts = FirstCounts(registry, ranks, watch.first_count)
    channels: dict[str, Channel] = {}
    parts = Parts(
        config, ports, telemetry, store, outbox, registry, receiver, seen, letters, alarms, drifts, cursors, channels,
        watch, Aftermath(store, registry, channels, telemetry),
        pack({name: repr(asdict(policy)) for name, policy in policies.items()}),
        Modes(store), Priors(store), Shadows(store), watch.tellers,
    )  # fmt: skip
    for name, (channel, keys) in setups.items():
        client = ports.open_http(_target(channel, adapters[name]))
        parts.clients.append(client)
        http = _Patient(client, channel.timeout_s) if channel.timeout_s else client
        vault = FileVault(config.state_dir, name, ports.read_file, ports.keep_file, ports.run_blocking)
        account = Account(
            name, adapters[name], http, policies[name], ports.wall_us, ports.new_id, redacted=telemetry.redacted,
            vault=vault, protect=lambda secret: telemetry.protect(Secret(secret)),
            replaced=lambda secret: telemetry.replaced(Secret(secret)),
        )  # fmt: skip
        parts.channels[name] = _channel(
            parts, channel, account, keys, Normaliser(name, links, orders, account.instant),
            refetches, first_counts,
        )  # fmt: skip
    return parts


def _channel(
    parts: Parts, config: ChannelConfig, account: Account, keys: Keys, normaliser: Normaliser,
    refetches: Refetches, first_counts: FirstCounts,
) -> Channel:  # fmt: skip
    name, telemetry, registry = config.name, parts.telemetry, parts.registry

    def look() -> None:
        poller.poke()

    def fetch() -> None:
        poller.fetch_soon()

    def advanced() -> None:
        dispatcher.feed_advanced()

    async def deliver(messages: Sequence[tuple[str, Message]], by: str) -> None:
        await registry.deliver([Part(sku, message, Cause(by, name)) for sku, message in messages])

    def say(event: Event) -> Callable[[str], None]:
        return lambda error: telemetry.event(event, channel=name, error=error)

    queue = account.adapter.queue
    url = f"{parts.config.public_url}/webhooks/{name}" if parts.config.public_url else ""
    if queue is not None:
        url = queue.address
    subscriptions = Subscriptions(
        account, url,
        lambda topic: telemetry.event(Event.WEBHOOK_REGISTERED, channel=name, topic=topic),
        lambda topic, state: telemetry.event(Event.WEBHOOK_DISABLED, channel=name, topic=topic, state=state),
        say(Event.WEBHOOK_FAILED),
    )  # fmt: skip
    hooks = HookWatch(
        account, subscriptions, parts.alarms, parts.store, look,
        lambda order, version: telemetry.event(Event.WEBHOOK_MISSED, channel=name, order=order, version=version),
    )  # fmt: skip
    scheme = account.adapter.scheme
    if names_url(scheme) and not url:
        raise RuntimeError(f"channels.{name}: this platform signs its webhooks over their address: set public_url")
    public_keys = PublicKeys(scheme, account.converse) if isinstance(scheme, PublicKeyScheme) else None
    intake = Intake(name, account.adapter, keys, normaliser, look, hooks, url, public_keys, fetch)
    poller = Poller(
        account, intake, parts.receiver, parts.cursors, refetches, advanced,
        say(Event.POLL_FAILED), lambda: telemetry.event(Event.POLL_RECOVERED, channel=name),
        lambda: hooks.blind or bool(reader and reader.broken),
    )  # fmt: skip
    reader = _queue_reader(parts, config, account, intake, queue) if queue is not None else None

    def slot_of(sku: str, listing: str) -> Slot | None:
        state = registry.peek(sku)
        return state.slots.get((name, listing)) if state else None

    promises = Promises(
        account, parts.alarms, parts.store.now_us, slot_of, parts.ports.rng,
        parts.watch.of(name).visible_lag.add, parts.watch.lied,
    )  # fmt: skip
    dispatcher = Dispatcher(
        account, parts.outbox, parts.store, parts.dead_letters, poller, deliver, parts.watch, parts.ports.rng,
        registry.shares, registry.silenced, parts.aftermath.unread, promises,
    )  # fmt: skip
    masses = Masses(
        name, config.sweep.mass_change, registry, parts.store, parts.alarms, poller.absorb,
        lambda how, hold: parts.watch.mass(name, how, hold),
    )  # fmt: skip
    catalogue = Catalogue(account, intake, parts.receiver, first_counts, masses, failed=say(Event.POLL_FAILED))
    lane = parts.outbox.lane(name)
    sweeper = Sweeper(account, config.sweep, intake, parts.receiver, catalogue, masses, lane, parts.store)
    masses.begun = sweeper.stir
    switch = ModeSwitch(
        account, lane, catalogue, poller, subscriptions, dispatcher, masses, registry, parts.modes, parts.priors,
        telemetry, parts.store.now_us, config.mode,
    )  # fmt: skip
    watch = ShadowWatch(account, lane, parts.shadows, parts.store.now_us)
    switch.began, parts.watch.shadows[name] = watch.begin, watch
    parts.watch.sweepers[name], parts.watch.masses[name] = sweeper, masses
    channel = Channel(
        name, config.adapter, account, intake, poller, catalogue, sweeper, masses, dispatcher, subscriptions, hooks,
        promises, FilterProbe(account, parts.alarms), lane, parts.watch.of(name), switch, watch, telemetry,
        parts.store.now_us, reader,
    )  # fmt: skip
    account.notice = channel.notice

    def keep_paused() -> None:
        paused = [each for each, other in parts.channels.items() if other.account.paused]
        parts.store.put(META, b"paused", pack(paused))
        parts.stand("admin")

    channel.keep_paused = keep_paused
    return channel


def _queue_reader(parts: Parts, config: ChannelConfig, account: Account, intake: Intake, queue: Queue) -> QueueReader:
    """The reader of a platform's queue, which has a client, a breaker and a budget of its own."""
    name, telemetry = config.name, parts.telemetry
    where = urlsplit(queue.url)
    plain = where.scheme == "http" and config.allow_private
    target = HttpTarget(
        name, frozenset((where.netloc,)), config.http_client, allow_plain=plain, allow_private=config.allow_private
    )
    # Without the configured time-out: a message is waited for longer than an answer should be.
    client = parts.ports.open_http(target)
    parts.clients.append(client)
    own = Account(
        name, account.adapter, client, account.policy, account.wall_us, account.new_id, redacted=telemetry.redacted
    )
    own.budget = Budget(queue.meter.rate_per_s, queue.meter.burst)
    return QueueReader(
        queue, own, intake, parts.receiver, parts.alarms, parts.ports.rng,
        lambda error: telemetry.event(Event.QUEUE_FAILED, channel=name, error=error),
        lambda: telemetry.event(Event.QUEUE_RECOVERED, channel=name),
        lambda error: telemetry.event(Event.QUEUE_MESSAGE_FAILED, channel=name, error=error),
    )  # fmt: skip


@define(repr=False)
class Keys:
    """The webhook secrets of a channel; none live means that its webhooks get 503 until there is one."""

    secrets: tuple[WebhookSecret, ...]

    def __call__(self, now_us: int) -> Sequence[str]:
        """The live ones, newest first."""
        return [key.secret.reveal() for key in self.secrets if key.live(now_us)]


def _adapter(channel: ChannelConfig, platform: Platform, resolve: Callable[[SecretRef, str], Secret]) -> Adapter:
    try:
        return platform.build(channel.setup(_forgiving(resolve)))
    except ValueError as error:
        raise RuntimeError(f"channels.{channel.name}: {error}") from None


def _keys(
    channel: ChannelConfig, scheme: Scheme, resolve: Callable[[SecretRef, str], Secret], telemetry: Telemetry
) -> Keys:
    try:
        return Keys(_usable(channel, scheme, channel.webhook_keys(resolve)))
    except CredentialError as error:
        telemetry.event(Event.SECRET_MISSING, channel=channel.name, error=str(error))
        return Keys(())


def _usable(channel: ChannelConfig, scheme: Scheme, keys: tuple[WebhookSecret, ...]) -> tuple[WebhookSecret, ...]:
    for place, key in enumerate(keys):
        if why := unusable(scheme, key.secret.reveal()):
            raise CredentialError(f"channels.{channel.name}.webhook_secrets[{place}]: {why}")
    return keys


def _forgiving(resolve: Callable[[SecretRef, str], Secret]) -> Callable[[SecretRef, str], Secret]:
    """A missing webhook secret closes its channel's door (503); a missing API secret stops the start."""

    def found(ref: SecretRef, path: str) -> Secret:
        try:
            return resolve(ref, path)
        except CredentialError:
            if ".webhook_secrets" in path:
                return Secret("")
            raise

    return found


class _Patient:
    """A client whose requests all have the configured time-out."""

    def __init__(self, http: HttpPort, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s

    async def send(self, request: Request) -> Reply:
        return await self._http.send(evolve(request, timeout_s=self._timeout_s))

    async def aclose(self) -> None:
        await self._http.aclose()


def _target(channel: ChannelConfig, adapter: Adapter) -> HttpTarget:
    hosts = {urlsplit(channel.base_url).netloc, *adapter.hosts} - {""}
    return HttpTarget(
        channel.name, frozenset(hosts), channel.http_client,
        allow_plain=channel.allow_plain, allow_private=channel.allow_private,
    )  # fmt: skip


def _ranks(config: Config) -> dict[str, int]:
    """Who is asked first for an uncounted SKU's stock: the authority, then the configuration's order."""
    names = sorted(config.channels, key=lambda name: not config.channels[name].authority)
    return {name: place for place, name in enumerate(names)}


def _open_store(config: Config, ports: Ports, telemetry: Telemetry, open_environment: OpenEnvironment) -> Store:
    env = open_environment(Path(config.state_dir), genesis=ports.new_id(), map_max_bytes=config.storage.map_max_bytes)
    notices = Notices(
        full=lambda reason: telemetry.event(Event.STORAGE_FULL, error=reason),
        healed=lambda: telemetry.event(Event.STORAGE_HEALED),
        grown=lambda size: telemetry.event(Event.MAP_GROWN, map_bytes=size),
    )
    return Store(
        env, ports.run_blocking, ports.wall_us, notices, ports.run_aside,
        disk_floor_bytes=config.storage.disk_floor_bytes,
    )  # fmt: skip
