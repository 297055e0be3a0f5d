"""Vendure by npm, in the versions of shop/package-lock.json, and our shop compiled for it. Needs no other package:

python3 -m tests.vendure.install [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SHOP = Path(__file__).parent / "shop"
PLUGIN = Path(__file__).resolve().parents[2] / "adapters" / "vendure" / "plugin" / "onhand-plugin.ts"
NPM_MAX_S = 600.0
COMPILE_MAX_S = 120.0
SAID_MAX = 200


class NotInstalledError(Exception):
    """Vendure is not there; the text says why, and what helps."""


def usual_folder() -> Path:
    """Where it is kept from one run to the next."""
    return Path(tempfile.gettempdir()) / f"onhand-vendure-{os.getuid()}"


def install(folder: Path) -> Path:
    """The installed shop's folder: `node dist/index.js` runs it. What is there already is taken. Raises
    `NotInstalledError`."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise NotInstalledError(f"{tool} is not installed: Vendure needs Node 20 or newer with npm")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another one may be installing here
        shop = folder / "shop"
        wanted = _digest([SHOP / "package.json", SHOP / "package-lock.json"])
        if _read(folder / "installed") != wanted:
            (folder / "installed").unlink(missing_ok=True)
            shop.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SHOP / name, shop / name)
            _run(
                ["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=2", "--fetch-timeout=60000"], shop,
                NPM_MAX_S, "npm could not install Vendure; is its registry in reach?",
            )  # fmt: skip
            (folder / "installed").write_text(wanted)
        _compile(shop)
    return shop


def _compile(shop: Path) -> None:
    sources = [*sorted((SHOP / "src").glob("*.ts")), SHOP / "tsconfig.json", PLUGIN]
    wanted = _digest(sources)
    if _read(shop / "compiled") == wanted:
        return
    for old in ("src", "dist"):
        shutil.rmtree(shop / old, ignore_errors=True)
    shutil.copytree(SHOP / "src", shop / "src")
    shutil.copy(SHOP / "tsconfig.json", shop / "tsconfig.json")
    shutil.copy(PLUGIN, shop / "src" / PLUGIN.name)
    _run(["node", "node_modules/typescript/bin/tsc", "-p", "."], shop, COMPILE_MAX_S, "the shop does not compile:")
    (shop / "compiled").write_text(wanted)


def _run(command: list[str], folder: Path, most_s: float, failing: str) -> None:
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
        try:
            code: int | None = child.wait(most_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        out.seek(0)
        said = out.read().decode("utf-8", "replace").splitlines()
    if code is None:
        raise NotInstalledError(f"{failing} It took more than {most_s:.0f} s")
    if code:
        errors = [" ".join(line.split()) for line in said if "error" in line.lower()] or said
        raise NotInstalledError(f"{failing} {'; '.join(errors)[:SAID_MAX]}")


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in paths)).hexdigest()


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.vendure.install", description="Install Vendure by npm.")
    parser.add_argument("--dir", type=Path, default=usual_folder(), help="kept from run to run (%(default)s)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that npm ends with us
    try:
        install(parser.parse_args().dir)
    except NotInstalledError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
