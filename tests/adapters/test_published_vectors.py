"""Every vector of a webhook's signature that there is, through the scheme of the very adapter a channel is given.

A vector file that nobody tries, or a part of one, fails here. A part that proves something else names the test that
tries it, or says why no adapter does such a thing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from adapters import PLATFORMS
from daemon.domain.channel import Adapter, Delivery, Setup
from daemon.domain.exchange import Exchange, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import PublicKeyScheme
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.signature import answer_challenge, check
from tests import specs
from tests.adapters import contract

URL = "https://sync.example.com/webhooks/shop"
TESTS = Path(__file__).parents[1]
Vector = Any


def setup(platform: str, *, options: Mapping[str, str] | None = None, secrets: Sequence[str] = ()) -> Setup:
    """The platform's usual setup, with these differences."""
    usual = contract.setup(platform)
    found = evolve(usual, options={**usual.options, **(options or {})})
    return evolve(found, webhook_secrets=tuple(secrets)) if secrets else found


async def finding(adapter: Adapter, delivery: Delivery, secrets: Sequence[str], now_us: int = 0) -> str:
    """What the daemon finds of the delivery."""
    assert not isinstance(adapter.scheme, PublicKeyScheme)
    return check(adapter.scheme, secrets, delivery, now_us, URL)


async def proves(adapter: Adapter, delivery: Delivery, secret: str, now_us: int = 0) -> None:
    """It verifies; with one byte altered, under another secret, or without its headers, it does not."""
    assert await finding(adapter, delivery, [secret], now_us) == "ok"
    for at in range(0, len(delivery.body), 9):
        body = delivery.body[:at] + bytes([delivery.body[at] ^ 1]) + delivery.body[at + 1 :]
        assert await finding(adapter, evolve(delivery, body=body), [secret], now_us) == "wrong"
    assert await finding(adapter, delivery, ["whsec_b3RoZXI="], now_us) == "wrong"
    assert await finding(adapter, evolve(delivery, headers={}), [secret], now_us) == "missing"


# --- the parts of the files -----------------------------------------------------------------------------------


async def shopify(vector: Vector) -> None:
    spoken = vector.get("headers", {"X-Shopify-Hmac-Sha256": vector["signature"]})
    headers = {name.lower(): value for name, value in spoken.items()}
    options = {"shop": headers.get("x-shopify-shop-domain", "demo-shop").partition(".")[0]}
    adapter = PLATFORMS["shopify"].build(setup("shopify", options=options))
    await proves(adapter, Delivery(headers, vector["body"].encode()), vector["key"])


async def woocommerce(vector: Vector) -> None:
    adapter, body = PLATFORMS["woocommerce"].build(setup("woocommerce")), vector["body"].encode()
    # The secret as it is configured: where a store escaped it, the key is what it was before (§2, "Signature").
    secret = vector.get("stored_secret") or vector["key"]
    await proves(adapter, Delivery({"x-wc-webhook-signature": vector["signature"]}, body), secret)
    if "effective_key" in vector:
        given = Delivery({"x-wc-webhook-signature": vector["signature"]}, body)
        assert await finding(adapter, given, [vector["effective_key"]]) == "ok"
        wrong = {"x-wc-webhook-signature": vector["wrong_signature_if_not_decoded"]}
        assert await finding(adapter, Delivery(wrong, body), [secret]) == "wrong"


async def bigcommerce(vector: Vector) -> None:
    built = setup("bigcommerce")
    headers = {
        "webhook-id": vector["webhook_id"], "webhook-timestamp": vector["webhook_timestamp"],
        "webhook-signature": vector["signature"], "x-onhand-key": built.secrets["webhook_key"],
    }  # fmt: skip
    given = Delivery(headers, vector["body"].encode())
    now_us = int(vector["webhook_timestamp"]) * SECOND_US
    await proves(PLATFORMS["bigcommerce"].build(built), given, vector["client_secret"], now_us)


async def etsy(vector: Vector) -> None:
    adapter = PLATFORMS["etsy"].build(setup("etsy"))
    now_us = int(vector["webhook_timestamp"]) * SECOND_US
    for form in ("webhook_signature_bare", "webhook_signature_v1"):
        headers = {
            "webhook-id": vector["webhook_id"], "webhook-timestamp": vector["webhook_timestamp"],
            "webhook-signature": vector[form],
        }  # fmt: skip
        await proves(adapter, Delivery(headers, vector["body"].encode()), vector["secret"], now_us)


async def tiktok_shop(vector: Vector) -> None:
    built = setup("tiktok_shop", options={"app_key": vector["app_key"]})
    given = Delivery({"authorization": vector["authorization"]}, vector["body"].encode())
    await proves(PLATFORMS["tiktok_shop"].build(built), given, vector["app_secret"])


async def walmart_hmac(vector: Vector) -> None:
    whole = specs.load("walmart/vectors.composed.json")
    for form in ("base64", "hex"):
        given = Delivery({"x-onhand-signature": vector[form]}, whole["body"].encode())
        await proves(PLATFORMS["walmart"].build(setup("walmart")), given, whole["client_secret"])


async def walmart_basic(vector: Vector) -> None:
    adapter = PLATFORMS["walmart"].build(setup("walmart", options={"webhook_auth": "basic"}))
    user, body = f"{vector['userName']}:{vector['password']}", specs.load("walmart/vectors.composed.json")["body"]
    for spoken in (vector["header_value_bare"], f"Basic {vector['header_value_bare']}"):
        given = Delivery({"authorization": spoken}, body.encode())
        assert await finding(adapter, given, [user]) == "ok"
        assert await finding(adapter, given, [f"{user}x"]) == "wrong"
        assert await finding(adapter, evolve(given, headers={}), [user]) == "missing"


