"""Shopify's own library for Node verifies what our scheme takes for signed, refuses what it refuses, and signs what
it takes."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from adapters.shopify.inbound import SCHEME
from daemon.domain.channel import Delivery
from daemon.ingress.signature import check
from tests.adapters.oracles import cases
from tests.adapters.oracles.node import ask, in_base64
from tests.adapters.webhook_shops import base64_of

CASES = 300
ALTERED = ("nothing", "body", "signature", "secret", "no signature", "spelling")
SPOKEN = {
    "x-shopify-topic": "orders/create", "x-shopify-shop-domain": "demo.myshopify.com",
    "x-shopify-api-version": "2026-04", "x-shopify-webhook-id": "w-1",
}  # fmt: skip


def ours(secret: str, headers: dict[str, str], body: bytes) -> bool:
    return check(SCHEME, [secret], Delivery(headers, body), 0) == "ok"


def question(secret: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    return {"ask": "shopify.verifies", "secret": secret, "headers": headers, "body": in_base64(body)}


def spelled_otherwise(signature: str) -> str:
    """The same digest to a lenient decoder: its unused bits are others, so it is another text."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return signature[:-2] + letters[letters.index(signature[-2]) ^ 1] + "="


@pytest.mark.slow
def test_whatever_comes_the_library_and_we_say_the_same() -> None:
    rng = random.Random(1)
    tried = []
    for body in cases.bodies(rng, CASES):
        secret = cases.secret(rng)
        signature = base64_of(secret.encode(), body)
        for kind in ALTERED if len(body) < cases.LARGE // 2 else ("nothing", "body"):
            headers, sent, key = {**SPOKEN, "x-shopify-hmac-sha256": signature}, body, secret
            match kind:
                case "body":
                    sent = cases.altered(rng, body)
                case "signature":
                    digest = cases.flipped(rng, base64.b64decode(signature))
                    headers["x-shopify-hmac-sha256"] = base64.b64encode(digest).decode()
                case "secret":
                    key = secret + "x"
                case "no signature":
                    del headers["x-shopify-hmac-sha256"]
                case "spelling":
                    headers["x-shopify-hmac-sha256"] = spelled_otherwise(signature)
            tried.append((kind, key, headers, sent))
    said = ask([question(*each) for _, *each in tried])
    for (kind, *each), found in zip(tried, said, strict=True):
        assert found["valid"] is ours(*each) is (kind == "nothing"), (kind, each, found)


def test_what_the_library_signs_gets_in() -> None:
    rng = random.Random(2)
    tried = [(cases.secret(rng), body) for body in cases.bodies(rng, CASES)]
    said = ask([{"ask": "shopify.signs", "secret": secret, "body": in_base64(body)} for secret, body in tried])
    for (secret, body), found in zip(tried, said, strict=True):
        headers = {**SPOKEN, "x-shopify-hmac-sha256": found["signature"]}
        assert ours(secret, headers, body)
        assert not ours(secret, headers, body + b" ")


def test_an_empty_body_is_the_one_thing_on_which_we_differ() -> None:
    """The library takes no empty body. To us it is signed like any other, and then nothing that is understood: it is
    kept for a person, and no stock moves (see refusals and webhooks of the shared contract)."""
    headers = {**SPOKEN, "x-shopify-hmac-sha256": base64_of(b"s", b"")}
    (found,) = ask([question("s", headers, b"")])
    assert found == {"valid": False, "reason": "missing_body"}
    assert ours("s", headers, b"")
    assert not ours("t", headers, b"")
