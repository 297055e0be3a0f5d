"""The disk of the emulated machine: a bare Debian in which the lines of README.md are typed."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from tests.vm.guest.places import CHANNELS, CONFIG, PAGE, PAGER, PUBLIC_PORT, SECRET_MARK, STOREFRONT_PORTS, WANTED
from tests.vm.install import UPSTREAM, Installed, install
from tests.vm.machine import UnfitError
from tests.vm.page import Plan, filled, plan

REPOSITORY: Final = Path(__file__).resolve().parents[2]
GUEST: Final = Path(__file__).parent / "guest"
CLONED: Final = ("daemon", "adapters", "systemd", "config.yaml", "pyproject.toml", "README.md", "LICENSE")
INCLUDED: Final = ("systemd-sysv",)
EXCLUDED: Final = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
MASKED: Final = ("serial-getty@ttyS0.service", "getty@tty1.service", "systemd-firstboot.service")
"""They wait for devices or people that are not there."""
TARGET_FIELDS: Final = "$(REPO_URI)|$(CODENAME)|$(ORIGIN)|$(LABEL)|$(COMPONENT)"
DISK_MB: Final = 2048


@frozen
class Mirror:
    """Where this machine's own Debian comes from."""

    url: str
    codename: str


def mirror_of(targets: Iterable[str]) -> Mirror:
    """The main repository among apt's index targets (`TARGET_FIELDS` each). Raises `UnfitError`."""
    for line in targets:
        url, codename, *rest = line.strip().split("|")
        if rest == ["Debian", "Debian", "main"] and "-" not in codename:  # not NAME-updates, not NAME-backports
            return Mirror(url, codename)
    raise UnfitError(
        "apt knows no Debian repository here: name one in /etc/apt/sources.list, then run apt-get update"
    )


def proxies_of(dump: Iterable[str]) -> list[str]:
    """The lines of `apt-config dump` that say through which proxy packages are fetched."""
    return [line.strip() for line in dump if line.startswith("Acquire::") and "::Proxy" in line.split(" ")[0]]


def run(*arguments: object, tail: int = 12) -> str:
    """The output of a command. Raises `UnfitError` with its last lines where it fails."""
    done = subprocess.run([str(each) for each in arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-tail:])
        raise UnfitError(f"{arguments[0]} failed with {done.returncode}:\n{said}")
    return done.stdout


def build(folder: Path) -> Path:
    """The disk, in `folder`; it needs apt's repositories and pip's. Raises `UnfitError` and `PageError`."""
    root = folder / "root"
    lines = plan((REPOSITORY / "README.md").read_text())
    unpack_debian(root)
    clone_from(root)
    installed = install(root, filled(lines.disk, "URL", [UPSTREAM]))
    configure(root, canaries())
    leave(root, lines, installed)
    disk = folder / "disk.img"
    run("/usr/sbin/mke2fs", "-q", "-t", "ext4", "-d", root, disk, f"{DISK_MB}M")
    return disk


def unpack_debian(root: Path) -> None:
    """A minimal Debian of this machine's own release, from its own mirror, in `root`."""
    targets = run("apt-get", "indextargets", "--format", TARGET_FIELDS, "Created-By: Packages")
    mirror = mirror_of(targets.splitlines())
    options = [f"--aptopt={each}" for each in proxies_of(run("apt-config", "dump").splitlines())]
    options += [f"--dpkgopt=path-exclude={each}" for each in EXCLUDED]
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(INCLUDED)}", "--dpkgopt=force-unsafe-io",
        *options, mirror.codename, root, f"deb {mirror.url} {mirror.codename} main",
    )  # fmt: skip