async def ebay_found(header: str, body: bytes, key: Any) -> str:
    """What the daemon finds where eBay answers with this key."""
    scheme = PLATFORMS["ebay"].build(setup("ebay")).scheme
    assert isinstance(scheme, PublicKeyScheme)

    async def ask(exchange: Exchange[Any]) -> Any:
        value, _ = contract.converse(exchange, iter([Response(200, {}, json.dumps(key).encode())]))
        return value

    return await PublicKeys(scheme, ask).check(Delivery({"x-ebay-signature": header}, body))


async def ebay_signature(vector: Vector) -> None:
    body, key = vector["body"].encode(), vector["public_key_response"]
    assert len(body) == vector["body_length"]
    for header, digest in ((vector["header_sha1"], "SHA1"), (vector["header_sha256"], "SHA256")):
        assert await ebay_found(header, body, {**key, "digest": digest}) == "ok"
        for at in range(0, len(body), 29):
            altered = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            assert await ebay_found(header, altered, {**key, "digest": digest}) == "wrong"


async def ebay_challenge(vector: Vector) -> None:
    challenge = PLATFORMS["ebay"].build(setup("ebay", secrets=[vector["verificationToken"]])).challenge
    assert challenge is not None
    answer = answer_challenge(challenge, f"challenge_code={vector['challenge_code']}", vector["endpoint"])
    assert json.loads(answer or b"{}") == {"challengeResponse": vector["challengeResponse"]}


async def ebay_valid(vector: Vector) -> None:
    body = json.dumps(vector["message"], separators=(",", ":")).encode()
    assert await ebay_found(vector["signature"], body, vector["response"]) == "ok"


async def ebay_mismatch(vector: Vector) -> None:
    body = json.dumps(vector["message"], separators=(",", ":")).encode()
    assert await ebay_found(vector["signature"], body, vector["response"]) == "wrong"


Proof = Callable[[Vector], Awaitable[None]]
PROOFS: Mapping[str, Mapping[str, Proof]] = {
    "bigcommerce/signature_vectors.json": {"vectors": bigcommerce},
    "ebay/sdk_test_data.json": {"VALID": ebay_valid, "SIGNATURE_MISMATCH": ebay_mismatch},
    "ebay/vectors.composed.json": {"challenge": ebay_challenge, "x_ebay_signature": ebay_signature},
    "etsy/vectors.json": {"webhook": etsy},
    "shopify/signature_vectors.json": {"vectors": shopify},
    "tiktok_shop/vectors.json": {"webhook": tiktok_shop},
    "walmart/vectors.composed.json": {"auth_method_HMAC": walmart_hmac, "auth_method_BASIC_AUTH": walmart_basic},
    "woocommerce/signature_vectors.json": {"vectors": woocommerce},
}  # fmt: skip
ELSEWHERE: Mapping[tuple[str, str], str] = {
    ("tiktok_shop/vectors.json", "sign"): "requests that we sign: test_tiktok_shop.py",
    ("walmart/vectors.composed.json", "performance_webhook_signature"): "of seller performance, which says nothing of"
    " stock and is not subscribed (walmart.md §2.2); the form is tried in test_signature_forms.py",
    ("ebay/vectors.composed.json", "platform_notification"): "the old SOAP notifications, whose MD5 covers no content"
    " (ebay.md §2.2): no adapter takes them",
}  # fmt: skip
"""Parts that are not a webhook's signature as an adapter describes one: what they are."""
SHAPES = {"shopify/webhook_payloads_2026-07_relaxed.json", "tiktok_shop/facts.json"}
"""Names and types: nothing in them is signed."""
SCHEMA = frozenset({"paths", "$schema", "properties"})
"""A file that holds one of these at its top describes an API; every other holds examples, whatever it is called."""
REMARKS = frozenset({"note", "origin", "body", "body_sha256", "client_secret"})


def vector_files() -> list[str]:
    if not specs.ROOT.is_dir():
        specs.untested(f"{specs.ROOT} is missing")
    found = {path for path in specs.ROOT.glob("*/*.json") if not SCHEMA & set(json.loads(path.read_text("utf-8")))}
    return sorted(str(path.relative_to(specs.ROOT)) for path in found)


def test_every_vector_file_is_tried_and_every_part_of_it() -> None:
    files = vector_files()
    assert set(PROOFS) | SHAPES <= set(files)
    sources = {path: path.read_text("utf-8") for path in TESTS.rglob("*.py") if path != Path(__file__)}
    for name in files:
        platform = name.partition("/")[0]
        if platform in PLATFORMS and PLATFORMS[platform].sends_webhooks and name not in SHAPES:
            assert name in PROOFS, f"no test verifies {name} through the adapter's own scheme: add it to PROOFS"
            tried = {*PROOFS[name], *(part for file, part in ELSEWHERE if file == name)}
            untried = set(specs.load(name)) - tried - REMARKS
            assert not untried, f"{name}: nobody tries {sorted(untried)}; add them to PROOFS, or say why not"
        else:
            assert any(f'"{name}"' in source for source in sources.values()), f"no test names {name}"


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, parts in PROOFS.items() for part in parts])
async def test_a_published_vector_verifies_through_the_adapters_own_scheme(name: str, part: str) -> None:
    found = specs.load(name)[part]
    vectors = found if isinstance(found, list) else [found]
    assert vectors
    for vector in vectors:
        await PROOFS[name][part](vector)
