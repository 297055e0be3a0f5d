"""What this machine must have, and the emulated machine that it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

PACKAGES: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "git": "git",
}
"""Each program that is needed, and the Debian package that it comes in."""
KERNEL_PACKAGE: Final = "linux-image-cloud-amd64"
MEMORY_MB: Final = 1024
LISTEN_S: Final = 0.1
END: Final = "end"
"""The last line of a complete report."""


class UnfitError(Exception):
    """This machine cannot do it; one sentence that says what to do."""


@frozen
class Kernel:
    """A kernel that has its disk driver in its own initial RAM disk."""

    image: Path
    initrd: Path


def kernels(boot: Path) -> list[Kernel]:
    """The cloud kernels in `boot`, newest first."""
    found = (
        Kernel(each, boot / each.name.replace("vmlinuz", "initrd.img")) for each in boot.glob("vmlinuz-*-cloud-*")
    )
    return sorted((each for each in found if each.initrd.exists()), key=_version, reverse=True)


def _version(kernel: Kernel) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", kernel.image.name)]


def lacking(has: Callable[[str], object], kernel: bool) -> list[str]:
    """The packages to install. `has`: is there a program of this name?"""
    return [package for program, package in PACKAGES.items() if not has(program)] + (
        [] if kernel else [KERNEL_PACKAGE]
    )


def fit(boot: Path = Path("/boot")) -> Kernel:
    """The kernel to boot. Raises `UnfitError`."""
    if os.uname().machine != "x86_64":
        raise UnfitError(f"this check emulates an x86-64 machine on its like, and this one is {os.uname().machine}")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = kernels(boot)
    if packages := lacking(lambda name: shutil.which(name, path=path), bool(found)):
        raise UnfitError(
            f"{', '.join(packages)} must be installed first: "
            f"apt-get install --no-install-recommends {' '.join(packages)}"
        )
    if os.geteuid() != 0:
        raise UnfitError("this check unpacks a Debian system, which only root can do: run it as root")
    return found[0]


def command(kernel: Kernel, disk: Path, console: Path, report: Path) -> list[str]:
    """The emulator's command line: two cores, one disk, no network card, and two serial lines that end in files."""
    arguments = "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off audit=0 systemd.show_status=no"
    # Emulation throughout: whether a machine may use KVM is hard to tell, and some that offer it hang.
    return [
        "qemu-system-x86_64", "-machine", "pc,accel=tcg", "-smp", "2", "-m", str(MEMORY_MB), "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-kernel", str(kernel.image), "-initrd", str(kernel.initrd), "-append", arguments,
        "-drive", f"file={disk},if=virtio,format=raw,cache=unsafe",
        "-serial", f"file:{console}", "-serial", f"file:{report}",
    ]  # fmt: skip


def boot(arguments: Sequence[str], report: Path, patience_s: float, heard: Callable[[str], None]) -> str:
    """Run the machine until its report is complete or it ends; each line of the report is `heard` as it comes.

    Returns why there is no complete report; empty if there is one.
    """
    report.touch()
    with subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as machine:
        try:
            return _listen(machine, report, time.monotonic() + patience_s, heard)
        finally:
            machine.kill()


def _listen(machine: subprocess.Popen[str], report: Path, deadline: float, heard: Callable[[str], None]) -> str:
    read = 0
    while time.monotonic() < deadline:
        ended = machine.poll() is not None  # asked first: what is read after it is all there is
        lines = report.read_text("utf-8", "replace").split("\n")[:-1]
        for line in lines[read:]:
            if line.strip() == END:
                return ""
            heard(line.strip())
        read = len(lines)
        if ended:
            said = machine.stdout.read() if machine.stdout else ""
            return f"the machine ended before its report was complete: {said.strip()}"
        time.sleep(LISTEN_S)
    return "the machine did not finish in time: give it more with --patience"
