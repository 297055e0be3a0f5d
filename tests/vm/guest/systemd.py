"""systemctl and the journal, as a person at the machine uses them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from .places import PROGRAM

UNIT = "onhand.service"


def run(*command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """A command and what it said, whatever its exit code."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd="/")


def systemctl(*arguments: str, timeout_s: float = 120) -> None:
    """A command that must succeed."""
    done = run("systemctl", *arguments, timeout_s=timeout_s)
    assert done.returncode == 0, f"systemctl {' '.join(arguments)}: {done.returncode} {done.stderr.strip()}"


def show(*names: str, unit: str = UNIT) -> dict[str, str]:
    """Properties of a unit."""
    lines = run("systemctl", "show", unit, *(f"--property={name}" for name in names)).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def main_pid(unit: str = UNIT) -> int:
    """0 where it does not run."""
    return int(show("MainPID", unit=unit)["MainPID"])


def records(unit: str = UNIT) -> list[dict[str, Any]]:
    """The journal of a unit, oldest first; what systemd itself says of it included."""
    said = run("journalctl", f"--unit={unit}", "--output=json", "--no-pager", "--all").stdout
    return [json.loads(line) for line in said.splitlines()]


def messages(unit: str = UNIT) -> list[str]:
    """The texts of `records`."""
    return [str(each.get("MESSAGE", "")) for each in records(unit)]


def events(name: str) -> list[dict[str, Any]]:
    """The daemon's own log lines of this name."""
    found = [json.loads(line) for line in messages() if line.startswith("{")]
    return [each for each in found if each["event"] == name]


def onhand(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as root, with no configuration in the working directory."""
    return run(PROGRAM, *arguments)


def until(condition: Callable[[], object], within_s: float, what: str) -> float:
    """Wait for it to hold; seconds taken."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


def started_again(earlier: int, unit: str = UNIT) -> bool:
    """Is it active under another process than `earlier`?"""
    found = show("MainPID", "ActiveState", unit=unit)
    return found["ActiveState"] == "active" and found["MainPID"] not in ("0", str(earlier))
