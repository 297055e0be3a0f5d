"""Signatures by a platform's private key: its public keys are asked for once, kept, bounded, and never guessed."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
import trio
from attrs import define, field
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from trio.testing import MockClock

from daemon.domain.channel import Delivery
from daemon.domain.exchange import Exchange, NoAnswer
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import KeyedSignature, PublicKey, PublicKeyScheme
from daemon.ingress import public_keys
from daemon.ingress.public_keys import PublicKeys
from tests import specs

BODY = b'{"order":1}'
EC_KEY = ec.derive_private_key(12345, ec.SECP256R1())
OTHER = ec.derive_private_key(54321, ec.SECP256R1())


def public(key: Any, algorithm: Any = "ecdsa", digest: Any = "sha1") -> PublicKey:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(der, algorithm, digest)


def read(text: str) -> KeyedSignature | None:
    """`id:base64`, for these tests."""
    found = re.fullmatch(r"([a-z0-9]*):([A-Za-z0-9+/=]*)", text)
    return KeyedSignature(found[1], base64.b64decode(found[2])) if found else None


@define
class Platform:
    """Answers what it holds, after a while; counts how often it is asked."""

    keys: dict[str, Any] = field(factory=dict)
    takes_s: float = 0.1
    asked: list[str] = field(factory=list)

    def fetch(self, key_id: str) -> Exchange[Any]:
        self.asked.append(key_id)
        yield from ()
        return self.keys.get(key_id)

    async def ask(self, exchange: Exchange[Any]) -> Any:
        try:
            next(exchange)
        except StopIteration as done:
            await trio.sleep(self.takes_s)
            return done.value
        raise AssertionError("this platform asks nothing")

    def door(self) -> PublicKeys:
        return PublicKeys(PublicKeyScheme("X-Sig", read, self.fetch), self.ask)


def signed(body: bytes = BODY, key_id: str = "k1", key: Any = EC_KEY, digest: Any = None) -> Delivery:
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(body, padding.PKCS1v15(), digest or hashes.SHA256())
    else:
        signature = key.sign(body, ec.ECDSA(digest or hashes.SHA1()))
    return Delivery({"x-sig": f"{key_id}:{base64.b64encode(signature).decode()}"}, body)


async def test_what_the_private_key_signed_verifies_and_nothing_else(autojump_clock: MockClock) -> None:
    platform = Platform({"k1": public(EC_KEY), "k2": public(OTHER)})
    door = platform.door()
    good = signed()
    assert await door.check(good) == "ok"
    assert await door.check(Delivery(good.headers, BODY + b"\n")) == "wrong"
    assert await door.check(signed(key_id="k2")) == "wrong"  # by the other key
    assert await door.check(signed(digest=hashes.SHA256())) == "wrong"  # the key's digest rules
    assert await door.check(Delivery({}, BODY)) == "missing"
    for header in ("k1:", ":AAAA", "k1:AAAA", "nonsense", "k1:AAAA\nk1:AAAA", "a" * 200 + ":AAAA", "x" * 5_000):
        assert await door.check(Delivery({"x-sig": header}, BODY)) == "wrong", header
    assert platform.asked == ["k1", "k2"]


@pytest.mark.slow
async def test_rsa_keys_and_keys_that_are_not_what_they_are_said_to_be(autojump_clock: MockClock) -> None:
    strong, weak = rsa.generate_private_key(65_537, 2_048), rsa.generate_private_key(65_537, 1_024)
    platform = Platform(
        {
            "k1": public(strong, "rsa", "sha256"), "k2": public(weak, "rsa", "sha256"),
            "k3": public(strong, "ecdsa", "sha256"), "k4": PublicKey(b"no key", "rsa", "sha256"),
        }
    )  # fmt: skip
    door = platform.door()
    assert await door.check(signed(key=strong)) == "ok"
    assert await door.check(signed(BODY + b"x", "k1", strong)) == "ok"
    assert await door.check(Delivery(signed(key=strong).headers, b"other")) == "wrong"
    for key_id, key in (("k2", weak), ("k3", strong), ("k4", strong)):
        assert await door.check(signed(key_id=key_id, key=key)) == "busy"  # no verdict on the signature


async def test_a_key_is_asked_for_once_for_all_who_wait_and_again_after_an_hour(autojump_clock: MockClock) -> None:
    platform = Platform({"k1": public(EC_KEY)})
    door = platform.door()
    found: list[str] = []

    async def one() -> None:
        found.append(await door.check(signed()))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert found == ["ok"] * 20
    assert platform.asked == ["k1"]
    await trio.sleep(public_keys.LIFE_S + 1)
    platform.keys["k1"] = public(OTHER)
    assert await door.check(signed()) == "wrong"
    assert platform.asked == ["k1", "k1"]


@pytest.mark.parametrize(
    "trouble", [NoAnswer("time-out", reached=True), Failure(Outcome("permanent", "403")), Failure(Outcome("unknown"))]
)
async def test_a_key_that_cannot_be_had_is_no_verdict_and_shared_by_all_who_wait(
    trouble: Any, autojump_clock: MockClock
) -> None:
    platform = Platform({"k1": trouble})
    door = platform.door()
    found: list[str] = []

    async def one() -> None:
        found.append(await door.check(signed()))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert found == ["busy"] * 20
    assert platform.asked == ["k1"]
    platform.keys["k1"] = public(EC_KEY)
    assert await door.check(signed()) == "ok"


async def test_a_key_that_takes_too_long_is_not_waited_for(autojump_clock: MockClock) -> None:
    platform = Platform({"k1": public(EC_KEY)}, takes_s=60)
    began = trio.current_time()
    assert await platform.door().check(signed()) == "busy"
    assert trio.current_time() - began == pytest.approx(public_keys.FETCH_S)


async def test_strangers_ids_cost_so_many_fetches_a_minute_and_keep_no_known_key_out(
    autojump_clock: MockClock,
) -> None:
    platform = Platform({"k1": public(EC_KEY)})
    door = platform.door()
    assert await door.check(signed()) == "ok"
    answers = [await door.check(signed(key_id=f"x{number}")) for number in range(50)]
    assert answers[: public_keys.FETCHES_MAX - 1] == ["wrong"] * (public_keys.FETCHES_MAX - 1)  # there is no such key
    assert set(answers[public_keys.FETCHES_MAX - 1 :]) == {"busy"}
    assert len(platform.asked) == public_keys.FETCHES_MAX
    assert await door.check(signed()) == "ok"
    assert await door.check(signed(key_id="x0")) == "wrong"  # remembered as unknown
    await trio.sleep(public_keys.FETCHES_S + 1)
    platform.keys["k2"] = public(OTHER)
    assert await door.check(signed(key_id="k2", key=OTHER)) == "ok"


async def test_what_is_remembered_is_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_keys, "FETCHES_MAX", 10_000)
    platform = Platform({f"k{number}": public(EC_KEY) for number in range(100)}, takes_s=0)
    door = platform.door()
    for number in range(100):
        assert await door.check(signed(key_id=f"k{number}")) == "ok"
    for number in range(400):
        assert await door.check(signed(key_id=f"x{number}")) == "wrong"
    assert len(door._kept) == public_keys.KEYS_MAX
    assert len(door._unknown) == public_keys.UNKNOWN_MAX


# --- eBay's own -----------------------------------------------------------------------------------------------


def ebay_header(text: str) -> KeyedSignature | None:
    """`X-EBAY-SIGNATURE`: base64 of JSON (ebay.md §2.1)."""
    try:
        said = json.loads(base64.b64decode(text, validate=True))
        key_id, signature = said["kid"], base64.b64decode(said["signature"], validate=True)
    except (ValueError, KeyError, TypeError):
        return None
    return KeyedSignature(key_id, signature) if re.fullmatch(r"[0-9a-f-]{36}", key_id) else None


def ebay_key(answer: dict[str, str]) -> PublicKey:
    """The PEM has no line breaks, so it is none that a library reads (ebay.md §2.1)."""
    middle = answer["key"].removeprefix("-----BEGIN PUBLIC KEY-----").removesuffix("-----END PUBLIC KEY-----")
    return PublicKey(base64.b64decode(middle), "ecdsa", answer["digest"].lower())  # type: ignore[arg-type]  # one of them


async def ebay(header: str, body: bytes, answer: dict[str, str]) -> str:
    async def ask(_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return ebay_key(answer)

    def fetch(key_id: str) -> Exchange[Any]:
        yield from ()

    door = PublicKeys(PublicKeyScheme("X-EBAY-SIGNATURE", ebay_header, fetch), ask)
    return await door.check(Delivery({"x-ebay-signature": header}, body))


async def test_ebay_vectors() -> None:
    vector = specs.load("ebay/vectors.composed.json")["x_ebay_signature"]
    body, key = vector["body"].encode(), vector["public_key_response"]
    assert await ebay(vector["header_sha1"], body, key) == "ok"
    assert await ebay(vector["header_sha1"], body + b"\n", key) == "wrong"
    assert await ebay(vector["header_sha1"], body.replace(b'"quantity":2', b'"quantity":3'), key) == "wrong"
    assert await ebay(vector["header_sha256"], body, {**key, "digest": "SHA256"}) == "ok"
    assert await ebay(vector["header_sha256"], body, key) == "wrong"


@pytest.mark.parametrize(("case", "finding"), [("VALID", "ok"), ("SIGNATURE_MISMATCH", "wrong")])
async def test_ebay_sdk_vectors(case: str, finding: str) -> None:
    found = specs.load("ebay/sdk_test_data.json")[case]
    body = json.dumps(found["message"], separators=(",", ":")).encode()
    assert await ebay(found["signature"], body, found["response"]) == finding
