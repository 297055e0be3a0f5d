"""README.md, "As a service": its lines from the first that needs systemd on, typed as they stand there."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .places import HOME, PAGE, ROOT_PATH, TYPED, UNIT_FOLDER
from .systemd import show, until
from .wire import health

LINE_S = 180.0
READY_S = 30.0
CLAIMED_S = 600.0
"""What README.md says that its commands take at most, on a machine that is none too slow."""
TAIL = 400
"""So many characters of what a line said are shown where one fails."""
SHELL = {"HOME": HOME, "PATH": ROOT_PATH, "SHELL": "/bin/bash", "TERM": "vt220", "LANG": "C.UTF-8"}
"""A root login's environment: no EDITOR, so that `systemctl edit`, too, takes the `editor` of the machine."""


def typed(lines: Sequence[str], folder: str) -> float:
    """Type the lines one after the other, each at a terminal (`systemctl edit` asks for one); seconds taken.

    Fails with all that was typed so far as soon as a line ends with anything but 0.
    """
    began, told = time.monotonic(), []
    with tempfile.TemporaryDirectory() as notes:
        for line in lines:
            command = shlex.join(["/bin/bash", "-c", TYPED, folder, line, f"{notes}/folder"])
            done = subprocess.run(
                ["script", "--quiet", "--return", "--command", command, "/dev/null"], env=SHELL, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                timeout=LINE_S, check=False,
            )  # fmt: skip
            told.append(f"`{line}` exit {done.returncode}: {done.stdout.strip()[-TAIL:]}")
            assert done.returncode == 0, " | ".join(told)
            assert "Traceback" not in done.stdout, " | ".join(told)
            folder = Path(f"{notes}/folder").read_text().strip()
    return time.monotonic() - began


def same_bytes(name: str) -> None:
    """The unit file is the repository's."""
    expected = json.loads(Path("/usr/lib/checks/units.json").read_text())[name]
    found = hashlib.sha256((Path(UNIT_FOLDER) / name).read_bytes()).hexdigest()
    assert found == expected, f"{name} is another file here"


def service_commands_work() -> str:
    """The first block, whose last command asks the daemon how it is."""
    page = json.loads(Path(PAGE).read_text())
    took, before = typed(page["service"], page["folder"]), page["before"]
    found = show("ActiveState", "SubState")
    assert (found["ActiveState"], found["SubState"]) == ("active", "running"), found
    whole = before["took_s"] + took
    assert whole <= CLAIMED_S, f"all lines together took {whole:.0f} s"
    return (
        f"{before['lines']} lines before the boot, {len(page['service'])} after it, each exit 0, onhand status last: "
        f"{before['took_s']:.0f} s + {took:.0f} s = {whole:.0f} s in all (at most {CLAIMED_S:.0f})"
    )


def socket_commands_work() -> str:
    """The second block: socket and service run afterwards, and the daemon answers through the socket."""
    page = json.loads(Path(PAGE).read_text())
    took = typed(page["socket"], page["folder"])
    same_bytes("onhand.socket")
    states = [show("ActiveState", unit=unit)["ActiveState"] for unit in ("onhand.socket", "onhand.service")]
    assert states == ["active", "active"], states
    until(lambda: health() == 200, READY_S, "/healthz answers 200 through the socket")
    return f"{len(page['socket'])} lines, each exit 0, {took:.0f} s; both active, /healthz 200"
