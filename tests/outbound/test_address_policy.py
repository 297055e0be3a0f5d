"""The address policy: what it refuses, and that both clients connect only to what it judged."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest
import trio

from daemon.domain.exchange import NoAnswer, Request, Response
from daemon.outbound.address import AddressPolicy, UnreachableError, connect

from .conftest import Open, Serve
from .test_http_clients import echo

SHOP = AddressPolicy({"Shop.example", "api.example:8443", "10.0.0.5", "[::1]", "::1"})


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.example/", "plain http"),
        ("ftp://shop.example/", "not an absolute https URL"),
        ("file:///etc/passwd", "not an absolute https URL"),
        ("/relative", "not an absolute https URL"),
        ("https:///path", "not an absolute https URL"),
        ("https://other.example/", "not a configured host"),
        ("https://shop.example.evil.example/", "not a configured host"),
        ("https://shop.example:8443/", "not a configured host"),
        ("https://api.example/", "not a configured host"),
        ("https://shop.example:0/", "not a configured host"),
        ("https://shop.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://shop.example@evil.example/", "holds credentials"),
        ("https://user:pw@shop.example/", "holds credentials"),
        ("https://evil.example\\@shop.example/", "a backslash"),
        ("https://shop.example/a b", "a blank"),
        ("https://shop.exam\nple/", "a control character"),
        ("https://10.0.0.5/", "not a public address"),
        ("https://[::1]/", "not a public address"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_sentence(url: str, why: str) -> None:
    refusal = SHOP.refusal(url)
    assert refusal is not None
    assert why in refusal
    assert "path" not in refusal


@pytest.mark.parametrize("url", ["https://shop.example/a?b", "https://SHOP.example:443", "https://api.example:8443/"])
def test_configured_hosts_are_allowed(url: str) -> None:
    assert SHOP.refusal(url) is None


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://up-1.cdn.example/a", True),
        ("https://a.b.CDN.example:443/a", True),
        ("https://cdn.example/a", False),
        ("https://evilcdn.example/a", False),
        ("https://cdn.example.evil.example/a", False),
        ("https://up-1.cdn.example:8443/a", False),
        ("http://up-1.cdn.example/a", False),
        ("https://shop.example/a", True),
    ],
)
def test_a_domain_stands_for_what_is_below_it_over_https_alone(url: str, allowed: bool) -> None:
    policy = AddressPolicy({"shop.example", ".CDN.example"}, allow_plain=True)
    assert (policy.refusal(url) is None) == allowed


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
        "ff02::1", "::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::a00:1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_need_permission(address: str) -> None:
    assert not SHOP.permits(ip_address(address))
    assert AddressPolicy({"x"}, allow_private=True).permits(ip_address(address))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses_need_none(address: str) -> None:
    assert SHOP.permits(ip_address(address))


class Names(trio.abc.HostnameResolver):
    """A resolver that answers from a list, one entry a question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_: Any, **__: Any) -> Any:
        self.asked.append(host)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.answers.pop(0)]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


def resolving_to(*answers: list[str]) -> Names:
    names = Names(*answers)
    trio.socket.set_custom_hostname_resolver(names)
    return names


async def test_only_public_addresses_of_a_mixed_answer_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(["10.0.0.1", "93.184.216.34", "127.0.0.1", "93.184.216.35"])
    tried: list[str] = []

    async def refuse(host: str, port: int) -> trio.SocketStream:
        tried.append(host)
        raise OSError(111, "Connection refused")

    monkeypatch.setattr(trio, "open_tcp_stream", refuse)
    with pytest.raises(UnreachableError, match="connection refused"):
        await connect(SHOP, "shop.example", 443)
    assert tried == ["93.184.216.34", "93.184.216.35"]


async def test_a_name_that_leads_to_a_private_address_reaches_nobody(serve: Serve, open_client: Open) -> None:
    server = await serve(echo)
    host = f"shop.example:{server.port}"
    client = open_client(policy=AddressPolicy({host}, allow_plain=True))
    resolving_to(["127.0.0.1"])
    reply = await client.send(Request("GET", f"http://{host}/", timeout_s=1))
    assert reply == NoAnswer("shop.example has no public address", reached=False)
    assert server.connections == 0


async def test_what_was_judged_is_what_is_connected_to(serve: Serve, open_client: Open) -> None:
    server = await serve(echo)
    host = f"shop.example:{server.port}"
    names = resolving_to(["127.0.0.1"], ["127.0.0.9"])
    client = open_client(policy=AddressPolicy({host}, allow_plain=True, allow_private=True))
    reply = await client.send(Request("GET", f"http://{host}/", timeout_s=1))
    assert isinstance(reply, Response)
    assert len(names.asked) == 1
    assert server.requests[0].header("host") == host


async def test_a_name_that_does_not_resolve_reached_nobody(open_client: Open) -> None:
    resolving_to()
    client = open_client(policy=SHOP)
    reply = await client.send(Request("GET", "https://shop.example/", timeout_s=1))
    assert reply == NoAnswer("the name shop.example did not resolve: Name or service not known", reached=False)


@pytest.mark.parametrize("url", ["https://127.0.0.1:{port}/", "http://127.0.0.1:{port}/", "http://localhost:{port}/"])
async def test_a_refused_url_connects_nowhere(serve: Serve, open_client: Open, url: str) -> None:
    server = await serve(echo)
    policy = AddressPolicy({f"127.0.0.1:{server.port}"})
    reply = await open_client(policy=policy).send(Request("GET", url.format(port=server.port), timeout_s=1))
    assert isinstance(reply, NoAnswer)
    assert not reply.reached
    assert server.connections == 0
