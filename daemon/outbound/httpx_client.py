"""The HTTP port on httpx: its transport and messages, over connections opened and closed by our own rules.

Only httpx's transport is used. Redirects, the cookie jar, netrc, proxies from the environment and the log line
with the whole URL all belong to `httpx.AsyncClient`, so here there is nothing to switch off.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx
from attrs import define

from daemon.domain.exchange import Response
from daemon.outbound.address import AddressPolicy
from daemon.outbound.bounded import Attempt, BoundedClient
from daemon.outbound.httpx_wire import CheckedTransport
from daemon.outbound.message import AnswerBody, ExchangeError, Outgoing, joined

POOL_PATIENCE_S = 1.0
"""The limiter leaves the pool always room, so a pool that makes us wait longer than this is broken."""

_TRACED = {
    "connection.connect_tcp.started": Attempt.connecting,
    "http11.send_request_headers.started": Attempt.sending,
    "http11.receive_response_headers.started": Attempt.awaiting,
    "http11.receive_response_headers.complete": Attempt.reading,
}


class OneBody(httpx.AsyncByteStream):
    """A request body in one piece. httpx's own is a generator, left suspended where a request is cancelled."""

    def __init__(self, body: bytes) -> None:
        self._pieces = [body] if body else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()


@define(eq=False)
class Pool:
    """One transport and how many requests are on it, so that a broken one is closed only once they are done."""

    transport: CheckedTransport
    in_use: int = 0


class HttpxClient(BoundedClient):
    """`HttpClient` on httpx.

    The limiter in front is not only a bound: httpcore's pool loses connections for good when requests are
    cancelled while they wait for one, and behind the limiter no request ever waits inside the pool. Should it
    still hold one up, the pool is replaced and requests in flight finish on the old one.
    """

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        max_connections: int,
        max_answer_bytes: int,
        clock_us: Callable[[], int],
        ssl_context: ssl.SSLContext,
    ) -> None:
        super().__init__(
            policy=policy, max_connections=max_connections, max_answer_bytes=max_answer_bytes, clock_us=clock_us
        )
        self._ssl_context = ssl_context
        self._pools: set[Pool] = set()
        self._pool = self._open_pool()

    def _open_pool(self) -> Pool:
        connections = int(self._limiter.total_tokens)
        pool = Pool(CheckedTransport(self._policy, self._ssl_context, connections))
        self._pools.add(pool)
        return pool

    async def aclose(self) -> None:
        self._closed = True
        for pool in list(self._pools):
            await pool.transport.aclose()

    async def _exchange(self, out: Outgoing, attempt: Attempt) -> Response:
        pool = self._pool
        pool.in_use += 1
        try:
            return await self._converse_on(pool, out, attempt)
        except httpx.PoolTimeout:
            if self._pool is pool:
                self._pool = self._open_pool()
                self._rebuilt += 1
            raise ExchangeError("the connection pool gave out no connection; it was replaced") from None
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            # Only its kind: the library's own texts may quote what was sent.
            raise ExchangeError(f"{type(exc).__name__} while {attempt.phase}") from None
        finally:
            pool.in_use -= 1
            if pool is not self._pool and not pool.in_use:
                self._pools.discard(pool)
                await pool.transport.aclose()

    async def _converse_on(self, pool: Pool, out: Outgoing, attempt: Attempt) -> Response:
        answer = await pool.transport.handle_async_request(_httpx_request(out, attempt))
        try:
            body = await self._bounded_body(answer)
        finally:
            # Judged before the pool may give the connection to somebody else.
            if _left_over(answer):
                answer.extensions["network_stream"].unfit = True
            await answer.aclose()
        return Response(
            status=answer.status_code,
            headers=joined(answer.headers.raw),
            body=body,
            sent_us=attempt.sent_us,
            received_us=self._clock_us(),
        )

    async def _bounded_body(self, answer: httpx.Response) -> bytes:
        failure: ExchangeError | None = None
        body = AnswerBody(answer.headers.get("content-encoding", ""), self._max_answer_bytes)
        try:
            async for chunk in cast(httpx.AsyncByteStream, answer.stream):
                try:
                    if failure is None:
                        body.feed(chunk)
                except ExchangeError as exc:
                    # Cut the wire and let httpcore's nested generators run into it: left suspended, they would be
                    # finished by the garbage collector, at some other time and in some other task.
                    failure = exc
                    await answer.extensions["network_stream"].aclose()
        except httpx.HTTPError:
            if failure is None:
                raise
        if failure is not None:
            raise failure
        return body.complete()


def _httpx_request(out: Outgoing, attempt: Attempt) -> httpx.Request:
    async def trace(event: str, _: object) -> None:
        if event in _TRACED:
            _TRACED[event](attempt)

    url = httpx.URL(out.url)
    framing = [("host", url.netloc.decode("ascii"))]
    if out.body or out.method != "GET":
        framing.append(("content-length", str(len(out.body))))
    request = httpx.Request(
        out.method,
        url,
        headers=[*framing, *out.headers],
        stream=OneBody(out.body),
        extensions={"trace": trace, "timeout": {"pool": min(POOL_PATIENCE_S, out.timeout_s / 2)}},
    )
    # The secret query goes into the request target alone, so that no URL object anywhere can show it.
    query = b"&".join(part for part in (url.query, out.secret_query.encode("ascii")) if part)
    request.extensions["target"] = url.raw_path.partition(b"?")[0] + (b"?" + query if query else b"")
    return request


def _left_over(answer: httpx.Response) -> bool:
    """Whether bytes came after the end of the answer: httpcore would take them for the next one's answer.

    h11 keeps them where only a private path leads; if that path ever moves, no connection is used twice.
    """
    try:
        return bool(answer.stream._httpcore_stream._stream._connection._h11_state.trailing_data[0])  # type: ignore[union-attr]
    except AttributeError:
        return True
