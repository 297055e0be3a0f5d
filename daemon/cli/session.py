"""What all commands share: where the daemon is, how its answers are shown, and the kinds of their arguments."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from daemon.cli.client import AdminClient, RefusedError
from daemon.cli.tables import say
from daemon.config_yaml import Mapping as YamlMapping
from daemon.config_yaml import Scalar, read_yaml
from daemon.domain.observations import BadSkuError, check_sku

CONFIG: Final = "config.yaml"
SYSTEM_SOCKET: Final = "/run/onhand/admin.sock"

F = TypeVar("F", bound=Callable[..., Any])

_SOCKET: Final = "daemon.cli.socket"
_JSON: Final = "daemon.cli.json"
_CHANNEL: Final = "daemon.cli.channel"


def default_socket(environ: Mapping[str, str], directory: Path) -> str:
    """$ONHAND_SOCKET, else what config.yaml in `directory` says, else the system's.

    The system's also where only that one is there: a clone has a config.yaml too, and whoever has just installed the
    service from it types the next command there.
    """
    if environ.get("ONHAND_SOCKET"):
        return environ["ONHAND_SOCKET"]
    try:
        root, _ = read_yaml((directory / CONFIG).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return SYSTEM_SOCKET
    if not isinstance(root, YamlMapping):
        return SYSTEM_SOCKET
    path = _text(root, "admin_socket") or f"{_text(root, 'state_dir') or './state'}/admin.sock"
    own = str(directory / path)
    return SYSTEM_SOCKET if not os.path.exists(own) and os.path.exists(SYSTEM_SOCKET) else own


def _text(root: YamlMapping, name: str) -> str:
    node = root.entries.get(name)
    return node.text if isinstance(node, Scalar) else ""


def client() -> AdminClient:
    """A client of the daemon that this command line means."""
    path = click.get_current_context().meta.get(_SOCKET)
    return AdminClient(path or default_socket(os.environ, Path()))


def as_json() -> bool:
    """Was `--json` given?"""
    return bool(click.get_current_context().meta.get(_JSON))


def channel() -> str:
    """The value of `--channel`, wherever it stood; empty without it."""
    return str(click.get_current_context().meta.get(_CHANNEL) or "")


def show(document: Any, render: Callable[[Any], object]) -> None:
    """Print the daemon's document: as it is with `--json`, else as `render` makes it for a person."""
    if as_json():
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    say(render(document))


def confirm(question: str, *, yes: bool) -> None:
    """Go on only where a person says so, or said so with `--yes`."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} nobody can be asked here, so add --yes")
    click.confirm(question, default=False, abort=True, err=True)


def names_of_channels() -> list[str]:
    """The channel of `--channel`, else every configured one."""
    return [channel()] if channel() else [each["name"] for each in client().get("channels")["channels"]]


def of_each(names: Iterable[str], ask: Callable[[str], Any]) -> list[Any]:
    """What the daemon answers of each channel; one that fails (`error`) must not hide the others."""
    answers = []
    for name in names:
        try:
            answers.append(ask(name))
        except RefusedError as error:
            if error.status != HTTPStatus.BAD_GATEWAY:
                raise
            answers.append({"channel": name, "error": str(error)})
    return answers


# --- options that mean the same before and behind a sub-command ------------------------------------------------


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            context.meta[name] = value

    return keep


def talks(command: F) -> F:
    """`--socket PATH` and `--json`."""
    socket = click.option(
        "--socket", metavar="PATH", expose_value=False, callback=_keep(_SOCKET),
        help="The daemon's admin socket. Default: $ONHAND_SOCKET, else the one in ./config.yaml, else "
        f"{SYSTEM_SOCKET}.",
    )  # fmt: skip
    return socket(json_option(command))


def json_option(command: F) -> F:
    """`--json`."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_keep(_JSON), help="Print the JSON document."
    )(command)


def channel_option(command: F) -> F:
    """`--channel NAME`."""
    return click.option(
        "--channel", metavar="NAME", expose_value=False, callback=_keep(_CHANNEL), help="This channel alone."
    )(command)


class SkuType(click.ParamType[str]):
    """A SKU as it is written, or a usage error that says why it cannot be one."""

    name = "sku"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_sku(value)
        except BadSkuError as error:
            self.fail(str(error), param, ctx)


SKU: Final = SkuType()
