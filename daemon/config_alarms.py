"""`alarms:` -> who is told when an alarm begins and when it is over: a webhook, a command, or both."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from daemon.config_addresses import is_loopback, is_private, read_url
from daemon.config_fields import Problems, Section
from daemon.config_secrets import read_secret
from daemon.config_yaml import Mapping, Node, Scalar, Sequence
from daemon.credentials import SecretRef

TIMEOUT_S: Final = 10.0
TIMEOUT_MAX_S: Final = 300.0
WORDS_MAX: Final = 64
"""Words of a command."""


@frozen
class WebhookTarget:
    """Told by POST. url: itself, or where it is kept, since it is often a secret · secret: signs what is sent, as
    Standard Webhooks; None: nothing is signed · allow_private: its address may be a private or loopback one ·
    timeout_s: most one telling may take"""

    url: str | SecretRef
    secret: SecretRef | None = None
    allow_private: bool = False
    timeout_s: float = TIMEOUT_S


@frozen
class CommandTarget:
    """A program that is told on its standard input. argv: itself with its whole path, and its arguments."""

    argv: tuple[str, ...]
    timeout_s: float = TIMEOUT_S


@frozen
class AlarmTargets:
    """Who is told; nobody by default: `onhand status`, the log and the metrics say it all the same."""

    webhook: WebhookTarget | None = None
    command: CommandTarget | None = None


def read_alarms(section: Section, problems: Problems) -> AlarmTargets:
    """Read the section; what is wrong is added to `problems`."""
    webhook, command = section.section("webhook"), section.section("command")
    section.finish()
    return AlarmTargets(
        _read_webhook(webhook, problems) if section.node("webhook") is not None else None,
        _read_command(command) if section.node("command") is not None else None,
    )


def _read_webhook(section: Section, problems: Problems) -> WebhookTarget | None:
    allowed = section.flag("allow_private", default=False)
    node = section.node("url")
    url: str | SecretRef | None = None
    if isinstance(node, Mapping):
        url = read_secret(node, section.at("url"), problems, inline=False)
    elif isinstance(node, Scalar):
        url, allowed = node.text, allowed or _checked(section, node.text, allowed=allowed)
    elif node is not None or not section.has("url"):
        section.problem("url", "write the address to tell, https://…, or where it is kept, like {credential: NAME}")
    key = section.node("secret")
    secret = read_secret(key, section.at("secret"), problems, inline=False) if key is not None else None
    timeout_s = section.number("timeout_s", TIMEOUT_S, 0, TIMEOUT_MAX_S, above=True)
    section.finish(secretly=True)
    return None if url is None else WebhookTarget(url, secret, allowed, timeout_s)


def _checked(section: Section, url: str, *, allowed: bool) -> bool:
    """Note what is wrong with the address; True where it names this very machine, which needs no permission."""
    parts, sentence = read_url(url)
    host = (parts.hostname or "") if parts is not None else ""
    own = is_loopback(host)
    if parts is not None and not sentence and not (own or allowed):
        if parts.scheme == "http":
            sentence = "write https://…; plain http is taken for loopback addresses, or with allow_private: true"
        elif is_private(host):
            sentence = f"{host} is not a public address: if it is meant, add allow_private: true"
    if "?" in url:
        sentence = "what follows the '?' is often a secret: keep the whole address as one, url: {credential: NAME}"
    if sentence:
        section.problem("url", sentence)
    return own


def _read_command(section: Section) -> CommandTarget | None:
    timeout_s = section.number("timeout_s", TIMEOUT_S, 0, TIMEOUT_MAX_S, above=True)
    node = section.node("run")
    argv = _words(node)
    section.finish()
    if argv is None or not argv:
        if node is not None or not section.has("run"):
            section.problem(
                "run", "write the program and its arguments as a list, like [/usr/local/bin/page, oncall]"
            )
        return None
    if not argv[0].startswith("/"):
        section.problem("run", "write the program with its whole path: it is started without a shell")
    if len(argv) > WORDS_MAX or any("\0" in word for word in argv):
        section.problem("run", f"write at most {WORDS_MAX} words, without NUL")
    return CommandTarget(argv, timeout_s)


def _words(node: Node | None) -> tuple[str, ...] | None:
    """The list's words; None where it is no list of words."""
    if not isinstance(node, Sequence):
        return None
    words = [item.text for item in node.items if isinstance(item, Scalar)]
    return tuple(words) if len(words) == len(node.items) else None
