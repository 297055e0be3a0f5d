"""Commands that are the program itself: run, demo, verify, sandbox, check-config, restore."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from daemon.cli.session import CONFIG, as_json, json_option, show
from daemon.cli.tables import sentences
from daemon.config_yaml import ConfigError

# What these commands run is imported when they do: `onhand status` must not wait for the whole daemon.

F = TypeVar("F", bound=Callable[..., Any])


def _config_option(command: F) -> F:
    return click.option(
        "--config", type=click.Path(path_type=Path), default=CONFIG, show_default=True, metavar="FILE",
        help="The configuration.",
    )(command)  # fmt: skip


@click.command()
@_config_option
def run(config: Path) -> int:
    """The daemon, in the foreground."""
    from adapters import PLATFORMS
    from daemon.app import run_daemon

    return run_daemon(config, PLATFORMS)


@click.command()
@click.option("--orders", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--seconds", type=click.FloatRange(1, 86_400), default=60, show_default=True)
@json_option
def demo(orders: int, seconds: float) -> int:
    """Three sandbox storefronts, the daemon, a burst of orders."""
    from daemon.theatre.demo import run_demo

    return run_demo(orders, seconds, as_json())


@click.command()
@click.option(
    "--theatre", is_flag=True, help="The named incidents as well: every way such systems are known to fail."
)
@click.option("--only", default="", metavar="NAMES", help="Of the theatre only these, like T4,T15 or burst,T9.")
@click.option(
    "--system", default="", metavar="COMMAND",
    help="Put another program on the theatre's stage, and judge it by the storefronts' ledgers alone.",
)  # fmt: skip
@json_option
def verify(theatre: bool, only: str, system: str) -> int:
    """The acceptance tests, each with its figures and its limit.

    They run against sandbox storefronts. With --theatre also the named incidents: faults that made real products sell
    what was not there. Each has a stage of its own: storefronts as HTTP servers on loopback, and the system between
    them as a process that is killed where the incident wants it. 0 iff everything holds.

    \b
    ANOTHER SYSTEM under the same theatre (--system COMMAND): acceptance tests and
    incidents are judged from outside. The program is started once for each, and
    again after it was killed, with the path of a JSON file in the environment
    variable ONHAND_STAGE:
      listen         host:port where it must take webhooks, and answer GET /healthz with
                     200 once it has read every catalogue
      state_dir      where it may keep what must survive a SIGKILL
      skus           the SKUs on sale; the first storefront's catalogue is the first count
      kits           component SKU to units, by kit SKU
      storefronts    name, base_url, webhook_url, webhook_secret, buffer, compare_and_set
      timing         timeout_s, request_life_s, poll_interval_s, catalogue_interval_s,
                     feed_lag_s: how patient it is to be, and how late a feed may be
    It speaks the sandbox protocol: it reads GET /listings and GET /orders at each
    base_url, writes PUT /levels there, and takes webhooks signed with
    X-Sandbox-Signature (base64 of HMAC-SHA256 over timestamp + "." + raw body).
    It may also take POST /facts {"sku", "adjust": ±units} on its listen address:
    a delivery, as a person tells it; without it, what needs one is not judged.
    Nothing else is asked of it: what it wrote, and when, stands in the storefronts'
    ledgers.
    """
    if not theatre and (only or system):
        raise click.UsageError("--only and --system are for the theatre: add --theatre", click.get_current_context())
    if not theatre:
        from daemon.theatre.verify import run_verify

        return run_verify(as_json())
    from daemon.theatre.programme import UnknownNameError, run_theatre

    try:
        return run_theatre(as_json(), only.split(","), system)
    except UnknownNameError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), required=True, help="Where it listens, on loopback.")
@click.option("--name", required=True, help="The storefront's name.")
@click.option("--webhook-url", required=True, help="Where its webhooks go.")
@click.option("--secret", required=True, help="What it signs them with.")
@click.option("--skus", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Its listings.")
@click.option("--stock", type=click.IntRange(0, 1_000_000), default=10, show_default=True, help="Units of each.")
@click.option("--seed", type=int, default=0, show_default=True, help="What its faults are drawn from.")
def sandbox(port: int, name: str, webhook_url: str, secret: str, skus: int, stock: int, seed: int) -> int:
    """One storefront simulator that behaves like a real shop."""
    from daemon.theatre.sandbox_cli import run_sandbox

    return run_sandbox(port, name, webhook_url, secret, skus, stock, seed)


@click.command("check-config")
@_config_option
@json_option
def check_config(config: Path) -> int:
    """What is wrong with the configuration, each with its place."""
    try:
        loaded = _load(config)
    except ConfigError as error:
        if not as_json():
            raise
        problems = [
            {"path": each.path, "message": each.sentence, "line": each.line or None} for each in error.problems
        ]
        show({"ok": False, "problems": problems}, str)
        return 2
    names = ", ".join(loaded.channels)
    document = {"ok": True, "problems": [], "channels": list(loaded.channels)}
    show(document, lambda _: sentences([f"{config} is fine; channels: {names}"]))
    return 0


def _load(config: Path) -> Any:
    from adapters import PLATFORMS
    from daemon.config import load_config
    from daemon.ports import read_file

    return load_config(str(config), environ=os.environ, platforms=PLATFORMS, read_file=read_file)


@click.command()
@click.argument("backup", type=click.Path(path_type=Path), metavar="DIR")
@_config_option
@click.option(
    "--state-dir", type=click.Path(path_type=Path), metavar="DIR",
    help="Where to restore to. Default: $STATE_DIRECTORY, else the state_dir of the configuration.",
)  # fmt: skip
@json_option
def restore(backup: Path, config: Path, state_dir: Path | None) -> int:
    """Copy a backup into an empty state directory.

    No daemon may run on it.
    """
    from daemon.storage.restore import restore as restore_files

    target = state_dir or Path(_load(config).state_dir)
    size = restore_files(backup, target)
    document = {"backup": str(backup), "state_dir": str(target), "bytes": size}
    # Only what a configuration was asked for is surely where a daemon looks.
    then = f"set state_dir to {target} in the configuration, then start" if state_dir else "start"
    said = f"{size} bytes restored to {target}; {then} the daemon with `onhand run`"
    said += "; `onhand rebuild --verify` then checks it. The channels tell their sales since; counts and "
    said += "adjustments that people told since must be told again"
    show(document, lambda _: sentences([said]))
    return 0
