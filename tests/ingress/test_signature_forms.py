"""Every form of signature: the computed vectors of real platforms verify, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.channel import Delivery
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import (
    AllOf,
    Challenge,
    Notice,
    Scheme,
    SharedSecret,
    SignatureScheme,
    names_url,
    template,
    unusable,
)
from daemon.ingress.signature import SIGNATURES_MAX, answer_challenge, check, header_map
from tests import specs

NOW_S = 1_700_000_000
NOW_US = NOW_S * SECOND_US
BODY = b'{"id":1,"who":{"shop":"a"}}'
URL = "https://sync.example.com/webhooks/shop"

STANDARD = SignatureScheme(
    "webhook-signature", "{header:webhook-id}.{timestamp}.{body}", timestamp_header="webhook-timestamp",
    tolerance_s=300, secret_key="whsec", split=" ", pattern="v1,(.+)",
)  # fmt: skip
ETSY = evolve(STANDARD, pattern="(?:v1,)?([^,]+)")
BIGCOMMERCE = evolve(STANDARD, secret_key="utf8")
TIKTOK = SignatureScheme("Authorization", "{app_key}{body}", encoding="hex", app_key="68xu9ks5p4i8")
WALMART = SignatureScheme("X-Sync-Signature", encoding="either")
SHOPIFY = SignatureScheme("X-Shopify-Hmac-Sha256")


def scheme_of(shape: Mapping[str, Any], app_key: str) -> Scheme:
    """A setting of the survey of the next channels, in our own terms."""
    if shape["scheme"] == "shared-secret":
        return SharedSecret(shape["header"])
    pattern = shape.get("extract", "v1,(.+)" if shape.get("versioned") else "")
    return SignatureScheme(
        shape["header"], shape["message"], encoding=shape["out"], secret_key=shape.get("key", "utf8"),
        timestamp_header=shape.get("ts_header", ""), tolerance_s=shape.get("window_s"), split=shape.get("split", ""),
        pattern=pattern, stamp_unit=shape.get("ts_unit", "s"), app_key=app_key,
    )  # fmt: skip


def altered(body: bytes) -> list[bytes]:
    return [body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] for at in range(0, len(body), 7)] + [b"", body + b" "]


SETTINGS = [
    "clover", "ecwid", "lazada", "lightspeed_x", "shopee", "shopify", "shopware", "spree", "square", "squarespace",
    "standard_webhooks", "tiktok_shop", "webflow", "woocommerce",
]  # fmt: skip


def test_every_setting_of_the_survey_is_tested() -> None:
    assert sorted(specs.load("next/signature_shapes.json")["schemes"]) == SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_survey_is_data_alone(name: str) -> None:
    setting = specs.load("next/signature_shapes.json")["schemes"][name]
    vector = setting["vector"]
    scheme: Any = scheme_of(setting["shape"], vector["app_key"])
    body, secrets = vector["body"].encode(), ["another", vector["secret"]]
    delivery = Delivery(vector["headers"], body)

    def found(each: Delivery, secrets: list[str] = secrets, now_us: int = NOW_US, url: str = vector["url"]) -> str:
        return check(scheme, secrets, each, now_us, url)

    assert found(delivery) == "ok"
    assert found(delivery, ["another"]) == "wrong"
    assert found(evolve(delivery, headers={})) == "missing"
    doubled = header_map([*vector["headers"].items(), *vector["headers"].items()])
    assert found(evolve(delivery, headers=doubled)) == "wrong"
    if isinstance(scheme, SignatureScheme):
        covered = body.replace(b"e-1", b"e-2")  # a field of the body, where only fields are covered
        assert found(evolve(delivery, body=covered)) == "wrong"
        assert found(evolve(delivery, body=b"")) == "wrong"
        if "{body}" in scheme.message:
            assert {found(evolve(delivery, body=each)) for each in altered(body)} == {"wrong"}
        if scheme.tolerance_s:
            assert found(delivery, now_us=NOW_US + 301 * SECOND_US) == "stale"
        if names_url(scheme):
            assert found(delivery, url="https://sync.example.com/hook/other") == "wrong"
            assert found(delivery, url="") == "wrong"


# --- the eight channels' own vectors ------------------------------------------------------------------------


def test_shopify_vectors() -> None:
    for vector in specs.load("shopify/signature_vectors.json")["vectors"]:
        delivery = Delivery({"x-shopify-hmac-sha256": vector["signature"]}, vector["body"].encode())
        assert check(SHOPIFY, [vector["key"]], delivery, 0) == "ok"
        assert check(SHOPIFY, [vector["key"]], evolve(delivery, body=delivery.body + b"\n"), 0) == "wrong"


@pytest.mark.parametrize("form", ["webhook_signature_bare", "webhook_signature_v1"])
def test_etsy_vectors(form: str) -> None:
    for vector in specs.load("etsy/vectors.json")["webhook"]:
        headers = {
            "webhook-id": vector["webhook_id"], "webhook-timestamp": vector["webhook_timestamp"],
            "webhook-signature": vector[form],
        }  # fmt: skip
        delivery = Delivery(headers, vector["body"].encode())
        assert check(ETSY, [vector["secret"]], delivery, NOW_US) == "ok"
        other = {**headers, "webhook-signature": f"v2,{vector['webhook_signature_bare']}"}
        assert check(ETSY, [vector["secret"]], evolve(delivery, headers=other), NOW_US) == "wrong"


def test_bigcommerce_vectors() -> None:
    for vector in specs.load("bigcommerce/signature_vectors.json")["vectors"]:
        headers = {
            "webhook-id": vector["webhook_id"], "webhook-timestamp": vector["webhook_timestamp"],
            "webhook-signature": vector["signature"],
        }  # fmt: skip
        now_us = int(vector["webhook_timestamp"]) * SECOND_US
        delivery = Delivery(headers, vector["body"].encode())
        assert check(BIGCOMMERCE, [vector["client_secret"]], delivery, now_us) == "ok"
        assert check(STANDARD, [vector["standardwebhooks_secret"]], delivery, now_us) == "ok"
        assert check(BIGCOMMERCE, [vector["client_secret"]], delivery, now_us + 301 * SECOND_US) == "stale"


def test_tiktok_vectors() -> None:
    for vector in specs.load("tiktok_shop/vectors.json")["webhook"]:
        scheme = evolve(TIKTOK, app_key=vector["app_key"])
        delivery = Delivery({"authorization": vector["authorization"]}, vector["body"].encode())
        assert check(scheme, [vector["app_secret"]], delivery, 0) == "ok"
        assert check(evolve(scheme, app_key="68xu9ks5p4i9"), [vector["app_secret"]], delivery, 0) == "wrong"
        upper = {"authorization": vector["authorization"].upper()}
        assert check(scheme, [vector["app_secret"]], evolve(delivery, headers=upper), 0) == "wrong"


def test_walmart_vectors() -> None:
    vectors = specs.load("walmart/vectors.composed.json")
    secret, body = vectors["client_secret"], vectors["body"].encode()
    for form in ("base64", "hex"):
        delivery = Delivery({"x-sync-signature": vectors["auth_method_HMAC"][form]}, body)
        assert check(WALMART, [secret], delivery, 0) == "ok"
        assert check(WALMART, [secret], evolve(delivery, body=body + b" "), 0) == "wrong"
    basic = vectors["auth_method_BASIC_AUTH"]
    user = f"{basic['userName']}:{basic['password']}"
    for spoken in (basic["header_value_bare"], f"Basic {basic['header_value_bare']}"):
        delivery = Delivery({"authorization": spoken}, body)
        assert check(SharedSecret("Authorization", "basic"), [user], delivery, 0) == "ok"
        assert check(SharedSecret("Authorization", "basic"), [user + "x"], delivery, 0) == "wrong"
    performance = vectors["performance_webhook_signature"]
    scheme = SignatureScheme(
        "WM_SEC.SIGNATURE", "POST\n{target}\n{timestamp}\n{body_sha256}", timestamp_header="WM_SEC.TIMESTAMP"
    )
    headers = {
        "wm_sec.signature": performance["WM_SEC.SIGNATURE"],
        "wm_sec.timestamp": performance["WM_SEC.TIMESTAMP"],
    }
    url = "https://sync.example.com" + performance["path_and_query"]
    assert check(scheme, [secret], Delivery(headers, body), 0, url) == "ok"
    assert check(scheme, [secret], Delivery(headers, body), 0, url + "x") == "wrong"


def test_ebay_challenge_vector() -> None:
    vector = specs.load("ebay/vectors.composed.json")["challenge"]
    challenge = Challenge("challenge_code", "challengeResponse", vector["verificationToken"])
    answer = answer_challenge(challenge, f"challenge_code={vector['challenge_code']}", vector["endpoint"])
    assert answer is not None
    assert json.loads(answer) == {"challengeResponse": vector["challengeResponse"]}


# --- composed: what each part of the description means ------------------------------------------------------


def hashed(message: bytes, secret: bytes = b"s", algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret, message, algorithm)


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["base64", "hex", "HEX"])
def test_hashes_and_their_spellings(algorithm: Any, encoding: Any) -> None:
    digest = hashed(BODY, algorithm=algorithm)
    spelled = {"base64": b64(digest), "hex": digest.hex(), "HEX": digest.hex().upper()}
    for name, text in spelled.items():
        scheme = SignatureScheme("sig", algorithm=algorithm, encoding=encoding)
        assert check(scheme, ["s"], Delivery({"sig": text}, BODY), 0) == ("ok" if name == encoding else "wrong")


@pytest.mark.parametrize(
    ("coding", "secret", "key"),
    [
        ("utf8", "é", "é".encode()),
        ("hex", "00ff", b"\x00\xff"),
        ("base64", "AP8=", b"\x00\xff"),
        ("whsec", "whsec_AP8=", b"\x00\xff"),
        ("whsec", "AP8=", b"\x00\xff"),
    ],
)
def test_codings_of_keys(coding: Any, secret: str, key: bytes) -> None:
    scheme = SignatureScheme("sig", encoding="hex", secret_key=coding)
    assert check(scheme, [secret], Delivery({"sig": hashed(BODY, key).hex()}, BODY), 0) == "ok"
    assert unusable(scheme, secret) == ""


@pytest.mark.parametrize(
    ("coding", "secret"), [("hex", "zz"), ("base64", "???"), ("whsec", "whsec_?"), ("whsec", "ü")]
)
def test_a_secret_that_is_no_key_verifies_nothing_and_says_why(coding: Any, secret: str) -> None:
    scheme = SignatureScheme("sig", encoding="hex", secret_key=coding)
    for key in (b"", secret.encode()):
        assert check(scheme, [secret], Delivery({"sig": hashed(BODY, key).hex()}, BODY), 0) == "wrong"
    assert "platform writes its secrets" in unusable(scheme, secret)
    assert secret not in unusable(scheme, secret)


def test_an_empty_key_is_no_key() -> None:
    scheme = SignatureScheme("sig", encoding="hex", secret_key="whsec")
    assert check(scheme, ["whsec_"], Delivery({"sig": hashed(BODY, b"").hex()}, BODY), 0) == "wrong"
    assert unusable(scheme, "whsec_") == "it holds no key"
    assert "user:password" in unusable(SharedSecret("authorization", "basic"), "no colon")
    assert unusable(AllOf((scheme,)), "whsec_") == "it holds no key"
    assert unusable(Notice(), "anything") == ""


@pytest.mark.parametrize("message", ["{body", "{nothing}", "{header:}", "{json:}", "{}", ("{Body}",)])
def test_a_template_that_nobody_can_fill_is_refused_where_it_is_written(message: Any) -> None:
    if message == "{body":
        assert template(message) == ("{body",)  # no placeholder, so it is itself
        return
    with pytest.raises(ValueError, match="stands for nothing"):
        SignatureScheme("sig", message)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{json:id}", b"1"),
        ("{json:who.shop}", b"a"),
        ("{json:id}:{json:who.shop}:{body}", b"1:a:" + BODY),
        ("{header:X-A}{header:x-b}", b"1\xe9"),
        ("{url}|{target}", f"{URL}?a=b|/webhooks/shop?a=b".encode()),
        ("{body_sha256}", hashlib.sha256(BODY).hexdigest().encode()),
        ("v0:{timestamp}:", b"v0:17:"),
    ],
)
def test_parts_of_a_message(message: str, said: bytes) -> None:
    scheme = SignatureScheme("sig", message, encoding="hex", timestamp_header="ts")
    headers = {"x-a": "1", "x-b": "\xe9", "ts": "17", "sig": hashed(said).hex()}
    assert check(scheme, ["s"], Delivery(headers, BODY), 0, f"{URL}?a=b") == "ok"


@pytest.mark.parametrize(
    "body", [b'{"id":1,"id":2}', b'{"id":1.5}', b'{"id":true}', b'{"id":null}', b'{"id":[1]}', b"{}", b"[]", b"no",
             b"9" * 5_000, b'{"id":' + b"9" * 5_000 + b"}"],
)  # fmt: skip
def test_a_field_that_is_missing_or_ambiguous_verifies_as_nothing(body: bytes) -> None:
    scheme = SignatureScheme("sig", "{json:id}", encoding="hex")
    for said in (b"", b"1", b"2", b"1.5", b"true", b"True", b"null", b"None", b"[1]"):
        assert check(scheme, ["s"], Delivery({"sig": hashed(said).hex()}, body), 0) == "wrong"


def test_a_header_of_the_message_that_is_missing_or_doubled_verifies_as_nothing() -> None:
    scheme = SignatureScheme("sig", "{header:x-id}.{body}", encoding="hex")
    signature = ("sig", hashed(b"1." + BODY).hex())
    assert check(scheme, ["s"], Delivery(header_map([("x-id", "1"), signature]), BODY), 0) == "ok"
    twice = header_map([("x-id", "1"), ("x-id", "1"), signature])
    assert check(scheme, ["s"], Delivery(twice, BODY), 0) == "wrong"
    bare = ("sig", hashed(b"." + BODY).hex())
    assert check(scheme, ["s"], Delivery(header_map([bare]), BODY), 0) == "wrong"


def standard(*signatures: str, stamp: str = str(NOW_S)) -> Delivery:
    return Delivery({"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}, BODY)


KEY = base64.b64encode(b"0123456789abcdef").decode()
GOOD = b64(hashed(f"m.{NOW_S}.".encode() + BODY, b"0123456789abcdef"))


@pytest.mark.parametrize(
    ("signatures", "finding"),
    [
        ([f"v1,{GOOD}"], "ok"),
        (["v1,AAAA", f"v1,{GOOD}"], "ok"),
        (["v1a,AAAA", f"v1,{GOOD}", "v2,x"], "ok"),
        ([f"v2,{GOOD}"], "wrong"),
        ([GOOD], "wrong"),
        ([f"v1,{GOOD[:-1]}"], "wrong"),
        ([f"v1,v1,{GOOD}"], "wrong"),
        (["v1,"], "wrong"),
        (["v1,AAAA"] * (SIGNATURES_MAX - 1) + [f"v1,{GOOD}"], "ok"),
        (["v1,AAAA"] * SIGNATURES_MAX + [f"v1,{GOOD}"], "wrong"),
    ],
)
def test_several_signatures_in_one_header(signatures: list[str], finding: str) -> None:
    assert check(STANDARD, [f"whsec_{KEY}"], standard(*signatures), NOW_US) == finding


def test_several_signatures_over_several_headers_are_not_read() -> None:
    pairs = [("webhook-id", "m"), ("webhook-timestamp", str(NOW_S)), ("webhook-signature", "v1,AAAA"),
             ("webhook-signature", f"v1,{GOOD}")]  # fmt: skip
    assert check(STANDARD, [KEY], Delivery(header_map(pairs), BODY), NOW_US) == "wrong"


@pytest.mark.parametrize(("unit", "stamp"), [("s", "1700000000"), ("ms", "1700000000000"), ("ms", "1700000000000.5")])
def test_stamps_in_seconds_and_milliseconds(unit: Any, stamp: str) -> None:
    scheme = SignatureScheme(
        "sig", "{timestamp}{body}", encoding="hex", timestamp_header="ts", tolerance_s=60, stamp_unit=unit
    )
    delivery = Delivery({"ts": stamp, "sig": hashed(stamp.encode() + BODY).hex()}, BODY)
    assert check(scheme, ["s"], delivery, NOW_US + 59 * SECOND_US) == "ok"
    assert check(scheme, ["s"], delivery, NOW_US + 61 * SECOND_US) == "stale"
    assert check(scheme, ["s"], delivery, NOW_US - 61 * SECOND_US) == "stale"


# --- secrets in headers, notices, several together ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "finding"), [("key-2", "ok"), ("key-1", "ok"), ("key-3", "wrong"), ("", "missing"), ("key-", "wrong"),
                           ("key-2\nkey-2", "wrong"), ("x" * 2_000, "wrong"), ("ké", "wrong")],
)  # fmt: skip
def test_a_secret_in_a_header(given: str, finding: str) -> None:
    delivery = Delivery({"x-key": given} if given else {}, BODY)
    assert check(SharedSecret("X-Key"), ["key-1", "key-2"], delivery, 0) == finding
    assert check(SharedSecret("X-Key"), [""], Delivery({"x-key": " "}, BODY), 0) == "wrong"


@pytest.mark.parametrize(
    ("given", "finding"),
    [("Basic dTpw", "ok"), ("basic dTpw", "ok"), ("dTpw", "ok"), ("Bearer dTpw", "wrong"), ("Basic dTpx", "wrong"),
     ("Basic", "wrong"), ("Basic  dTpw", "wrong"), ("u:p", "wrong")],
)  # fmt: skip
def test_a_user_and_a_password_in_a_header(given: str, finding: str) -> None:
    delivery = Delivery({"authorization": given}, BODY)
    assert check(SharedSecret("Authorization", "basic"), ["u:p"], delivery, 0) == finding


def test_a_prefix_before_a_shared_secret() -> None:
    scheme = SharedSecret("authorization", prefix="Token ")
    assert check(scheme, ["t"], Delivery({"authorization": "Token t"}, BODY), 0) == "ok"
    assert check(scheme, ["t"], Delivery({"authorization": "t"}, BODY), 0) == "wrong"


@pytest.mark.parametrize(
    ("query", "finding"),
    [("key=s1", "ok"), ("a=b&key=s1", "ok"), ("key=s2", "wrong"), ("", "missing"), ("key=", "missing"),
     ("key=s1&key=s1", "missing"), ("KEY=s1", "missing"), ("key=" + "s" * 600, "missing"),
     ("&".join(["a=b"] * 50) + "&key=s1", "missing")],
)  # fmt: skip
def test_a_notice_needs_the_secret_of_its_address(query: str, finding: str) -> None:
    assert check(Notice(), ["s0", "s1"], Delivery({}, BODY, query), 0) == finding


def test_all_of_several_must_verify() -> None:
    scheme = AllOf((BIGCOMMERCE, SharedSecret("x-key", value="static")))
    signed = b64(hashed(f"m.{NOW_S}.".encode() + BODY))
    both = evolve(standard(f"v1,{signed}"), headers={**standard(f"v1,{signed}").headers, "x-key": "static"})
    assert check(scheme, ["s"], both, NOW_US) == "ok"
    assert check(scheme, ["s"], standard(f"v1,{signed}"), NOW_US) == "missing"
    assert check(scheme, ["static"], both, NOW_US) == "wrong"
    assert check(scheme, ["s"], evolve(both, headers={**both.headers, "x-key": "s"}), NOW_US) == "wrong"
    assert check(AllOf(()), ["s"], both, NOW_US) == "wrong"
    assert "static" not in repr(scheme)


@pytest.mark.parametrize("query", ["", "code=", "code=a&code=a", "code=" + "a" * 513, "other=a"])
def test_a_challenge_that_asks_nothing_is_not_answered(query: str) -> None:
    challenge = Challenge("code", "proof", "token")
    assert answer_challenge(challenge, query, URL) is None
    assert answer_challenge(challenge, "code=a", "") is None
    assert (
        answer_challenge(challenge, "code=a%20b", URL)
        == json.dumps({"proof": hashlib.sha256(b"a btoken" + URL.encode()).hexdigest()}).encode()
    )
    assert "token" not in repr(challenge).replace("Challenge(", "")


SCHEMES = [STANDARD, ETSY, WALMART, SHOPIFY, TIKTOK, SharedSecret("x-key", "basic"), Notice(),
           SignatureScheme("sig", "{json:a.b}{url}"), AllOf((STANDARD, SharedSecret("x-key")))]  # fmt: skip


@given(
    st.sampled_from(SCHEMES), st.sampled_from(["whsec_AAAA", "s:t", "", "zz"]),
    st.dictionaries(st.sampled_from(["webhook-signature", "authorization", "x-key", "sig", "webhook-id"]),
                    st.text(max_size=60), max_size=5), st.binary(max_size=30), st.text(max_size=30),
)  # fmt: skip
def test_nothing_that_a_stranger_sends_raises_or_verifies(
    scheme: Any, secret: str, headers: dict[str, str], body: bytes, query: str
) -> None:
    assert check(scheme, [secret], Delivery(headers, body, query), NOW_US, URL) in ("missing", "wrong")
