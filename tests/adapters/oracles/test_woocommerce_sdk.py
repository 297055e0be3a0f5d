"""WooCommerce's own library for Node proves who asks as our adapter does: with OAuth 1.0a where there is no TLS, with
Basic or in the query where there is."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from adapters.woocommerce.auth import API, Store
from daemon.domain.exchange import Method, Request
from daemon.domain.instants import SECOND_US
from tests.adapters.oracles import cases
from tests.adapters.oracles.node import ask

CASES = 300
METHODS: Sequence[Method] = ("GET", "POST", "PUT", "DELETE")
PLACES = ("products", "products/12/variations/batch", "orders", "orders/4711/refunds", "webhooks/7")


def question(store: Store, method: str, endpoint: str, query: dict[str, str], **more: Any) -> dict[str, Any]:
    told = {"url": store.base_url, "key": store.key, "secret": store.secret, "in_query": store.way == "query"}
    return {**told, "method": method.lower(), "endpoint": endpoint, "params": query, "data": None, **more}


def asked(rng: random.Random, base_url: str, way: Any) -> tuple[Store, Method, str, dict[str, str]]:
    key, secret = f"ck_{rng.randbytes(20).hex()}", f"cs_{rng.randbytes(20).hex()}"
    query = {f"q{place}_{rng.choice('abc')}": cases.text(rng, 12) for place in range(rng.randrange(5))}
    return Store(base_url, key, secret, way), rng.choice(METHODS), rng.choice(PLACES), query


def built(store: Store, method: Method, endpoint: str, query: dict[str, str]) -> Request:
    return store._request(method, f"/{endpoint}", list(query.items()))


def sent(request: Request, now_s: int, nonce: str) -> Request:
    return request.sign(request, now_s * SECOND_US, nonce) if request.sign else request


@pytest.mark.slow
def test_what_the_library_signs_we_sign_alike() -> None:
    """Its parameters, with its nonce at its second, get its very signature from us, and no other request does."""
    rng = random.Random(5)
    tried = [asked(rng, "http://shop.example.com", "oauth") for _ in range(CASES)]
    said = ask([question(*each, ask="woo.sends") for each in tried])
    for (store, method, endpoint, query), found in zip(tried, said, strict=True):
        proof = found["params"]
        # It also says "oauth_version", which is signed like anything else and which we leave out (RFC 5849, 3.1).
        spoken = {**query, "oauth_version": proof["oauth_version"]}
        request = sent(built(store, method, endpoint, spoken), int(proof["oauth_timestamp"]), proof["oauth_nonce"])
        assert urlsplit(found["url"]).path == urlsplit(request.url).path == f"{API}/{endpoint}"
        assert {**spoken, **request.secret_query} == {name: str(value) for name, value in proof.items()}
        other = sent(built(store, method, endpoint, {**spoken, "x": "1"}), int(proof["oauth_timestamp"]), "n")
        assert other.secret_query["oauth_signature"] != proof["oauth_signature"]


@pytest.mark.slow
def test_what_we_sign_the_library_signs_alike() -> None:
    rng = random.Random(6)
    tried = []
    for _ in range(CASES):
        store, method, endpoint, query = asked(rng, "http://shop.example.com/sub/folder", "oauth")
        nonce, now_s = rng.randbytes(16).hex(), rng.randrange(1_700_000_000, 1_900_000_000)
        request = sent(built(store, method, endpoint, query), now_s, nonce)
        proof = {name: value for name, value in request.secret_query.items() if name != "oauth_signature"}
        tried.append((request, question(store, method, endpoint, query, signed_url=request.url, proof=proof)))
        # Whatever part of it is another, the signature is.
        wrong = {**proof, rng.choice(sorted(proof)): "another"}
        tried.append((None, question(store, method, endpoint, query, signed_url=request.url, proof=wrong)))
    said = ask([{"ask": "woo.signs", **each} for _, each in tried])
    for place in range(0, len(tried), 2):
        request = tried[place][0]
        assert request is not None
        assert request.secret_query["oauth_signature"] == said[place]["signature"]
        assert request.secret_query["oauth_signature"] != said[place + 1]["signature"]


@pytest.mark.parametrize("way", ["basic", "query"])
def test_over_tls_both_send_the_same(way: str) -> None:
    rng = random.Random(7)
    tried = [asked(rng, "https://shop.example.com", way) for _ in range(100)]
    said = ask([question(*each, ask="woo.sends") for each in tried])
    for (store, method, endpoint, query), found in zip(tried, said, strict=True):
        request = built(store, method, endpoint, query)
        assert found["url"] == request.url.partition("?")[0]
        spoken = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        assert found["params"] == {**spoken, **request.secret_query}
        auth = found["auth"]
        if way == "query":
            assert (auth, request.secret_headers) == (None, {})
        else:
            basic = base64.b64encode(f"{auth['username']}:{auth['password']}".encode()).decode()
            assert request.secret_headers == {"authorization": f"Basic {basic}"}


def test_our_query_is_read_back_as_it_was() -> None:
    """What was signed is what is there: the URL as it goes out, the proof behind it."""
    rng = random.Random(8)
    for _ in range(100):
        store, method, endpoint, query = asked(rng, "http://shop.example.com", "oauth")
        request = sent(built(store, method, endpoint, query), 1_800_000_000, "nonce")
        whole = f"{request.url}{'&' if '?' in request.url else '?'}{urlencode(request.secret_query)}"
        read = dict(parse_qsl(urlsplit(whole).query, keep_blank_values=True))
        assert read == {**query, **request.secret_query}
