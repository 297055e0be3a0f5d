"""config.yaml -> `Config`: frozen values, or every problem at once, each with its path and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from daemon.config_addresses import HostPort, is_loopback, read_host_port, read_url
from daemon.config_alarms import AlarmTargets, read_alarms
from daemon.config_channels import CHANNEL_NAME, ChannelConfig, read_channel
from daemon.config_fields import Problems, Section
from daemon.config_kits import read_kits
from daemon.config_retention import RetentionSettings, read_retention, say_where_moved
from daemon.config_yaml import MAX_CONFIG_BYTES, ConfigError, Problem, read_yaml
from daemon.domain.channel import Platform
from daemon.domain.instants import DAY_US
from daemon.domain.kits import NO_KITS
from daemon.domain.observations import Recipe
from daemon.events import Severity
from daemon.ports import ReadFile

__all__ = ["ChannelConfig", "Config", "ConfigError", "HostPort", "Problem", "load_config", "read_config"]

MAX_CHANNELS: Final = 200
MAX_SOCKET_PATH_BYTES: Final = 107
"""What a Unix socket's address holds; beyond it, binding fails with words that help nobody."""

DEFAULT_LISTEN: Final = HostPort("127.0.0.1", 8480)

SEVERITIES: Final = ("debug", "info", "warning", "error")


@frozen
class LimitSettings:
    """The bounds an operator may move; each has an overload answer.

    max_body_bytes: of one webhook · max_connections: of the public listener · max_connections_per_peer: of
    one address (0: no such bound) · max_buffered_bytes: unfinished bodies together · mailbox_max: messages waiting
    for one SKU · queued_max: for all SKUs · actors_max: SKUs kept in memory
    """

    max_body_bytes: int = 1 << 20
    max_connections: int = 1_024
    max_connections_per_peer: int = 0
    max_buffered_bytes: int = 64 << 20
    mailbox_max: int = 1_000
    queued_max: int = 4_096
    actors_max: int = 100_000


@frozen
class StorageSettings:
    """Room and time.

    disk_floor_mb: below so much free disk, webhooks get 503 · map_max_gb: most the database may grow to ·
    settlement_days: what is older is folded into the anchor, and quarantined if it arrives only then
    """

    disk_floor_mb: int = 64
    map_max_gb: int = 1_024
    settlement_days: int = 30

    @property
    def disk_floor_bytes(self) -> int:
        return self.disk_floor_mb << 20

    @property
    def map_max_bytes(self) -> int:
        return self.map_max_gb << 30

    @property
    def settlement_us(self) -> int:
        return self.settlement_days * DAY_US


@frozen
class Config:
    """Everything config.yaml says, with the defaults filled in and what the environment overrules.

    public_url: where channels reach us, without a slash at its end; "" where webhooks are subscribed by hand ·
    channels: by name, in the order of the file · kits: what each kit is made of, by SKU ·
    alarms: who is told of them · retention: how long and how much is kept
    """

    state_dir: str
    admin_socket: str
    channels: Mapping[str, ChannelConfig]
    listen: HostPort = field(default=DEFAULT_LISTEN)
    public_url: str = ""
    log_level: Severity = Severity.INFO
    limits: LimitSettings = field(factory=LimitSettings)
    storage: StorageSettings = field(factory=StorageSettings)
    kits: Mapping[str, Recipe] = NO_KITS
    alarms: AlarmTargets = field(factory=AlarmTargets)
    retention: RetentionSettings = field(factory=RetentionSettings)

    @property
    def authority(self) -> str | None:
        """The channel whose levels are counts, if one is named."""
        return next((name for name, channel in self.channels.items() if channel.authority), None)


def load_config(
    path: str, *, environ: Mapping[str, str], platforms: Mapping[str, Platform], read_file: ReadFile
) -> Config:
    """Read the file at `path`. Raises `ConfigError`, also where the file cannot be read."""
    try:
        data = read_file(path, MAX_CONFIG_BYTES).data
    except OSError as exc:
        raise ConfigError((Problem("", f"{path} cannot be read ({exc.strerror}): name it with --config"),)) from None
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ConfigError((Problem("", f"{path} is not UTF-8 text: save it as UTF-8", line),)) from None
    return read_config(text, environ, platforms)


def read_config(text: str, environ: Mapping[str, str], platforms: Mapping[str, Platform]) -> Config:
    """Read `text`; $STATE_DIRECTORY and $RUNTIME_DIRECTORY win. Pure. Raises `ConfigError`, with every problem.

    No secret is resolved here: what is wrong with a reference is said, whether there is something behind it is not.
    """
    root, yaml_problems = read_yaml(text)
    problems = Problems(yaml_problems)
    if root is None:
        if not yaml_problems:
            problems.add("", "the file is empty: configure at least one channel")
        raise ConfigError(tuple(problems.found))
    section = Section(root, "", problems)
    state_dir = _first(environ.get("STATE_DIRECTORY", "")) or section.text("state_dir", "./state")
    listen = _read_listen(section)
    config = Config(
        state_dir=state_dir,
        admin_socket=_read_admin_socket(section, environ, state_dir),
        listen=listen,
        public_url=_read_public_url(section),
        log_level=_read_log_level(section),
        limits=_read_limits(section, listen),
        storage=_read_storage(section),
        kits=read_kits(section.section("kits")),
        alarms=read_alarms(section.section("alarms"), problems),
        retention=read_retention(section.section("retention")),
        channels=_read_channels(section, platforms, problems),
    )
    section.text("state_dir", "")  # asked for even where the environment wins
    section.finish()
    if problems.found:
        raise ConfigError(tuple(problems.found))
    return config


