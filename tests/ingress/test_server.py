"""The listener over real loopback sockets: what it answers, what it refuses, what it never does."""

from __future__ import annotations

from tests.ingress.wire import request, serving, status


async def test_a_request_is_answered_and_the_connection_is_kept() -> None:
    async with serving() as running, await running.connect() as stream:
        for _ in range(3):
            await stream.send_all(request("POST", "/a%20b?x=1", "X-One: 1", body=b"hello"))
            answer = await stream.receive_some(65536)
            assert status(answer) == 200
            assert answer.endswith(b"\r\n\r\nPOST /a%20b hello")
            assert b"Content-Length: 17\r\n" in answer
            assert b"Connection" not in answer
    seen = running.handler.seen[0]
    assert (seen.target, seen.path, seen.query, seen.peer) == ("/a%20b?x=1", "/a%20b", "x=1", "127.0.0.1")
    assert seen.headers.get("X-ONE") == "1"
