"""TLS under both clients: a certificate must be trusted and name the host, or the channel was never reached."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
import trio

from daemon.domain.exchange import NoAnswer, Request, Response
from daemon.outbound.http import AddressPolicy

from .conftest import Open, Serve
from .hostile_server import Conversation
from .test_http_clients import always, closed_by_server, echo

x509 = pytest.importorskip("cryptography.x509", reason="cryptography makes the test certificates")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402  # after the check for it
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402


def certified(folder: Path, address: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context around one fresh self-signed certificate for `address`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_a_trusted_certificate_carries_requests(serve: Serve, open_client: Open, tmp_path: Path) -> None:
    tls, trust = certified(tmp_path, "127.0.0.1")
    server = await serve(echo, tls=tls)
    client = open_client(server, ssl_context=trust)
    for number in range(3):
        reply = await client.send(Request("PUT", server.url + "/x", body=b"%d" % number, timeout_s=2))
        assert isinstance(reply, Response)
        assert reply.body == b"%d" % number
    assert server.connections == 1


@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", False), ("127.0.0.9", True)])
async def test_a_certificate_that_proves_nothing_ends_before_the_request(
    serve: Serve, open_client: Open, tmp_path: Path, address: str, trusted: bool
) -> None:
    tls, trust = certified(tmp_path, address)
    server = await serve(echo, tls=tls)
    client = open_client(server, ssl_context=trust if trusted else None)
    reply = await client.send(Request("PUT", server.url, body=b"1", timeout_s=2))
    assert isinstance(reply, NoAnswer)
    assert not reply.reached
    assert "TLS with 127.0.0.1 failed" in reply.reason
    await closed_by_server(server)
    assert server.requests == []


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 400 This is plain http\r\n\r\n"])
async def test_a_server_that_does_not_speak_tls_was_not_reached(serve: Serve, open_client: Open, raw: bytes) -> None:
    async def plain(conversation: Conversation) -> None:
        await conversation.head_only()
        await conversation.send(raw)

    server = await serve(plain)
    client = open_client(policy=AddressPolicy({f"127.0.0.1:{server.port}"}, allow_private=True))
    reply = await client.send(Request("PUT", f"https://127.0.0.1:{server.port}/", body=b"1", timeout_s=2))
    assert isinstance(reply, NoAnswer)
    assert not reply.reached


async def test_a_handshake_that_stalls_was_not_reached(serve: Serve, open_client: Open) -> None:
    server = await serve(Conversation.stall)
    client = open_client(policy=AddressPolicy({f"127.0.0.1:{server.port}"}, allow_private=True))
    reply = await client.send(Request("PUT", f"https://127.0.0.1:{server.port}/", body=b"1", timeout_s=0.1))
    assert reply == NoAnswer("the deadline of 0.1 s passed while connecting", reached=False)


async def test_a_peer_that_stops_reading_cannot_hold_a_closing_connection(
    serve: Serve, open_client: Open, tmp_path: Path
) -> None:
    async def deaf(conversation: Conversation) -> None:
        await conversation.head_only()
        await conversation.stall()

    tls, trust = certified(tmp_path, "127.0.0.1")
    server = await serve(deaf, tls=tls)
    client = open_client(server, ssl_context=trust)
    with trio.fail_after(3):
        reply = await client.send(Request("PUT", server.url, body=bytes(8 << 20), timeout_s=0.1))
    assert isinstance(reply, NoAnswer)
    assert reply.reached


async def test_plain_tls_truncation_is_no_whole_answer(serve: Serve, open_client: Open, tmp_path: Path) -> None:
    tls, trust = certified(tmp_path, "127.0.0.1")
    server = await serve(always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=True), tls=tls)
    reply = await open_client(server, ssl_context=trust).send(Request("PUT", server.url, body=b"1", timeout_s=2))
    assert isinstance(reply, NoAnswer)
    assert reply.reached


async def test_a_record_behind_an_answer_never_becomes_the_next_answer(
    serve: Serve, open_client: Open, tmp_path: Path
) -> None:
    async def two_records(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            conversation.cork.holding = True
            await conversation.answer(200, b"ok")
            conversation.cork.holding = False
            await conversation.answer(200, b"evil")

    tls, trust = certified(tmp_path, "127.0.0.1")
    server = await serve(two_records, tls=tls)
    client = open_client(server, ssl_context=trust)
    for _ in range(3):
        reply = await client.send(Request("PUT", server.url, body=b"1", timeout_s=2))
        assert isinstance(reply, Response)
        assert reply.body == b"ok"
    assert server.connections == 3
