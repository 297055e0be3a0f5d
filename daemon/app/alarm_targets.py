"""The configured alarm targets, built: secrets found, connections opened; what cannot be had is said, and waits."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from daemon.app.telling import Teller, Tellers
from daemon.config_alarms import AlarmTargets, WebhookTarget
from daemon.credentials import CredentialError, Secret, SecretRef
from daemon.domain.signatures import KEY_CODINGS
from daemon.events import Event
from daemon.outbound.alarm_targets import AlarmTarget, Command, Unusable, Webhook
from daemon.ports import HttpTarget, Ports
from daemon.storage.alarms import Alarms
from daemon.storage.store import Store
from daemon.storage.tellings import TargetKind, Tellings
from daemon.telemetry import Telemetry

LINE = "alarm webhook"
"""What its HTTP client is called: no channel's name has a blank."""

Resolve = Callable[[SecretRef, str], Secret]


def tellers(
    config: AlarmTargets, store: Store, ports: Ports, telemetry: Telemetry, resolve: Resolve, alarms: Alarms
) -> Tellers:
    """One teller for each configured target. One that was not there before, or is another than before, is told what
    stands now."""
    tellings = Tellings(store)
    targets: dict[TargetKind, tuple[str, AlarmTarget]] = {}
    if config.webhook is not None:
        targets["webhook"] = (str(config.webhook.url), _webhook(config.webhook, ports, telemetry, resolve))
    if config.command is not None:
        command = Command(config.command.argv, ports.run_program, config.command.timeout_s)
        targets["command"] = ("\0".join(config.command.argv), command)
    lost = tellings.retarget({kind: named for kind, (named, _) in targets.items()}, alarms.open())
    if lost:
        telemetry.event(Event.ALARM_TARGET_GONE, waited=lost)
    return Tellers(
        [
            Teller(kind, target, tellings, store, telemetry, ports.rng, ports.wall_us)
            for kind, (_, target) in targets.items()
        ]
    )


def _webhook(config: WebhookTarget, ports: Ports, telemetry: Telemetry, resolve: Resolve) -> AlarmTarget:
    try:
        url = config.url if isinstance(config.url, str) else resolve(config.url, "alarms.webhook.url").reveal()
        key = None if config.secret is None else _key(resolve(config.secret, "alarms.webhook.secret"))
    except CredentialError as error:
        telemetry.event(Event.SECRET_MISSING, error=str(error))
        return Unusable(str(error))
    try:
        where = urlsplit(url)
    except ValueError:
        where = urlsplit("")
    if where.scheme not in ("http", "https") or not where.hostname:
        return Unusable("alarms.webhook.url: what is kept there is no address like https://hooks.example.com/…")
    target = HttpTarget(
        LINE, frozenset((where.netloc,)), max_connections=1,
        allow_plain=where.scheme == "http" and config.allow_private, allow_private=config.allow_private,
    )  # fmt: skip
    return Webhook(url, ports.open_http(target), ports.wall_us, config.timeout_s, key)


def _key(secret: Secret) -> bytes:
    """The key of a Standard Webhooks secret."""
    try:
        key = KEY_CODINGS["whsec"](secret.reveal())
    except ValueError:
        key = b""
    if not key:
        raise CredentialError("alarms.webhook.secret: write the secret as base64, with whsec_ before it or without")
    return key
