"""A storefront over real sockets: an HTTP server on loopback, and webhooks sent by an HTTP client of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from attrs import frozen

from adapters.storefront import Hook, Storefront, StoreReply
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.ingress.server import HttpRequest, HttpResponse, HttpServer, Limits, RequestHead
from daemon.outbound.http import AddressPolicy, HttpClient
from daemon.theatre.store_host import PATIENCE_S, StoreHost

MAX_BODY_BYTES: Final = 1 << 20
CUT_HEADER: Final = "X-Sandbox-Cut"
"""Marks an answer of which not a byte may leave: the connection is closed in its place."""
_CUT_MARK: Final = f"\r\n{CUT_HEADER}: ".encode()


async def serve_storefront(
    store: Storefront,
    listeners: Sequence[trio.abc.Listener[Any]],
    webhook_url: str,
    http: HttpClient,
    now_us: Callable[[], int],
    *,
    on_error: Callable[[Exception], None],
    task_status: trio.TaskStatus[StoreHost] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `store` until cancelled; `started` gives its host once calls are taken.

    Webhooks go to `webhook_url` through `http`, whose policy must allow it; with "" none are sent. The store's
    calls are answered on the clock `now_us` (µs since 1970) plus the store's own offset.
    """
    host = StoreHost(store, now_us)
    server = HttpServer(
        StoreHandler(host),
        Limits(max_body_bytes=MAX_BODY_BYTES, idle_timeout_s=60.0),
        on_error=on_error,
        wall_clock=lambda: store.own_us(now_us()) / SECOND_US,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run, WebhookSender(webhook_url, http) if webhook_url else _nowhere)
        await nursery.start(server.serve, [CuttingListener(listener) for listener in listeners])
        task_status.started(host)


def webhook_policy(url: str) -> AddressPolicy:
    """The address policy under which webhooks go to `url`, on loopback and without TLS as well."""
    return AddressPolicy(frozenset({urlsplit(url).netloc}), allow_plain=True, allow_private=True)


@frozen
class WebhookSender:
    """Sends webhooks to one URL, or where they were subscribed. Any trouble on the way is no answer; a place that the
    policy of `http` does not allow is never reached."""

    url: str
    http: HttpClient

    async def __call__(self, hook: Hook) -> int | None:
        reply = await self.http.send(
            Request("POST", hook.url or self.url, hook.headers, hook.body, timeout_s=PATIENCE_S)
        )
        return reply.status if isinstance(reply, Response) else None


async def _nowhere(hook: Hook) -> int | None:  # noqa: ARG001  # nobody listens
    await trio.lowlevel.checkpoint()
    return 204


@frozen
class StoreHandler:
    """The storefront as the HTTP server knows it."""

    host: StoreHost

    def admit(self, head: RequestHead) -> HttpResponse | int:  # noqa: ARG002  # the store itself judges its calls
        return MAX_BODY_BYTES

    async def respond(self, request: HttpRequest) -> HttpResponse:
        target = f"{request.path}?{request.query}" if request.query else request.path
        reply = self.host.handle(request.method, target, request.body)
        await trio.sleep(reply.delay_s)
        return answer_of(reply)


def answer_of(reply: StoreReply) -> HttpResponse:
    """The reply for the HTTP server; one that is to be dropped carries the mark."""
    headers = (*reply.headers, (CUT_HEADER, "1")) if reply.drop else reply.headers
    return HttpResponse(reply.status, reply.body, headers, content_type="application/json")


class CuttingListener(trio.abc.Listener["CuttingStream"]):
    """A listener whose connections die where an answer is marked to be cut."""

    def __init__(self, listener: trio.abc.Listener[Any]) -> None:
        self._listener = listener

    async def accept(self) -> CuttingStream:
        return CuttingStream(await self._listener.accept())

    async def aclose(self) -> None:
        await self._listener.aclose()


class CuttingStream(trio.abc.Stream):
    """A connection that closes instead of sending a marked answer: the peer sees it end without a word."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if _CUT_MARK in bytes(data[:2048]):
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("this answer is to be lost")
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()