def clone_from(root: Path) -> None:
    """A copy of this clone, as a repository inside `root` that can be cloned."""
    source = root / UPSTREAM.lstrip("/")
    source.mkdir(parents=True)
    for name in CLONED:
        found = REPOSITORY / name
        if found.is_dir():
            shutil.copytree(found, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(found, source / name)
    git = ("git", "-C", source, "-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    run("git", "init", "--quiet", source)
    run(*git, "add", "--all")
    run(*git, "-c", "commit.gpgsign=no", "commit", "--quiet", "--message=a copy")


def leave(root: Path, lines: Plan, installed: Installed) -> None:
    """What the machine is to type, and what the unit files must then be."""
    secrets_ = [f"{name}-webhook" for name in CHANNELS]
    page = {
        "service": filled(lines.service, "NAME", secrets_), "socket": list(lines.socket), "folder": installed.folder,
        "before": {"lines": len(lines.disk), "took_s": installed.took_s},
    }  # fmt: skip
    place(root, PAGE, json.dumps(page), 0o644)
    units = sorted((REPOSITORY / "systemd").glob("onhand.*"))
    sums = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in units}
    place(root, "/usr/lib/checks/units.json", json.dumps(sums), 0o644)


def canaries() -> dict[str, str]:
    """A webhook secret for each channel, which no log may ever show."""
    return {name: f"{SECRET_MARK}{name}-{secrets.token_hex(8)}" for name in CHANNELS}


def configure(root: Path, keys: Mapping[str, str]) -> None:
    """What a person will write into which file, storefronts as units of their own, and what checks it all."""
    channels = {
        name: {
            "adapter": "sandbox", "base_url": f"http://127.0.0.1:{STOREFRONT_PORTS[name]}",
            "webhook_secrets": [{"credential": f"{name}-webhook"}],
        }
        for name in CHANNELS
    }  # fmt: skip
    # JSON is YAML; the example's ./state gives way to $STATE_DIRECTORY.
    config = {
        "state_dir": "./state", "listen": f"127.0.0.1:{PUBLIC_PORT}", "channels": channels,
        "alarms": {"command": {"run": [PAGER, "on call"]}},
    }  # fmt: skip
    place(root, PAGER, (GUEST / "pager").read_text(), 0o755)
    place(root, "/usr/local/bin/editor", (GUEST / "editor").read_text(), 0o755)
    place(root, f"{WANTED}{CONFIG}", json.dumps(config, indent=1) + "\n", 0o600)
    credentials = [f"LoadCredential={name}-webhook:/etc/onhand/secrets/{name}-webhook" for name in CHANNELS]
    drop_in = "\n".join(["[Service]", *credentials, ""])
    place(root, f"{WANTED}/drop-in", drop_in, 0o600)
    for name, key in keys.items():
        place(root, f"{WANTED}/etc/onhand/secrets/{name}-webhook", key + "\n", 0o600)
        port = STOREFRONT_PORTS[name]
        place(root, f"/etc/storefronts/{name}", f"PORT={port}\nSECRET={key}\nHOOKS={PUBLIC_PORT}\n", 0o600)
        enable(root, f"storefront@{name}.service", "storefront@.service", "multi-user.target")
    place(root, "/etc/systemd/system/storefront@.service", (GUEST / "storefront@.service").read_text(), 0o644)
    place(root, "/etc/systemd/system/checks.service", (GUEST / "checks.service").read_text(), 0o644)
    enable(root, "checks.service", "checks.service", "multi-user.target")
    shutil.copytree(GUEST, root / "usr/lib/checks/guest", ignore=shutil.ignore_patterns("__pycache__", "*.service"))
    for unit in MASKED:
        link(root / "etc/systemd/system" / unit, "/dev/null")
    place(root, "/etc/machine-id", uuid.uuid4().hex + "\n", 0o444)
    place(root, "/etc/hostname", "guest\n", 0o644)
    place(root, "/etc/hosts", "127.0.0.1 localhost guest\n", 0o644)


def place(root: Path, path: str, text: str, mode: int) -> None:
    """A file in the new system, in a folder that everybody may enter."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def enable(root: Path, unit: str, file: str, wanted_by: str) -> None:
    """What `systemctl enable` does."""
    link(root / "etc/systemd/system" / f"{wanted_by}.wants" / unit, f"/etc/systemd/system/{file}")


def link(place: Path, to: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(to)
