"""The real daemon as a process that can be made to fail: `python -m tests.crash.victim [options] run --config FILE`.

    --die-at POINT --nth K   die by SIGKILL at the K-th passing of a point; `tests.crash.matrix --list` names them
    --brisk                  poll, write down and read back more often, so that every point is passed soon
    --small-map              open the database with little room, so that its map must grow
    --forgetful              keep deliveries and events for a second, not for days
    --listen-fd N            take the listening socket N as systemd hands it over
    --planted BUG            run with a bug (ack-first, no-dedup), to show that the checks would find it

Nothing of this is in the daemon: its seams are wrapped here, before its own command line runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from adapters import PLATFORMS
from daemon.app import daemon as app_daemon
from daemon.cli import main as onhand
from daemon.config_retention import RetentionSettings
from daemon.domain.channel import Adapter, Setup
from daemon.domain.instants import SECOND_US
from daemon.storage import environment
from daemon.storage.files import file_bytes
from tests.crash import seams
from tests.crash.planted import PLANTED
from tests.crash.points import POINTS

REQUEST_LIFE_S, POLL_S, CHECKPOINT_S, TAIL_MAX = 1.0, 0.5, 0.3, 20
SMALL_MAP_BYTES = 96 << 10
KEPT_S, HISTORY_S = 0.2, 1.0


def main(arguments: Sequence[str]) -> int:
    """Wrap what is asked for, then run the rest as `onhand` does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--die-at", choices=POINTS, metavar="POINT")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--brisk", action="store_true")
    parser.add_argument("--small-map", action="store_true")
    parser.add_argument("--forgetful", action="store_true")
    parser.add_argument("--listen-fd", type=int)
    parser.add_argument("--planted", choices=sorted(PLANTED))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    if options.listen_fd is not None:
        os.dup2(options.listen_fd, 3)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="onhand.socket")
    if options.brisk:
        _be_brisk()
    if options.small_map:
        _leave_little_room()
    if options.forgetful:
        _forget_soon()
    if options.planted:
        PLANTED[options.planted]()
    if options.die_at:
        seams.install(options.die_at, options.nth)
    return onhand(options.command)


def _be_brisk() -> None:
    """For storefronts that answer at once or not at all: no late write of theirs outlives `REQUEST_LIFE_S`."""
    app_daemon.CHECKPOINT_S = CHECKPOINT_S
    app_daemon.REPEATED_MAX = TAIL_MAX
    sandbox = PLATFORMS["sandbox"]

    def build(setup: Setup) -> Adapter:
        adapter: Any = sandbox.build(setup)
        adapter.traits = evolve(adapter.traits, request_life_s=REQUEST_LIFE_S, poll_interval_s=POLL_S)
        return adapter  # type: ignore[no-any-return]

    PLATFORMS["sandbox"] = evolve(sandbox, build=build)


def _leave_little_room() -> None:
    open_engine = environment.open_engine

    def small(directory: Path, map_bytes: int) -> Any:
        size = file_bytes(directory / "data.mdb") + SMALL_MAP_BYTES
        return open_engine(directory, size - size % 4096)

    environment.open_engine = small


def _forget_soon() -> None:
    """Correctness does not rest on what was delivered before: the orders say themselves which version is news."""
    app_daemon.EXPIRE_S = CHECKPOINT_S
    settings: Any = RetentionSettings
    settings.dedup_us = settings.deliveries_us = int(KEPT_S * SECOND_US)
    settings.history_us, settings.history_grain = int(HISTORY_S * SECOND_US), 16


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
