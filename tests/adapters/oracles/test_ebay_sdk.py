"""eBay's own library for Node says of every notification what our scheme says, and answers challenges as we do."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import Any
from uuid import UUID

import pytest
from attrs import define
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters import PLATFORMS
from daemon.domain.channel import Delivery, Setup
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.signatures import PublicKeyScheme
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.signature import answer_challenge
from tests.adapters import contract
from tests.adapters.oracles import cases
from tests.adapters.oracles.node import ask, folder, in_base64

CASES = 150
ALTERED = ("nothing", "body", "signature", "another key", "unknown key", "no JSON")
SAYS = {204: True, 412: False, 500: False}
"""Signed · not signed · what it was given is none, or its key is not to be had."""


@pytest.fixture(autouse=True)
def there() -> None:
    """Told where it is still heard why a test is skipped."""
    folder()


@define
class Signer:
    """One of eBay's key pairs."""

    key_id: str
    private: ec.EllipticCurvePrivateKey

    def public(self) -> dict[str, str]:
        """As eBay's API tells it: a PEM without line breaks."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = self.private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
        return {"key": pem.replace("\n", ""), "algorithm": "ECDSA", "digest": "SHA1"}

    def sign(self, body: bytes) -> bytes:
        return self.private.sign(body, ec.ECDSA(hashes.SHA1()))


def signer(rng: random.Random) -> Signer:
    return Signer(str(UUID(int=rng.getrandbits(128))), ec.derive_private_key(rng.getrandbits(250), ec.SECP256R1()))


def header(key_id: str, signature: bytes) -> str:
    said = {"alg": "ecdsa", "kid": key_id, "signature": base64.b64encode(signature).decode(), "digest": "SHA1"}
    return base64.b64encode(json.dumps(said).encode()).decode()


def built() -> Any:
    return PLATFORMS["ebay"].build(contract.setup("ebay"))


async def ours(keys: dict[str, Any], spoken: str, body: bytes) -> bool:
    """What the daemon finds, where eBay's API answers with these keys."""
    scheme = built().scheme
    assert isinstance(scheme, PublicKeyScheme)

    async def api(exchange: Exchange[Any]) -> Any:
        try:
            request: Request = next(exchange)
            key = keys.get(request.url.rpartition("/")[2])
            exchange.send(Response(404 if key is None else 200, {}, json.dumps(key or {}).encode()))
        except StopIteration as done:
            return done.value
        raise AssertionError("it asked once more")

    return await PublicKeys(scheme, api).check(Delivery({"x-ebay-signature": spoken}, body)) == "ok"


def question(keys: dict[str, Any], spoken: str, body: bytes) -> dict[str, Any]:
    return {"ask": "ebay.verifies", "keys": keys, "header": spoken, "body": in_base64(body)}


def notification(rng: random.Random, place: int) -> bytes:
    """The library verifies what JavaScript writes of what it parsed, so that is how it is written. It goes on with
    two topics only; the signature is the same for all."""
    data = {"username": cases.text(rng, 20), "userId": f"u{place}", "more": cases.value(rng)}
    if place == 0:
        data["more"] = "語" * (cases.LARGE // 3)
    return cases.written(
        {
            "metadata": {"topic": "MARKETPLACE_ACCOUNT_DELETION", "schemaVersion": "1.0", "deprecated": False},
            "notification": {"notificationId": f"n-{place}", "publishAttemptCount": 1, "data": data},
        }
    )


@pytest.mark.slow
async def test_whatever_comes_the_library_and_we_say_the_same() -> None:
    rng = random.Random(3)
    tried = []
    for place in range(CASES):
        one, other, body = signer(rng), signer(rng), notification(rng, place)
        keys = {each.key_id: each.public() for each in (one, other)}
        right = one.sign(body)
        for kind in ALTERED:
            spoken, sent = header(one.key_id, right), body
            match kind:
                case "body":
                    sent = body.replace(b'"u', b'"v', 1)
                case "signature":
                    spoken = header(one.key_id, cases.flipped(rng, right))
                case "another key":
                    spoken = header(other.key_id, right)
                case "unknown key":
                    spoken = header(str(UUID(int=rng.getrandbits(128))), right)
                case "no JSON":
                    spoken = base64.b64encode(right).decode()
            tried.append((kind, keys, spoken, sent))
    said = ask([question(*each) for _, *each in tried])
    for (kind, *each), found in zip(tried, said, strict=True):
        assert SAYS[found["status"]] is (await ours(*each)) is (kind == "nothing"), (kind, each, found)


async def test_what_ebay_signed_verifies_with_both() -> None:
    """The library ships with messages that eBay's own key signed, and with one that it did not."""
    (vectors,) = ask([{"ask": "ebay.own_vectors"}])
    signed = [vectors[name] for name in vectors if isinstance(vectors[name], dict) and "signature" in vectors[name]]
    assert len(signed) >= 2
    tried = []
    for vector in signed:
        key_id = vector.get("public_key", vectors["VALID"]["public_key"])
        keys = {key_id: vector.get("response", vectors["VALID"]["response"])}
        tried.append((keys, vector["signature"], cases.written(vector["message"])))
    said = ask([question(*each) for each in tried])
    verdicts = [await ours(*each) for each in tried]
    assert [SAYS[found["status"]] for found in said] == verdicts
    assert set(verdicts) == {True, False}


def test_both_answer_every_challenge_alike() -> None:
    rng = random.Random(4)
    tried = []
    for place in range(CASES):
        token = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789_-", k=rng.randint(32, 80)))
        endpoint = f"https://sync.example.com/webhooks/shop-{place}{cases.text(rng, 5).encode().hex()}"
        tried.append((rng.randbytes(rng.randint(1, 40)).hex(), token, endpoint))
    said = ask([{"ask": "ebay.answers", "code": c, "token": t, "endpoint": e} for c, t, e in tried])
    usual = contract.setup("ebay")
    for (code, token, endpoint), found in zip(tried, said, strict=True):
        setup = Setup(usual.channel, usual.base_url, usual.options, usual.secrets, (token,))
        challenge = PLATFORMS["ebay"].build(setup).challenge
        assert challenge is not None
        answer = answer_challenge(challenge, f"challenge_code={code}", endpoint)
        assert answer is not None
        assert json.loads(answer) == {"challengeResponse": found["answer"]}
        assert len(found["answer"]) == hashlib.sha256().digest_size * 2
