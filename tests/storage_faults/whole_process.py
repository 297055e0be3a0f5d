"""`onhand run` itself on a state directory: what it says, or what it serves."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.processes import environment, free_port, onhand, sandbox_channel, write_config
from tests.storage_faults.lives import FRONTS

START_S = 30.0


def numbers_of(client: httpx.Client) -> dict[str, str]:
    """What the admin socket shows for each SKU: available, held."""
    listed = client.get("http://onhand/v1/skus").raise_for_status().json()["skus"]
    return {each["sku"]: f"{each['available']} {each['held']}" for each in listed}


def started_process(directory: Path, expected: dict[str, str]) -> dict[str, Any]:
    """Start it on `directory`: {"refused": its sentence} or {"wrong": what differs from `expected`, by SKU}."""
    folder = Path(tempfile.mkdtemp(prefix="onhand-process-"))
    try:
        channels = {name: sandbox_channel(name, free_port()) for name in FRONTS}
        config = write_config(folder, free_port(), channels, state_dir=str(directory))
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            child = subprocess.Popen(
                onhand("run", "--config", str(config)), stdout=out, stderr=err, env=environment(), cwd=folder
            )
        try:
            shown = _served(child, folder)
        finally:
            if child.poll() is None:
                child.terminate()
            code = child.wait(START_S)
        said = (folder / "err").read_text().strip()
        if code not in (0, 1, 2) or "Traceback" in said or (code and "\n" in said):
            return {"wrong": [f"it ended with {code}: {said[-300:]}"]}
        if shown is None:
            return {"refused": said} if said else {"wrong": [f"it ended with {code} and said nothing"]}
        if said:
            return {"refused": said}
        wanted = {sku: " ".join(number.split()[:2]) for sku, number in expected.items()}
        return {"wrong": sorted(sku for sku in {*shown, *wanted} if shown.get(sku) != wanted.get(sku))}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(child: subprocess.Popen[bytes], folder: Path) -> dict[str, str] | None:
    """What it shows once it is up; None where it ended instead."""
    transport = httpx.HTTPTransport(uds=str(folder / "admin.sock"), retries=0)
    with httpx.Client(transport=transport, timeout=START_S) as client:
        while child.poll() is None:
            try:
                shown = numbers_of(client)
                verified = client.post("http://onhand/v1/rebuild", content=json.dumps({"verify": True}))
                return shown if verified.json()["ok"] else {"the log": "does not make the stored state"}
            except (httpx.TransportError, httpx.HTTPStatusError):
                try:
                    child.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
    return None
