"""Started under the unit's own lines in the place of the daemon: tries what they are to forbid, and allow.

Prints one JSON object: what was tried, and "done" or the name of the error.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import time
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def call(name: str, *arguments: object) -> None:
    if getattr(LIBC, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write("1")


FORBIDDEN: dict[str, Callable[[], object]] = {
    "map memory to write and execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "write below /usr": lambda: write("/usr/probe"),
    "write below /etc": lambda: write("/etc/onhand/probe"),
    "read root's secrets": lambda: open("/etc/onhand/secrets/north-webhook", "rb").close(),
    "look into /home": lambda: os.listdir("/home"),
    "see process 1": lambda: os.stat("/proc/1"),
    "open a disk": lambda: os.open("/dev/vda", os.O_RDONLY),
    "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "make a namespace": lambda: call("unshare", CLONE_NEWNET),
    "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "set the host's name": lambda: call("sethostname", b"probe", 5),
    "be nicer": lambda: os.nice(1),
    "trace another process": lambda: call("ptrace", 16, os.getppid(), None, None),
    "make a set-user-id file": lambda: os.chmod(os.environ["STATE_DIRECTORY"], 0o4700),
    "write a kernel setting": lambda: write("/proc/sys/kernel/printk"),
}
ALLOWED: dict[str, Callable[[], object]] = {
    "write its state": lambda: write(os.environ["STATE_DIRECTORY"] + "/probe"),
    "write its runtime folder": lambda: write(os.environ["RUNTIME_DIRECTORY"] + "/probe"),
    "read its credential": lambda: open(os.environ["CREDENTIALS_DIRECTORY"] + "/north-webhook", "rb").close(),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
}


def attempt(what: Callable[[], object]) -> str:
    try:
        what()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "done"


if __name__ == "__main__":
    found = {"forbidden": {name: attempt(what) for name, what in FORBIDDEN.items()}}
    found["allowed"] = {name: attempt(what) for name, what in ALLOWED.items()}
    print(json.dumps(found), flush=True)
