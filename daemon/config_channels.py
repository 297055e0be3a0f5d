"""One entry under `channels` -> `ChannelConfig`: which account, under which rules, and where its secrets are kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from typing import Final, Literal, NoReturn

from attrs import field, frozen

from daemon.config_addresses import is_loopback, is_private, read_url
from daemon.config_fields import Problems, Section
from daemon.config_secrets import read_secret
from daemon.credentials import Secret, SecretRef, WebhookSecret
from daemon.domain.channel import Option, Platform, Setup
from daemon.domain.mode import FileMode
from daemon.domain.policy import DriftRule, Policy
from daemon.domain.sweep import SweepRules

CHANNEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

MAX_UNITS: Final = 1_000_000_000
MAX_WEBHOOK_SECRETS: Final = 8
DAY_S: Final = 86_400.0

WHOLE_TRAITS: Final = {"batch_max": (1, 10_000), "concurrency": (1, 64), "burst": (1, 10_000)}
NUMBER_TRAITS: Final = {
    "rate_per_s": (0.0, 10_000.0),
    "request_life_s": (0.0, DAY_S),
    "feed_lag_s": (0.0, DAY_S),
    "poll_interval_s": (0.0, DAY_S),
    "catalogue_interval_s": (0.0, 7 * DAY_S),
}
"""What a channel may override of its platform's `Traits`: bounds of each; numbers must be above the lower one."""

COMMON_KEYS: Final = frozenset(
    (
        *("adapter", "base_url", "webhook_secrets", "buffer", "share", "cap"),
        *("mode", "authority", "http_client", "allow_private", "timeout_s"),
        *("drift", "sweep_s", "sweep_share", "mass_change"),
        *WHOLE_TRAITS,
        *NUMBER_TRAITS,
    )
)
"""What every channel takes; a platform's own options must have other names."""


def _no_adapter(setup: Setup) -> NoReturn:
    raise AssertionError(f"channel {setup.channel} was read with problems and cannot be built")


_ANY_PLATFORM: Final = Platform("", _no_adapter, needs_base_url=False, inline_secrets=True, local=True)
"""Stands in for a platform that nobody knows, so that what is wrong on any platform is said all the same."""


@frozen
class ChannelConfig:
    """One configured store account.

    base_url: without a slash at its end; "" where the platform knows it itself · webhook_secrets: newest first ·
    timeout_s: most a request may take; None: what the adapter says · overrides: of the platform's `Traits` ·
    options, secrets: the platform's own keys · authority: its levels are counts ·
    allow_private: its address may be a private or loopback one · sweep: how it is compared ·
    mode: shadow: nothing is ever written there, unless a person said otherwise since
    """

    name: str
    adapter: str
    base_url: str = ""
    webhook_secrets: tuple[SecretRef, ...] = ()
    policy: Policy = field(factory=Policy)
    authority: bool = False
    http_client: Literal["httpx", "asks"] = "httpx"
    allow_private: bool = False
    timeout_s: float | None = None
    sweep: SweepRules = field(factory=SweepRules)
    mode: FileMode = "live"
    overrides: MappingOf[str, float] = field(factory=dict)
    options: MappingOf[str, str] = field(factory=dict)
    secrets: MappingOf[str, SecretRef] = field(factory=dict)

    @property
    def allow_plain(self) -> bool:
        """May requests go over plain http? Only where the configuration itself says http."""
        return self.base_url.startswith("http:")

    def setup(self, resolve: Callable[[SecretRef, str], Secret]) -> Setup:
        """What the adapter is built from. `resolve` is given each reference and the path of its key.

        Raises what `resolve` does, e.g. `CredentialError`. For checking signatures take `webhook_keys`, which
        knows when each ends.
        """
        path = f"channels.{self.name}"
        return Setup(
            channel=self.name,
            base_url=self.base_url,
            options=self.options,
            secrets={name: resolve(ref, f"{path}.{name}").reveal() for name, ref in self.secrets.items()},
            webhook_secrets=tuple(key.secret.reveal() for key in self.webhook_keys(resolve)),
            overrides=self.overrides,
        )

    def webhook_keys(self, resolve: Callable[[SecretRef, str], Secret]) -> tuple[WebhookSecret, ...]:
        """The secrets webhooks may be signed with, newest first, each with its end. Raises like `setup`."""
        path = f"channels.{self.name}.webhook_secrets"
        return tuple(
            WebhookSecret(resolve(ref, f"{path}[{index}]"), ref.until_us)
            for index, ref in enumerate(self.webhook_secrets)
        )


