"""The lines of README.md that need a network, typed in the unpacked system before it boots."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from tests.vm.guest.places import HOME, ROOT_PATH, TYPED
from tests.vm.page import PageError

UPSTREAM: Final = "/srv/onhand"
"""What URL stands for."""
CERTIFICATES: Final = "/srv/certificates.pem"
TAIL_LINES: Final = 12
PASSED_ON: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "cert")
"""How this machine's pip reaches its index; folders of its own are not there inside."""
PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@frozen
class Installed:
    """`folder`: where the person stands afterwards; `took_s`: all lines together."""

    folder: str
    took_s: float


def pip_options(listed: Iterable[str]) -> dict[str, str]:
    """Option and value, from `pip config list`; the environment wins over files, what is said of `install` over both.

    Values that name this machine's own files, other than its certificates, are left out.
    """
    found: dict[str, dict[str, str]] = {"global": {}, ":env:": {}, "install": {}}
    for line in listed:
        key, _, value = line.strip().partition("=")
        section, _, option = key.rpartition(".")
        if section in found and option in PASSED_ON:
            said = str(ast.literal_eval(value))
            kept = [word for word in said.split() if not word.startswith("file:")]
            found[section][option] = " ".join(kept)
    merged = {**found["global"], **found[":env:"], **found["install"]}
    return {option: value for option, value in merged.items() if value}


def environment(root: Path, options: Mapping[str, str]) -> dict[str, str]:
    """A root shell's, with this machine's way to the package index; its certificates are copied into `root`."""
    passed = {f"PIP_{option.replace('-', '_').upper()}": value for option, value in options.items()}
    if "PIP_CERT" in passed:
        shutil.copy(passed["PIP_CERT"], root / CERTIFICATES.lstrip("/"))
        passed["PIP_CERT"] = CERTIFICATES
    proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
    return {
        "PATH": ROOT_PATH, "HOME": HOME, "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **proxies, **passed,
    }  # fmt: skip


def install(root: Path, lines: Sequence[str]) -> Installed:
    """Type the lines in `root`, beginning at home. Raises `PageError` with the first that fails."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.splitlines()
    (root / "srv").mkdir(exist_ok=True)
    shell = environment(root, pip_options(listed))
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    folder, there = HOME, root / "srv/folder"
    began = time.monotonic()
    for line in lines:
        typed = ["chroot", str(root), "/bin/bash", "-c", TYPED, folder, line, "/srv/folder"]
        done = subprocess.run(
            typed, env=shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode:
            said = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
            raise PageError(f"README.md: {line!r} ended with {done.returncode}:\n{said}")
        folder = there.read_text().strip()
    took = time.monotonic() - began
    shutil.rmtree(root / "srv")
    (root / "srv").mkdir()
    return Installed(folder, took)
