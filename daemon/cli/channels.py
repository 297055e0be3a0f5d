"""Commands that concern channels: their state, comparing with them, and what they tell us by webhook."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import tables
from daemon.cli.client import PATIENT_S
from daemon.cli.session import channel_option, client, names_of_channels, of_each, show, talks


@click.group(invoke_without_command=True)
@talks
@click.pass_context
def channels(context: click.Context) -> None:
    """The state of every channel; pause, resume or reconcile one."""
    if context.invoked_subcommand is None:
        show(client().get("channels"), tables.channels)


@channels.command()
@click.argument("name")
@talks
def pause(name: str) -> None:
    """Stop pushing to a channel; everything else goes on."""
    show(client().post("channels", name, "pause"), _state)


@channels.command()
@click.argument("name")
@talks
def resume(name: str) -> None:
    """Push to a channel again, the newest levels only."""
    show(client().post("channels", name, "resume"), _state)


def _state(document: Any) -> object:
    return tables.sentences([f"{document['name']} is {document['state']}"])


@channels.command("reconcile")
@click.argument("name")
@talks
def reconcile_one(name: str) -> int:
    """Compare with the live channel now, and mend what differs."""
    return _reconcile([name])


@click.command()
@channel_option
@talks
def reconcile() -> int:
    """Compare with the live channels now, and mend what differs."""
    return _reconcile(names_of_channels())


def _reconcile(names: list[str]) -> int:
    patient = {"timeout_s": PATIENT_S}
    reports = of_each(names, lambda name: client().post("channels", name, "reconcile", **patient))
    show({"channels": reports}, lambda it: tables.sentences(map(_compared, it["channels"])))
    return int(any(report["error"] for report in reports))


def _compared(report: Any) -> str:
    if report["error"]:
        return f"{report['channel']}: {report['error']}"
    found = f"{report['listings']} listings, {report['linked']} newly linked, {report['mismatched']} differ"
    return f"{report['channel']}: {found}"


# --- webhooks ------------------------------------------------------------------------------------------------


@click.group(invoke_without_command=True)
@channel_option
@talks
@click.pass_context
def webhooks(context: click.Context) -> int:
    """Webhook subscriptions: list, check, register."""
    return _subscriptions(checked=False) if context.invoked_subcommand is None else 0


@webhooks.command("list")
@channel_option
@talks
def list_webhooks() -> int:
    """What is subscribed at the channels, and what is missing."""
    return _subscriptions(checked=False)


@webhooks.command("check")
@channel_option
@talks
def check_webhooks() -> int:
    """As list; fails if anything is missing or switched off."""
    return _subscriptions(checked=True)


def _subscriptions(*, checked: bool) -> int:
    found = of_each(names_of_channels(), lambda name: client().get("channels", name, "webhooks"))
    show({"channels": found}, tables.webhooks)
    return int(any(each.get("error") or (checked and each["missing"]) for each in found))


@webhooks.command()
@channel_option
@talks
def register() -> int:
    """Subscribe what is missing, and switch on again what a channel switched off."""
    results = of_each(names_of_channels(), lambda name: client().post("channels", name, "webhooks", "register"))
    show({"channels": results}, lambda it: tables.sentences(map(_registered, it["channels"])))
    return int(any(each.get("error") for each in results))


def _registered(each: Any) -> str:
    return f"{each['channel']}: {each.get('error') or ', '.join(each['done']) or 'nothing to do'}"
