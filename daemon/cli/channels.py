"""Commands that concern channels: their state, comparing with them, and what they tell us by webhook."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import pace, tables, tables_shadow
from daemon.cli.client import PATIENT_S
from daemon.cli.session import as_json, channel_option, client, confirm, names_of_channels, of_each, show, talks


@click.group(invoke_without_command=True)
@talks
@click.pass_context
def channels(context: click.Context) -> None:
    """The state of every channel; pause, switch or reconcile one."""
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


@channels.command()
@click.argument("name")
@talks
def live(name: str) -> None:
    """Push to a channel that was in shadow. What every listing shows is kept first, see rollback."""
    show(client().post("channels", name, "live", timeout_s=PATIENT_S), _live)


def _live(document: Any) -> object:
    kept = document["kept"]
    lines = [f"{document['name']} is live, because {_word(document)} said so"]
    if kept["at"]:
        lines.append(
            f"what {kept['listings']} listings showed at {tables.clock(kept['at'])} is kept: "
            f"`onhand channels rollback {document['name']}` writes it back"
        )
    return tables.sentences([*lines, *_against_file(document)])


@channels.command("shadow")
@click.argument("name")
@talks
def go_shadow(name: str) -> None:
    """Write nothing to a channel any more; everything else goes on."""
    show(client().post("channels", name, "shadow"), _shadowed)


def _shadowed(document: Any) -> object:
    lines = [f"{document['name']} is in shadow: nothing is written there", *_against_file(document)]
    return tables.sentences(lines + ([document["note"]] if document["note"] else []))


def _word(document: Any) -> str:
    return document["mode_by"] or "config.yaml"


def _against_file(document: Any) -> list[str]:
    if document["mode"] == document["mode_in_file"] or not document["mode_by"]:
        return []
    return [f"config.yaml says {document['mode_in_file']}; what {document['mode_by']} said wins over it"]


@channels.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Do not wait for its end.")
@talks
def rollback(name: str, dry_run: bool, yes: bool, no_wait: bool) -> int:
    """Write back what every listing showed before the channel went live, then leave it in shadow.

    The difference is shown first. Levels go the way of every push: within the channel's limits, never over an order
    that was not seen yet, and they are tried again. `onhand channels shadow NAME` ends it early.
    """
    found = _priors(name)
    if dry_run or found["mode"] == "rollback" or not _to_restore(found):
        show(found, tables_shadow.priors)
        return 0
    if not as_json():
        show(found, tables_shadow.priors)
    confirm(f"write {len(_to_restore(found))} levels to {name}?", yes=yes)
    document = client().post("channels", name, "rollback")
    while not no_wait and document["mode"] == "rollback":
        pace.pause(0.5)
        document = next(each for each in client().get("channels")["channels"] if each["name"] == name)
    found = _priors(name)
    show(found, tables_shadow.priors)
    return int(any(each["state"] == "stopped" for each in found["listings"]))


@click.command("shadow")
@click.argument("name", required=False)
@talks
def shadow_report(name: str | None) -> None:
    """What channels in shadow taught: pushes, oversells, lags.

    What would have been pushed to each listing and when, what the listing showed then and shows now, and what the
    tool that is live there did wrong: levels above what there was, below what could be sold, and how late it
    followed sales on other channels, beside what onhand would have needed.
    """
    names = [name] if name else [
        each["name"] for each in client().get("channels")["channels"] if each["mode"] != "live"
    ]  # fmt: skip
    show({"channels": [_watched(each) for each in names]}, tables_shadow.shadows)


def _watched(name: str) -> Any:
    """The whole report of a channel, as one document."""
    page = found = client().get("channels", name, "shadow", limit=1000)
    while page["next"] is not None:
        page = client().get("channels", name, "shadow", limit=1000, cursor=page["next"])
        found["listings"] += page["listings"]
    return found | {"next": None}


def _priors(name: str) -> Any:
    """The whole snapshot beside what is shown now, as one document."""
    page = found = client().get("channels", name, "rollback")
    while page["next"] is not None:
        page = client().get("channels", name, "rollback", page=page["next"])
        found["listings"] += page["listings"]
    return found | {"next": None}


def _to_restore(found: Any) -> list[Any]:
    return [each for each in found["listings"] if each["state"] in ("differs", "stopped")]


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
