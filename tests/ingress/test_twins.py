"""A delivery that comes again while its twin is still under way."""

from __future__ import annotations

from typing import Any, cast

import trio
from attrs import define, field

from daemon.ingress.receiver import Receiver

KEY, NUMBER = b"delivery D-1", 5


@define
class Disk:
    """A store whose commit takes a while, and what is applied meanwhile: too late for that commit."""

    applied: dict[bytes, int] = field(factory=dict)
    applied_meanwhile: dict[bytes, int] = field(factory=dict)
    commits: int = 0

    async def flush(self) -> None:
        self.applied |= self.applied_meanwhile
        await trio.sleep(0.01)
        self.commits += 1

    def known(self, key: bytes) -> int:
        return self.applied.get(key, 0)


def receiver(disk: Disk) -> Receiver:
    unused = cast(Any, None)
    return Receiver(cast(Any, disk), unused, cast(Any, disk), unused, unused, lambda: 0)


async def test_a_twin_that_was_applied_is_acknowledged_once_that_is_durable() -> None:
    disk = Disk(applied={KEY: NUMBER})
    assert await receiver(disk)._known(KEY) == NUMBER
    assert disk.commits == 1


async def test_a_twin_that_is_applied_only_during_the_commit_waited_for_is_not_durable_by_it() -> None:
    disk = Disk(applied_meanwhile={KEY: NUMBER})
    found = receiver(disk)
    given_up = trio.Event()  # the first one's patience has ended while it still waited to be applied
    given_up.set()
    found.under_way[KEY] = given_up
    assert await found._known(KEY) == 0
    assert await found._known(KEY) == NUMBER


async def test_a_delivery_that_nobody_saw_is_new() -> None:
    disk = Disk()
    assert await receiver(disk)._known(KEY) is None
    assert disk.commits == 0
