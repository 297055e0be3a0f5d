"""Composes a kept store: a short life of a daemon, of whatever source tree, as the backup that it left.

    python -m tests.storage.compose NAME [--source DIR]

Run it at each release that writes anything new, and keep what it leaves in `fixtures`: NAME.json.xz, with every row
of every table and with what that very program said of its SKUs and dead letters, and NAME.mdb.xz, the file itself.
Later versions must read both.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import lzma
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import lmdb

from tests.newcomer.day import REPOSITORY, Day, Ports
from tests.newcomer.terminal import Terminal, environment
from tests.storage.shapes import shapes

FIXTURES = Path(__file__).parent / "fixtures"
SKUS = ("SKU-0001", "SKU-0002", "SKU-0003", "SKU-0004")
KITS = "kits: {SKU-0004: {SKU-0001: 2, SKU-0002: 1}}\n"
ALARMS = "alarms: {command: {run: [/bin/false]}}\n"
"""Nobody takes what is told, so that it waits."""


def program(folder: Path, name: str, source: Path) -> str:
    """A command that runs the `onhand` of a source tree."""
    path = folder / name
    path.write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m daemon "$@"\n')
    path.chmod(0o755)
    return str(path)


def puzzle(day: Day) -> None:
    """A webhook that is signed as it should be, and understood by nobody."""
    body, stamp = b'{"topic": "order.updated", "order": {"id": 7}}', str(int(time.time()))
    signed = hmac.new(b"secret-north", stamp.encode() + b"." + body, hashlib.sha256).digest()
    headers = {
        "X-Sandbox-Delivery": "puzzle-1", "X-Sandbox-Timestamp": stamp,
        "X-Sandbox-Signature": base64.b64encode(signed).decode(), "Content-Type": "application/json",
    }  # fmt: skip
    url = f"http://127.0.0.1:{day.ports.daemon}/webhooks/north"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        assert answer.status == 200


def lived(day: Day) -> None:
    """Of everything that is stored, some."""
    person, north, south = day.person, day.url("north"), day.url("south")
    order = day.sell("north", "SKU-0001", 3)
    person.curl(f"{north}/orders/{order}/fulfil", {"lines": [{"id": "1", "quantity": 1}]})
    person.curl(f"{north}/orders/{day.sell('north', 'SKU-0001', 2)}/cancel", {})
    person.curl(f"{south}/orders/{day.sell('south', 'SKU-0003', 1)}/refund", {})
    day.sell("south", "SKU-0003", 2)
    person.type_until("onhand sku SKU-0001", says=("7 available",), never=("pending", "in_flight"))
    person.type("onhand adjust SKU-0001 -1 --reason dropped --reference fall-1")
    person.type("onhand count SKU-0003 5 --kind on_hand --reference shelf-1")
    person.type("onhand freeze SKU-0003 --reason audit")
    person.curl(f"{south}/faults", {"script": [{"do": "refuse", "listing": "L-0002", "times": None}]})
    day.sell("north", "SKU-0002", 1)
    puzzle(day)
    person.type_until("onhand dead-letters", says=("push", "puzzle"))
    person.type_until("onhand sku SKU-0001", says=("settled",), never=("pending", "in_flight"))


def said(person: Terminal) -> dict[str, Any]:
    """What the program itself says of what it stored."""
    listing = ("channel", "listing", "desired", "belief", "generation")
    skus = {}
    for sku in SKUS:
        found = json.loads(person.type(f"onhand sku {sku} --json"))
        skus[sku] = {name: found[name] for name in ("available", "on_hand", "held", "debt")}
        skus[sku]["frozen"] = bool(found["frozen"])
        skus[sku]["listings"] = sorted([each[name] for name in listing] for each in found["listings"])
    letters = json.loads(person.type("onhand dead-letters --json"))["dead_letters"]
    return {
        "skus": skus,
        "letters": sorted([each["kind"], each["channel"], each["sku"] or "", each["subject"]] for each in letters),
        "events": len(person.type("onhand events --json").splitlines()),
    }


def rows(backup: Path) -> dict[str, dict[str, str]]:
    """Every row of every table, in hexadecimal digits, as they lie in the file."""
    with lmdb.open(str(backup), readonly=True, lock=False, max_dbs=64, lib_version=0) as env, env.begin() as txn:
        names = [bytes(name) for name, _ in txn.cursor()]
        tables = {name: env.open_db(name, txn=txn, create=False) for name in names}
        return {
            name.decode(): {bytes(key).hex(): bytes(value).hex() for key, value in txn.cursor(db=table)}
            for name, table in tables.items()
        }


def compose(name: str, source: Path) -> Path:
    """One life; the fixture it left."""
    with tempfile.TemporaryDirectory(prefix="compose-") as place:
        folder = Path(place)
        person = Terminal(folder, environment(), print)
        person.programs["onhand"] = program(folder, "old", source)
        shops = program(folder, "shops", REPOSITORY)
        day = Day(person, Ports.free())
        kits = KITS if (source / "daemon/config_kits.py").exists() else ""
        alarms = ALARMS if (source / "daemon/config_alarms.py").exists() else ""
        person.write("config.yaml", day.configuration() + kits + alarms)
        try:
            for shop in ("north", "south"):
                hook = f"http://127.0.0.1:{day.ports.daemon}/webhooks/{shop}"
                person.begin(
                    shop, f"{shops} sandbox --port {getattr(day.ports, shop)} --name {shop} --webhook-url {hook} "
                    f"--secret secret-{shop} --skus {len(SKUS)}",
                )  # fmt: skip
                person.curl(f"{day.url(shop)}/healthz", quiet=True)
            person.begin("daemon", "onhand run")
            person.type_until("onhand status", says=("ready",))
            lived(day)
            time.sleep(3)  # a checkpoint, so that nothing waits for its turn any more
            expected = said(person)
            person.type("onhand backup backup")
        finally:
            person.close()
        content = {
            "genesis": (folder / "backup" / "initialised").read_text(), "expected": expected,
            "rows": rows(folder / "backup"),
        }  # fmt: skip
        if source == REPOSITORY:
            content["shapes"] = shapes()
        FIXTURES.mkdir(exist_ok=True)
        (FIXTURES / f"{name}.mdb.xz").write_bytes(lzma.compress((folder / "backup" / "data.mdb").read_bytes()))
        path = FIXTURES / f"{name}.json.xz"
        path.write_bytes(lzma.compress(json.dumps(content, sort_keys=True).encode()))
        return path


def main() -> int:
    parser = argparse.ArgumentParser(description="Composes a kept store.")
    parser.add_argument("name")
    parser.add_argument("--source", type=Path, default=REPOSITORY, help="the tree whose daemon writes it")
    arguments = parser.parse_args()
    path = compose(arguments.name, arguments.source.absolute())
    print(f"{path}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
