"""The unit: systemd takes every key of it, and scores it as hardened as we say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "onhand.service"

SOCKET = UNIT.with_suffix(".socket")

EXPOSURE_MAX = 12
"""Ten times the score; the best unit that Debian ships of a network daemon has 12."""

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="THE UNIT IS NOT CHECKED: there is no systemd-analyze on this machine"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=60, check=False)


def verify(folder: Path, text: str) -> str:
    copy = folder / UNIT.name
    # What the unit starts is not installed here, and a missing program is a complaint too.
    copy.write_text(text.replace("/opt/onhand/bin/onhand", sys.executable))
    return analyze("verify", "--man=no", str(copy)).stderr


@needs_systemd
def test_systemd_knows_every_key_of_the_unit(tmp_path: Path) -> None:
    # The exit code is 0 even for an unknown key, so the complaints are what counts.
    assert verify(tmp_path, UNIT.read_text()) == ""


@needs_systemd
def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    assert "ProtectHomes" in verify(tmp_path, UNIT.read_text().replace("ProtectHome=", "ProtectHomes="))


@needs_systemd
def test_the_unit_is_as_little_exposed_as_promised() -> None:
    result = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(UNIT))
    assert result.returncode == 0, result.stdout[-200:]


@needs_systemd
def test_systemd_knows_every_key_of_the_socket(tmp_path: Path) -> None:
    verify(tmp_path, UNIT.read_text())  # it is started by the socket, so it has to be there
    copy = tmp_path / SOCKET.name
    copy.write_text(SOCKET.read_text())
    assert analyze("verify", "--man=no", str(copy)).stderr == ""
    copy.write_text(SOCKET.read_text().replace("Backlog=", "Backlogs="))
    assert "Backlogs" in analyze("verify", "--man=no", str(copy)).stderr


def test_the_socket_listens_where_the_example_configuration_does() -> None:
    config = (UNIT.parent.parent / "config.yaml").read_text()
    configured = next(line.split()[1] for line in config.splitlines() if line.startswith("listen:"))
    assert f"ListenStream={configured}" in SOCKET.read_text().splitlines()


def test_a_daemon_that_is_started_again_after_a_failure_never_tires_the_socket() -> None:
    # Each restart by RestartSec= is one trigger while a webhook waits; only quicker, hopeless starts may be too many.
    keys = dict(
        line.split("=", 1) for path in (UNIT, SOCKET) for line in path.read_text().splitlines() if "=" in line
    )
    assert int(keys["TriggerLimitIntervalSec"]) / int(keys["RestartSec"]) <= int(keys["TriggerLimitBurst"])


def test_the_unit_notifies_is_watched_and_starts_what_is_installed() -> None:
    lines = UNIT.read_text().splitlines()
    assert "Type=notify" in lines
    assert "WatchdogSec=30" in lines
    assert "RestartPreventExitStatus=2" in lines
    assert "ExecStart=/opt/onhand/bin/onhand run --config ${CREDENTIALS_DIRECTORY}/config.yaml" in lines
