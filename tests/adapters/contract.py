"""The fixtures of the shared adapter contract, loaded; and the few independent means to judge an adapter by them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import yaml
from attrs import evolve, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from adapters import PLATFORMS
from adapters.stamps import rfc3339_span
from daemon.domain.access import Token
from daemon.domain.channel import (
    Adapter,
    Delivery,
    LevelSeen,
    ListingPage,
    OrderPage,
    OrderSeen,
    Platform,
    Push,
    Setup,
    Webhook,
)  # fmt: skip
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import AllOf, Fetched, Notice, PublicKeyScheme, Scheme, SharedSecret, SignatureScheme
from tests.adapters.official.judge import hold_request, platform_of

ROOT = Path(__file__).parent
URL = "https://sync.example.com/webhooks/shop"
"""Where a fixture's deliveries were sent."""
SPAN_KEYS = ("updated", "placed", "own")
STEPS_MAX = 40
"""After so many arbitrary answers a conversation is told 500: it must then come to its end."""

READS: dict[str, Any] = {
    "orders": OrderPage,
    "order": OrderSeen | None,
    "listings": ListingPage,
    "levels": tuple[LevelSeen, ...],
    "webhooks": tuple[Webhook, ...],
    "register": Webhook,
    "token": Token,
}


@frozen
class Fixture:
    """One fixture file of one platform."""

    platform: str
    path: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.platform}-{self.path.stem}"

    def body(self) -> bytes:
        return body_of(self.content, self.path.parent)

    def delivery(self) -> Delivery:
        headers = {name.lower(): value for name, value in self.content.get("headers", {}).items()}
        return Delivery(headers, self.body(), self.content.get("query", ""), self.content.get("received_us", 0))


def body_of(content: Mapping[str, Any], folder: Path) -> bytes:
    """The bytes that `body` or `body_file` stand for."""
    if "body_file" in content:
        return (folder / content["body_file"]).read_bytes()
    body = content.get("body", "")
    return body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()


def fixtures(kind: str) -> list[Fixture]:
    """Every fixture of one kind, of all platforms, in a stable order."""
    return [
        Fixture(name, path, json.loads(path.read_text("utf-8")))
        for name in sorted(PLATFORMS)
        for path in sorted((ROOT / name / kind).glob("*.json"))
    ]


def setup_of(platform: str) -> dict[str, Any]:
    """The platform's setup.yaml."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / platform / "setup.yaml").read_text("utf-8"))
    return loaded


def setup(platform: str, overrides: Mapping[str, float] | None = None) -> Setup:
    content = setup_of(platform)
    return Setup(
        channel="shop",
        base_url=content["base_url"],
        options=content.get("options") or {},
        secrets=content.get("secrets") or {},
        webhook_secrets=tuple(content.get("webhook_secrets") or ()),
        overrides=overrides or {},
    )


def build(platform: str, overrides: Mapping[str, float] | None = None) -> Adapter:
    return known(platform).build(setup(platform, overrides))


def known(platform: str) -> Platform:
    return PLATFORMS[platform]


# --- expected values ----------------------------------------------------------------------------------------


def stamp_us(text: str) -> int:
    """The very microsecond a stamp names."""
    span = rfc3339_span(text)
    assert span is not None, f"{text!r} is no stamp with a zone"
    return span.lo


def span_of(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    lo, _, hi = value.partition("/")
    return {"lo": stamp_us(lo), "hi": stamp_us(hi or lo)}


def plain(value: Any) -> Any:
    """Fixture JSON with its span texts read, ready for `msgspec.convert`."""
    match value:
        case dict():
            return {key: span_of(plain(part)) if key in SPAN_KEYS else plain(part) for key, part in value.items()}
        case list():
            return [plain(part) for part in value]
        case _:
            return value


def expected(value: Any, shape: Any) -> Any:
    """What a fixture says, as the domain's own type."""
    return msgspec.convert(plain(value), shape)


def check_outcome(outcome: Outcome, wanted: Mapping[str, Any]) -> None:
    """Compare the fields that the fixture names."""
    for name, value in wanted.items():
        actual = getattr(outcome, name)
        if name == "reason":
            assert value in actual
        elif name == "own":
            assert actual == (None if value is None else Span(**span_of(value)))
        else:
            assert actual == value, f"{name} of {outcome}"


# --- signatures, computed independently of the daemon -------------------------------------------------------