def read_channel(
    name: str, section: Section, platforms: MappingOf[str, Platform], problems: Problems
) -> ChannelConfig:
    """Read one channel; what is wrong is added to `problems`, and the result is then good for nothing."""
    if not section.has("adapter"):
        section.problem("adapter", f"name the platform of this channel: {', '.join(sorted(platforms))}")
    known = platforms.get(section.choice("adapter", "", sorted(platforms)))
    platform = known or _ANY_PLATFORM
    base_url, allow_private = _read_address(section, platform)
    channel = ChannelConfig(
        name=name,
        adapter=platform.name,
        base_url=base_url,
        webhook_secrets=tuple(_read_webhook_secrets(section, platform, problems)),
        policy=_read_policy(section, platform),
        authority=section.flag("authority", default=False),
        http_client=section.choice("http_client", "httpx", ("httpx", "asks")),
        allow_private=allow_private,
        timeout_s=section.number("timeout_s", None, 0, 600, above=True),
        sweep=_read_sweep(section),
        mode=section.choice("mode", "live", ("live", "shadow")),
        overrides=_read_overrides(section),
        options=_read_options(section, [option for option in platform.options if not option.secret]),
        secrets=_read_secrets(section, [option for option in platform.options if option.secret], platform, problems),
    )
    if known is not None:
        given = {option.name for option in known.options if option.secret and section.has(option.name)}
        if channel.webhook_secrets:
            given.add("webhook_secrets")
        for key, sentence in known.problems(channel.options, given).items():
            section.problem(key, sentence)
        section.finish()
    return channel


def _read_policy(section: Section, platform: Platform) -> Policy:
    drift: DriftRule = section.choice("drift", "correct", ("correct", "adopt", "report"))
    if drift == "adopt" and not platform.adopts:
        section.problem("drift", "write correct or report: this platform shows old numbers for minutes after a push")
    return Policy(
        buffer=section.whole("buffer", 0, 0, MAX_UNITS),
        share=section.number("share", 1.0, 0, 1, above=True),
        cap=section.whole("cap", None, 0, MAX_UNITS),
        drift=drift,
    )


def _read_sweep(section: Section) -> SweepRules:
    default = SweepRules()
    return SweepRules(
        sweep_s=section.number("sweep_s", default.sweep_s, 1, 7 * DAY_S),
        share=section.number("sweep_share", default.share, 0, 1, above=True),
        mass_change=section.number("mass_change", default.mass_change, 0, 1),
    )


def _read_overrides(section: Section) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for name, (low, high) in WHOLE_TRAITS.items():
        found[name] = section.whole(name, None, low, high)
    for name, (above, most) in NUMBER_TRAITS.items():
        found[name] = section.number(name, None, above, most, above=True)
    return {name: value for name, value in found.items() if value is not None}


def _read_options(section: Section, options: list[Option]) -> dict[str, str]:
    found = {}
    for option in options:
        if option.choices and section.has(option.name):
            value: str | None = section.choice(option.name, option.choices[0], option.choices)
        else:
            value = section.text(option.name, None)
        if value is not None:
            found[option.name] = value
        elif option.required and not section.has(option.name):
            section.problem(option.name, f"this key is missing: {option.meaning}")
    return found


def _read_address(section: Section, platform: Platform) -> tuple[str, bool]:
    """The base URL, and whether its address may be a private one."""
    allowed = section.flag("allow_private", default=False)
    url = section.text("base_url", None)
    if url is None:
        if platform.needs_base_url and not section.has("base_url"):
            section.problem("base_url", "this key is missing: write the address of the store, https://…")
        return platform.default_base_url, allowed
    parts, sentence = read_url(url)
    if parts is None:
        section.problem("base_url", sentence)
        return "", allowed
    host = parts.hostname or ""
    allowed = allowed or platform.local or is_loopback(host)
    if parts.scheme == "http" and not allowed:
        section.problem(
            "base_url",
            "write https://…; plain http is taken for loopback addresses, or with allow_private: true where you know "
            "the network in between (some platforms can sign requests there, but nothing is hidden)",
        )
    elif not allowed and is_private(host):
        section.problem("base_url", f"{host} is not a public address: if it is meant, add allow_private: true")
    return url.rstrip("/"), allowed


def _read_webhook_secrets(section: Section, platform: Platform, problems: Problems) -> list[SecretRef]:
    items = section.each("webhook_secrets")
    if not platform.sends_webhooks:
        if items:
            section.problem("webhook_secrets", "leave it out: what this platform tells is fetched from its queue")
        return []
    if not section.has("webhook_secrets"):
        section.problem(
            "webhook_secrets",
            "this key is missing: list the secrets that sign this channel's webhooks, newest first ([] to poll only)",
        )
    if len(items) > MAX_WEBHOOK_SECRETS:
        section.problem("webhook_secrets", f"keep at most {MAX_WEBHOOK_SECRETS} secrets here")
    refs = [
        read_secret(node, path, problems, inline=platform.inline_secrets, may_end=True)
        for path, node in items[:MAX_WEBHOOK_SECRETS]
    ]
    return [ref for ref in refs if ref is not None]


def _read_secrets(
    section: Section, options: list[Option], platform: Platform, problems: Problems
) -> dict[str, SecretRef]:
    found = {}
    for option in options:
        node = section.node(option.name)
        if node is not None:
            ref = read_secret(node, section.at(option.name), problems, inline=platform.inline_secrets)
            if ref is not None:
                found[option.name] = ref
        elif option.required and not section.has(option.name):
            section.problem(option.name, f"this key is missing: {option.meaning}, as {{credential: NAME}}")
    return found