def _first(folders: str) -> str:
    """systemd separates several folders by colons; ours is the first."""
    return folders.partition(":")[0]


def _read_admin_socket(section: Section, environ: Mapping[str, str], state_dir: str) -> str:
    path = section.text("admin_socket", f"{state_dir.rstrip('/')}/admin.sock")
    runtime = _first(environ.get("RUNTIME_DIRECTORY", ""))
    if runtime:
        path = f"{runtime}/admin.sock"
    if len(path.encode("utf-8", "replace")) > MAX_SOCKET_PATH_BYTES or "\0" in path:
        section.problem("admin_socket", f"name a path of at most {MAX_SOCKET_PATH_BYTES} bytes: sockets take no more")
    return path


def _read_listen(section: Section) -> HostPort:
    text = section.text("listen", str(DEFAULT_LISTEN))
    found = read_host_port(text)
    if found is None:
        section.problem("listen", "write host:port, like 127.0.0.1:8480 or [::1]:8480")
    return found or DEFAULT_LISTEN


def _read_public_url(section: Section) -> str:
    url = section.text("public_url", None)
    if url is None:
        return ""
    parts, sentence = read_url(url)
    if parts is not None and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        sentence = "write https://…: channels would send orders in the clear"
    if sentence:
        section.problem("public_url", sentence)
    return url.rstrip("/")


def _read_log_level(section: Section) -> Severity:
    log = section.section("log")
    level = log.choice("level", "info", SEVERITIES)
    log.finish()
    return Severity[level.upper()]


def _read_limits(section: Section, listen: HostPort) -> LimitSettings:
    limits, default = section.section("limits"), LimitSettings()
    found = LimitSettings(
        max_body_bytes=limits.whole("max_body_bytes", default.max_body_bytes, 1 << 10, 16 << 20),
        max_connections=limits.whole("max_connections", default.max_connections, 1, 100_000),
        max_connections_per_peer=limits.whole("max_connections_per_peer", 0, 0, 100_000),
        max_buffered_bytes=limits.whole("max_buffered_bytes", default.max_buffered_bytes, 1 << 20, 16 << 30),
        mailbox_max=limits.whole("mailbox_max", default.mailbox_max, 1, 1_000_000),
        queued_max=limits.whole("queued_max", default.queued_max, 1, 1_000_000),
        actors_max=limits.whole("actors_max", default.actors_max, 100, 10_000_000),
    )
    if found.max_buffered_bytes < found.max_body_bytes:
        limits.problem("max_buffered_bytes", "make it at least max_body_bytes, or the largest webhook never fits")
    if 0 < found.max_connections_per_peer < found.max_connections and is_loopback(listen.host):
        limits.problem(
            "max_connections_per_peer",
            f"take it out: on {listen.host} every client is the proxy in front, so bound the clients there",
        )
    limits.finish()
    return found


def _read_storage(section: Section) -> StorageSettings:
    storage, default = section.section("storage"), StorageSettings()
    found = StorageSettings(
        disk_floor_mb=storage.whole("disk_floor_mb", default.disk_floor_mb, 16, 1 << 20),
        map_max_gb=storage.whole("map_max_gb", default.map_max_gb, 1, 65_536),
        settlement_days=storage.whole("settlement_days", default.settlement_days, 7, 3_650),
    )
    say_where_moved(storage)
    storage.finish()
    return found


def _read_channels(
    section: Section, platforms: Mapping[str, Platform], problems: Problems
) -> dict[str, ChannelConfig]:
    entries = section.section("channels")
    if not section.has("channels") or not list(entries.names()):
        section.problem("channels", "configure at least one channel here")
    channels: dict[str, ChannelConfig] = {}
    for name in entries.names():
        if len(channels) >= MAX_CHANNELS:
            section.problem("channels", f"there are more than {MAX_CHANNELS} channels: run a second daemon")
            break
        if not CHANNEL_NAME.fullmatch(name):
            entries.problem(name, "use 1 to 40 of a-z, 0-9 and '-' for a channel's name, and no '-' at its start")
        own = entries.section(name)
        channel = read_channel(name, own, platforms, problems)
        _compare(channel, channels, own)
        channels[name] = channel
    return channels


def _compare(channel: ChannelConfig, others: Mapping[str, ChannelConfig], own: Section) -> None:
    """Two authorities contradict each other; one account under two names sells every unit twice."""
    for other in others.values():
        if channel.authority and other.authority:
            own.problem(
                "authority", f"only one channel can be the authority for counts, and {other.name} is it already"
            )
        same = (channel.adapter, channel.base_url.lower(), channel.options) == (
            other.adapter,
            other.base_url.lower(),
            other.options,
        )
        if same and channel.adapter and (channel.base_url or channel.options):
            own.own_problem(f"this is the same account as {other.name}: its orders would count twice")
