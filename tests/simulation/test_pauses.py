"""A pause is a person's word: it outlives a crash from its answer on, and a stop neither adds to it nor hides it."""

from __future__ import annotations

import attrs
import trio

from tests.simulation.plan import Plan
from tests.simulation.world import World

PLAN = attrs.evolve(Plan.of(1), skus=("SKU-01",), hot=frozenset({"SKU-01"}), fair=True, early=False)
HALF = b"POST /webhooks/site HTTP/1.1\r\nhost: onhand\r\ncontent-length: 9\r\n\r\nhalf"
"""A request that keeps a stop waiting for its end."""


class Paused(World):
    """A quiet world in which somebody pauses `site`; then the daemon ends, by a `crash` or a stop. While it stops,
    the channels `named` are told `again` to pause or resume."""

    crash = True
    again = ""
    named: tuple[str, ...] = ()

    async def _days(self) -> None:
        await self._rest()
        await self._told("pause", "site")
        old = self.life
        assert old is not None
        assert old.daemon is not None
        assert self._paused() == {"site"}
        if self.crash:
            old.crash("right after a pause")
        else:
            await old.public.connect().send_all(HALF)
            await trio.sleep(0.1)
            old.daemon.stop()
            await trio.sleep(0.1)
            for channel in self.named:
                await self._told(self.again, channel)
        await old.ended.wait()
        await self.moment("a start", 600.0)
        self.found = self._paused()
        for channel in self.fronts:
            await self._told("resume", channel)
        await self._rest()
        await self._end()

    async def _told(self, what: str, channel: str) -> None:
        assert (await self.ask_admin(f"/v1/channels/{channel}/{what}", {}))[0] == 200

    def _paused(self) -> set[str]:
        assert self.life is not None
        assert self.life.daemon is not None
        return {name for name, each in self.life.daemon.parts.channels.items() if each.account.paused}


def live(*, crash: bool, again: str = "", named: tuple[str, ...] = ()) -> set[str]:
    """The channels that are paused in the next life."""
    world = Paused(3, 0.1, PLAN)
    world.crash, world.again, world.named = crash, again, named
    result = world.run()
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])
    return world.found


def test_a_pause_that_was_answered_outlives_a_crash_at_that_moment() -> None:
    assert live(crash=True) == {"site"}


def test_a_stop_pauses_nothing_for_the_next_start() -> None:
    assert live(crash=False) == {"site"}


def test_a_channel_resumed_while_the_daemon_stops_is_resumed_and_no_other_paused() -> None:
    assert live(crash=False, again="resume", named=("site",)) == set()


def test_channels_paused_while_the_daemon_stops_are_paused() -> None:
    assert live(crash=False, again="pause", named=("eu", "outlet")) == {"eu", "outlet", "site"}
