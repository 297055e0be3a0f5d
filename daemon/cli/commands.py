"""Commands that tell the daemon something of a SKU, or ask for work on the whole store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.cli.client import PATIENT_S
from daemon.cli.session import SKU, client, show, talks
from daemon.cli.tables import sentences
from daemon.domain.observations import QUANTITY_MAX

# --- facts ---------------------------------------------------------------------------------------------------


@click.command()
@click.argument("sku", type=SKU)
@click.argument("quantity", type=click.IntRange(0, QUANTITY_MAX), metavar="QTY")
@click.option(
    "--kind", type=click.Choice(["on_hand", "available"]), default="on_hand", show_default=True,
    help="on_hand: what lies on the shelf, sold or not. available: what may still be sold.",
)  # fmt: skip
@click.option("--location", default="", help="Where it was counted.")
@click.option("--reference", default="", help="A name for this count, for the history.")
@click.option("--reason", default="", help="Why it was counted.")
@talks
def count(sku: str, quantity: int, kind: str, location: str, reference: str, reason: str) -> None:
    """Say how many units of a SKU there are, counted just now."""
    body = {"sku": sku, "quantity": quantity, "kind": kind, "location": location, "reference": reference}
    body["reason"] = reason
    show(client().post("counts", body=body), lambda it: sentences([_numbers(it)]))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("sku", type=SKU)
@click.argument("quantity", type=click.IntRange(-QUANTITY_MAX, QUANTITY_MAX), metavar="±N")
@click.option("--location", default="", help="Where they came or went.")
@click.option("--reference", default="", help="The adjustment's identity: repeating it changes nothing.")
@click.option("--reason", default="", help="Receipt, damage, correction ...")
@talks
def adjust(sku: str, quantity: int, location: str, reference: str, reason: str) -> None:
    """Say that units of a SKU came (+N) or went (-N)."""
    body = {"sku": sku, "quantity": quantity, "location": location, "reference": reference, "reason": reason}
    document = client().post("adjustments", body=body)
    show(document, lambda it: sentences([f"{_numbers(it)}; reference {it['reference']}"]))


def _numbers(document: Any) -> str:
    before, after = document["before"], document["available"]
    note = f" ({document['note']})" if document["note"] else ""
    words = ["unknown" if units is None else units for units in (before, after)]
    return f"{document['sku']}: available {words[0]} -> {words[1]}{note}"


@click.command()
@click.argument("sku", type=SKU)
@click.option("--reason", default="", help="Why, for whoever wonders later.")
@talks
def freeze(sku: str, reason: str) -> None:
    """Keep every listing of a SKU at what it should show now."""
    document = client().post("skus", sku, "freeze", body={"reason": reason})
    show(document, lambda it: sentences([f"{it['sku']} is frozen"]))


@click.command()
@click.argument("sku", type=SKU)
@talks
def unfreeze(sku: str) -> None:
    """Let the listings of a SKU follow its stock again."""
    document = client().post("skus", sku, "unfreeze")
    show(document, lambda it: sentences([it["note"] or f"{it['sku']} is not frozen any more"]))


# --- listings ------------------------------------------------------------------------------------------------


@click.command()
@click.argument("sku", type=SKU)
@talks
def push(sku: str) -> None:
    """Read and push every listing of a SKU now.

    Also where pushing had stopped.
    """
    show(client().post("skus", sku, "push"), _asked)


@click.command()
@click.argument("sku", type=SKU)
@talks
def pull(sku: str) -> None:
    """Read every listing of a SKU now, as its channel shows it."""
    show(client().post("skus", sku, "pull"), _asked)


def _asked(document: Any) -> object:
    where = ", ".join(f"{each['channel']} {each['listing']}" for each in document["asked"])
    return sentences([f"{document['note']}: {where}"])


# --- the whole store -----------------------------------------------------------------------------------------


@click.command()
@click.option("--verify", is_flag=True, help="Only compare, repair nothing.")
@talks
def rebuild(verify: bool) -> int:
    """Fold the event log again and compare with the stored state.

    All of it, byte for byte.
    """
    document = client().post("rebuild", body={"verify": verify}, timeout_s=PATIENT_S)
    show(document, lambda it: sentences([_rebuilt(it)]))
    return 0 if document["ok"] else 1


def _rebuilt(document: Any) -> str:
    said = f"{document['events']} events folded, {document['skus']} SKUs compared"
    if document["first_broken"]:
        return f"{said}; the log is broken from event {document['first_broken']} on: restore a backup"
    if document["different"]:
        done = "repaired" if document["repaired"] else "repair with `onhand rebuild`"
        return f"{said}; these differed ({done}): {', '.join(document['different'])}"
    return f"{said}, all equal"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@talks
def backup(directory: Path) -> None:
    """Copy the state into an empty directory, while running."""
    # The daemon runs in a directory of its own, so a path of ours must be whole.
    document = client().post("backup", body={"directory": str(directory.absolute())}, timeout_s=PATIENT_S)
    show(document, lambda it: sentences([f"{it['bytes']} bytes copied to {it['directory']}"]))