def verifies(scheme: Scheme, delivery: Delivery, secret: str, url: str = URL) -> bool:
    """Does the delivery carry what `scheme` asks for? For a public key, `secret` is its DER in base64."""
    match scheme:
        case SignatureScheme():
            return _hashed(scheme, delivery, secret, url)
        case SharedSecret():
            held = secret if scheme.value is None else scheme.value
            spoken = [held] if scheme.form == "plain" else [b64(held.encode()), f"Basic {b64(held.encode())}"]
            return delivery.headers.get(scheme.header.lower(), "") in [scheme.prefix + each for each in spoken]
        case Notice():
            return parse_qs(delivery.query).get(scheme.parameter) == [secret]
        case AllOf():
            return all(verifies(each, delivery, secret, url) for each in scheme.schemes)
        case PublicKeyScheme():
            return _by_key(scheme, delivery, secret)
        case Fetched():
            return False


def covers_body(scheme: Scheme) -> bool:
    """Does a changed body break the signature?"""
    schemes = scheme.schemes if isinstance(scheme, AllOf) else (scheme,)
    return any(isinstance(each, SignatureScheme | PublicKeyScheme) for each in schemes)


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _hashed(scheme: SignatureScheme, delivery: Delivery, secret: str, url: str) -> bool:
    stamp = delivery.headers.get(scheme.timestamp_header.lower(), "") if scheme.timestamp_header else ""
    target = url.partition("://")[2].partition("/")[2]
    values = {
        "{body}": delivery.body, "{timestamp}": stamp.encode(),
        "{url}": url.encode(), "{target}": f"/{target}".encode(),
        "{app_key}": scheme.app_key.encode(), "{body_sha256}": hashlib.sha256(delivery.body).hexdigest().encode(),
    }  # fmt: skip
    message = b""
    for part in scheme.message:
        if part.startswith("{header:"):
            message += delivery.headers.get(part[8:-1].lower(), "").encode()
        elif part.startswith("{json:"):
            value = json.loads(delivery.body)
            for name in part[6:-1].split("."):
                value = value[name]
            message += str(value).encode()
        else:
            message += values.get(part, part.encode())
    try:
        key = scheme.secret_key(secret)
    except ValueError:
        return False  # a secret that is none of this kind verifies nothing
    digest = hmac.new(key, message, getattr(hashlib, scheme.algorithm)).digest()
    spelled = {
        "base64": [b64(digest)], "hex": [digest.hex()], "HEX": [digest.hex().upper()],
        "either": [b64(digest), digest.hex()],
    }[scheme.encoding]  # fmt: skip
    given = delivery.headers.get(scheme.header.lower(), "")
    for item in given.split(scheme.split) if scheme.split else [given]:
        found = re.fullmatch(re.escape(scheme.prefix) + (scheme.pattern or "(.*)"), item)
        if found and found[1] in spelled:
            return True
    return False


def _by_key(scheme: PublicKeyScheme, delivery: Delivery, der: str) -> bool:
    said = scheme.read(delivery.headers.get(scheme.header.lower(), ""))
    try:
        key: Any = load_der_public_key(base64.b64decode(der, validate=True))
    except ValueError:
        return False
    for digest in (hashes.SHA1(), hashes.SHA256()):  # as the platforms sign
        rest = (ec.ECDSA(digest),) if isinstance(key, ec.EllipticCurvePublicKey) else (padding.PKCS1v15(), digest)
        try:
            key.verify(said.signature if said else b"", delivery.body, *rest)
        except InvalidSignature:
            continue
        return True
    return False


# --- conversations ------------------------------------------------------------------------------------------


def start(adapter: Adapter, call: str, args: Sequence[Any]) -> Generator[Request, Response, Any]:
    """Begin the read that a fixture names."""
    arguments = list(args)
    if call == "token":
        name, refresh = arguments
        (source,) = [each for each in adapter.tokens if each.name == name]
        return source.ask(refresh)
    if call == "register" and arguments[2] is not None:
        arguments[2] = msgspec.convert(arguments[2], Webhook)
    conversation: Generator[Request, Response, Any] = getattr(adapter, call)(*arguments)
    return conversation


def converse(
    talk: Generator[Request, Response, Any], answers: Iterator[Response], most: int = 3 * STEPS_MAX,
    *, sane: bool = True,
) -> tuple[Any, list[Request]]:  # fmt: skip
    """Run a conversation to its end. When the answers run out, it hears 500 until it gives up. Every request must be
    one that the platform's description allows, unless what is asked for or answered is not even `sane`."""
    asked: list[Request] = []
    try:
        request = next(talk)
        while True:
            asked.append(request)
            if sane:
                hold_request(platform_of(request), request, wire=False)
            assert len(asked) <= most, "the conversation goes on for ever"
            request = talk.send(next(answers, Response(500, {}, b"")))
    except StopIteration as end:
        return end.value, asked


