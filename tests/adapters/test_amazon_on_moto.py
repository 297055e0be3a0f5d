"""The whole daemon between Amazon, told through an SQS that we did not write, and a storefront; in real time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from adapters.sqs import HOLD_S
from daemon.domain.exchange import Reply, Request
from daemon.outbound.address import AddressPolicy
from daemon.outbound.http import HttpClient, open_http_client
from daemon.ports import HttpPort, HttpTarget
from tests.adapters.amazon_twin import AmazonTwin
from tests.adapters.test_amazon_twin import town
from tests.moto_queue import MotoQueue, moto_queue

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
"""A busy machine may be so slow; what is waited for comes within seconds."""


@pytest.fixture
def moto() -> Iterator[MotoQueue]:
    with moto_queue() as found:
        yield found


class NeverDeletes:
    """The daemon's own client, which is stuck from the first delete on."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    async def send(self, request: Request) -> Reply:
        if request.headers["x-amz-target"].endswith("DeleteMessageBatch"):
            await trio.sleep_forever()
        return await self.http.send(request)

    async def aclose(self) -> None:
        await self.http.aclose()


def opened(target: HttpTarget) -> HttpClient:
    """As the daemon opens one."""
    policy = AddressPolicy(target.hosts, allow_plain=target.allow_plain, allow_private=target.allow_private)
    return open_http_client("httpx", policy=policy, clock_us=lambda: time.time_ns() // 1_000)


def stuck(target: HttpTarget) -> HttpPort:
    return NeverDeletes(opened(target))


async def test_a_sale_told_by_it_shows_at_the_other_side_and_counts_once_over_a_kill(
    tmp_path: Path, moto: MotoQueue
) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7}, queue=moto)
    async with town(tmp_path, amazon, queue=moto.queue(), open_queue=stuck) as t:
        north = t.north
        await t.agree(PATIENCE_S, A=12, B=7)
        with trio.fail_after(PATIENCE_S):
            while not amazon.subscriptions:  # noqa: ASYNC110  # the twin rings no bell
                await trio.sleep(0.05)
        amazon.sell("A", 2)
        await t.agree(PATIENCE_S, A=10)
        assert moto.holds() == (0, 1)  # durable here, not deleted there
    moto.later(HOLD_S + 1)
    async with town(tmp_path, amazon, north, queue=moto.queue(), open_queue=opened) as t:
        amazon.sell("B", 1)
        with trio.fail_after(PATIENCE_S):
            while moto.holds() != (0, 0):  # noqa: ASYNC110  # it is another thread's
                await trio.sleep(0.05)
        await t.agree(PATIENCE_S, A=10, B=6)
        registry = t.daemon.parts.registry
        for sku, units in (("A", 2), ("B", 1)):
            state = registry.peek(sku)
            assert state is not None
            assert sum(line.now().taken for line in state.stock.lines.values()) == units
        assert t.events("alarm.raised") == []
