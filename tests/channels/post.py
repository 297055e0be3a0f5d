"""Webhooks on their way to the daemon: dropped, doubled, late, out of order; what is not taken comes again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import trio
from attrs import define, field

from tests.channels.stage import NAME
from tests.channels.weather import Weather

LATE_S = (5.0, 600.0)
OVERTAKEN_S = (0.5, 8.0)


@define(eq=False)
class PostOffice:
    """`ask` brings one webhook to the daemon: (path, body, headers) -> status, 0 where nobody answers.

    `taken` is told every body that was acknowledged."""

    rng: random.Random
    weather: Weather
    nursery: trio.Nursery
    ask: Callable[[str, bytes, dict[str, str]], Any]
    taken: Callable[[bytes], None]
    note: Callable[[str], None]
    retries_s: tuple[float, ...] = ()
    mute: bool = False
    statuses: dict[int, int] = field(factory=dict)
    on_the_way: int = 0

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send it on its way, or lose it."""
        del url
        if self.weather.hit("webhook dropped"):
            self._happened("webhook dropped")
            return
        delays_s = [self.rng.choice((0.01, 0.05, 0.2))]
        if self.weather.hit("webhook late"):
            self._happened("webhook late")
            delays_s = [self.rng.uniform(*LATE_S)]
        elif self.weather.hit("webhook overtaken"):
            self._happened("webhook overtaken")
            delays_s = [self.rng.uniform(*OVERTAKEN_S)]
        if self.weather.hit("webhook doubled"):
            self._happened("webhook doubled")
            delays_s.append(delays_s[0] + self.rng.choice((0.0, 0.3, 20.0)))
        for delay_s in delays_s:
            self.on_the_way += 1
            self.nursery.start_soon(self._deliver, delay_s, body, dict(headers))

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """As a twin that waits for the answer sends: lost and late ones count as taken there."""
        if self.weather.hit("webhook dropped"):
            self._happened("webhook dropped")
            return 200
        if any(self.weather.hit(kind) for kind in ("webhook late", "webhook overtaken", "webhook doubled")):
            self.post(url, body, headers)
            return 200
        return await self._bring(body, headers)

    async def _deliver(self, delay_s: float, body: bytes, headers: dict[str, str]) -> None:
        for wait_s in (delay_s, *self.retries_s):
            await trio.sleep(wait_s)
            if 200 <= await self._bring(body, headers) < 300:
                break
        self.on_the_way -= 1

    async def _bring(self, body: bytes, headers: dict[str, str]) -> int:
        status = int(await self.ask(f"/webhooks/{NAME}", body, headers))
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if 200 <= status < 300:
            self.taken(body)
        return status

    def _happened(self, what: str) -> None:
        self.weather.happened(what)
        self.note(what)