def responses(steps: Sequence[Mapping[str, Any]], folder: Path) -> list[Response]:
    """The canned answers of a fixture."""
    found = []
    for step in steps:
        canned = step["response"]
        headers = {name.lower(): value for name, value in canned.get("headers", {}).items()}
        found.append(
            Response(
                canned.get("status", 200), headers, body_of(canned, folder),
                canned.get("sent_us", 0), canned.get("received_us", 0),
            )
        )  # fmt: skip
    return found


def check_request(request: Request, wanted: Mapping[str, Any]) -> None:
    """Is it the request that the fixture expects? (Where it may go at all, `check_discreet` knows.)"""
    parts = urlsplit(request.url)
    assert parts.netloc == wanted.get("host", parts.netloc)
    assert (request.method, parts.path) == (wanted["method"], wanted["path"])
    assert parse_qs(parts.query, keep_blank_values=True) == wanted.get("query", {})
    if "body" in wanted:
        assert json.loads(request.body) == wanted["body"]
    elif "body_text" in wanted:
        assert request.body.decode() == wanted["body_text"]
    elif "form" in wanted:
        assert parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True) == wanted["form"]
    elif "file" in wanted:
        assert file_of(request) == wanted["file"]
    else:
        assert request.body == b""
    sent = {name.lower(): value for name, value in request.headers.items()}
    for name, value in wanted.get("headers", {}).items():
        assert sent.get(name.lower()) == value
    for name in wanted.get("secret_headers", ()):
        assert name.lower() in {secret.lower() for secret in request.secret_headers}
    for name in wanted.get("secret_query", ()):
        assert name in request.secret_query


def file_of(request: Request) -> Any:
    """The JSON of the one part, a file, of a multipart body."""
    kind = request.headers["content-type"]
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.body)
    assert message.get_content_type() == "multipart/form-data"
    (part,) = message.get_payload()
    assert (part.get_param("name", header="content-disposition"), part.get_content_type()) == (
        "file", "application/json",
    )  # fmt: skip
    assert str(part.get_filename()).endswith(".json")
    return json.loads(part.get_payload(decode=True))


NOW_US = 1_795_413_600_000_000
NONCE = "Nonce0123456789ab"


def check_place(request: Request, config: Setup, hosts: Sequence[str]) -> None:
    """It goes to the configured store, or over https to a further host that the adapter names."""
    asked, base = urlsplit(request.url), urlsplit(config.base_url)
    if (asked.scheme, asked.netloc) == (base.scheme, base.netloc):
        assert asked.path.startswith(base.path.rstrip("/") + "/"), request.url
        return
    below = any(host.startswith(".") and asked.netloc.endswith(host) for host in hosts)
    assert asked.scheme == "https", request.url
    assert asked.netloc in hosts or below, request.url


def check_discreet(request: Request, config: Setup, call: str = "", hosts: Sequence[str] = ()) -> None:
    """The request goes where it may, and no secret stands where it could be logged, also once signed.

    Only `register` may tell the store a webhook secret, and a token's asking who asks, in its body.
    """
    if request.sign is not None:
        signed = request.sign(request, NOW_US, NONCE)
        assert signed == request.sign(request, NOW_US, NONCE)
        check_discreet(evolve(signed, sign=None), config, call, hosts)
    check_place(request, config, hosts)
    asked = urlsplit(request.url)
    assert "/../" not in asked.path
    assert not asked.fragment
    assert request.url.isascii()
    assert not any(letter <= " " for letter in request.url)
    assert 0 < request.timeout_s <= 120
    shown = f"{request.url} {dict(request.headers)}".encode()
    for secret in (*config.secrets.values(), *config.webhook_secrets):
        assert secret.encode() not in shown
        assert call in ("register", "token") or secret.encode() not in request.body


def pushes_of(fixture: Fixture) -> list[Push]:
    return msgspec.convert(fixture.content["batch"], list[Push])


def is_outcome(value: Any) -> bool:
    """A well-formed outcome: a known kind, and no level that cannot be one."""
    return (
        isinstance(value, Outcome)
        and value.kind
        in ("ok", "conflict", "superseded", "throttled", "transient", "permanent", "unknown", "accepted")
        and (value.kind != "accepted" or bool(value.job))
        and (value.level is None or (type(value.level) is int))
        and (value.kind != "ok" or value.level is not None)
        and (value.retry_after_s is None or value.retry_after_s >= 0)
    )


def is_read(call: str, value: Any) -> bool:
    """A well-formed result of a read: its type, or a `Failure` that is not "ok"."""
    if isinstance(value, Failure):
        return is_outcome(value.outcome) and value.outcome.kind != "ok"
    shape = {"orders": OrderPage, "order": OrderSeen, "listings": ListingPage, "register": Webhook,
             "token": Token}.get(call, tuple)  # fmt: skip
    return isinstance(value, shape) or (call == "order" and value is None)
