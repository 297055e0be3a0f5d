"""Checks of onhand.socket: systemd holds the public listener, so that a restart refuses nobody."""

from __future__ import annotations

import time
from pathlib import Path

from .systemd import UNIT, main_pid, show, started_again, systemctl, until
from .wire import Load, health, sell

SOCKET = "onhand.socket"
START_S = 120.0
RESTARTS, KILLS = 4, 2
HOPELESS = Path("/run/systemd/system/onhand.service.d/hopeless.conf")


def socket_starts_it() -> str:
    """The first connection waits for the daemon, which takes the listener over."""
    systemctl("stop", UNIT)
    assert show("ActiveState", unit=SOCKET)["ActiveState"] == "active"
    assert show("ActiveState")["ActiveState"] == "inactive"
    began = time.monotonic()
    assert health() in (200, 503), "nobody answered"
    took = time.monotonic() - began
    assert started_again(0), "it does not run"
    until(lambda: health() == 200, START_S, "ready")
    return f"the first request started the daemon, waited {took:.1f} s and was answered"


def restarts_refuse_nobody() -> str:
    with Load("north", sell("north", "SKU-0003")) as load:
        time.sleep(2)
        for _ in range(RESTARTS):
            pid = main_pid()
            systemctl("restart", UNIT)
            assert started_again(pid)
            time.sleep(1)
    seen = dict(load.outcomes)
    assert set(seen) == {"200"}, f"of {sum(seen.values())} webhooks: {seen}"
    return f"{RESTARTS} restarts, {seen['200']} webhooks, all 200; the longest waited {load.longest_s:.1f} s"


def kills_refuse_nobody() -> str:
    """What is under way when the process dies is cut off, and the sender repeats it; nobody is refused."""
    with Load("north", sell("north", "SKU-0004")) as load:
        time.sleep(2)
        for _ in range(KILLS):
            pid = main_pid()
            systemctl("kill", "--signal=KILL", UNIT)
            until(lambda pid=pid: started_again(pid), START_S, "started again")
            time.sleep(2)
    seen = dict(load.outcomes)
    cut = sum(seen.values()) - seen.get("200", 0)
    assert seen.get("refused", 0) == 0, f"of {sum(seen.values())} webhooks: {seen}"
    assert cut <= KILLS * 3, f"more were cut off than can have been under way: {seen}"
    assert seen.get("200", 0) > 0
    counts = f"{KILLS} SIGKILLs, {sum(seen.values())} webhooks, 0 refused, {cut} cut off in the middle"
    return f"{counts}; the longest waited {load.longest_s:.1f} s"


def hopeless_starts_end() -> str:
    """A daemon that ends at once with 2 is not started again and again for a connection that waits."""
    systemctl("stop", UNIT)
    HOPELESS.parent.mkdir(parents=True, exist_ok=True)
    HOPELESS.write_text("[Service]\nExecStart=\nExecStart=/bin/sh -c 'exit 2'\n")
    systemctl("daemon-reload")
    began = time.monotonic()
    try:
        assert health() == 0, "who answered?"
        until(lambda: show("ActiveState", unit=SOCKET)["ActiveState"] == "failed", START_S, "the socket gives up")
    finally:
        HOPELESS.unlink()
        systemctl("daemon-reload")
    took = time.monotonic() - began
    assert show("Result", unit=SOCKET)["Result"] == "trigger-limit-hit"
    systemctl("restart", SOCKET, UNIT)
    until(lambda: health() == 200, START_S, "ready after it was mended")
    return f"the socket gave up after {took:.1f} s (trigger-limit-hit); mended, systemctl restart of both works"


def stopping_both_stops() -> str:
    systemctl("stop", SOCKET, UNIT)
    assert health() == 0, "somebody still answers"
    found = show("Result", "ExecMainStatus")
    assert found == {"Result": "success", "ExecMainStatus": "0"}, found
    return "socket and service stopped with exit 0, the port is closed"
