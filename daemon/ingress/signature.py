"""Is this delivery signed by who it says? Interprets a platform's `Scheme`; nothing is stored before.

What is ambiguous verifies as nothing: a header that came twice, a key that is there twice in a body of which the
signature covers a field, more signatures than anybody sends. Schemes with a public key are in `public_keys`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, assert_never
from urllib.parse import parse_qs, urlsplit

from daemon.domain.channel import Delivery
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import AllOf, Challenge, Encoding, Fetched, Notice, SharedSecret, SignatureScheme
from daemon.domain.strict_json import objection

Finding = Literal["ok", "missing", "wrong", "stale"]

SIGNATURE_MAX = 1_024
"""A longer signature header is none."""

SIGNATURES_MAX = 8
"""More signatures in one header than keys are ever live."""

REPEATED = "\n"
"""Stands between the values of a header that came several times; no value can hold it."""

CODE_MAX = 512
"""A longer challenge is none."""


def check(
    scheme: SignatureScheme | SharedSecret | Notice | AllOf | Fetched, secrets: Iterable[str], delivery: Delivery,
    now_us: int, url: str = "",
) -> Finding:  # fmt: skip
    """Verify the delivery against every live secret, in constant time for each. `url`: our endpoint as registered.

    "stale" comes only after a correct signature: it tells a stranger nothing.
    """
    match scheme:
        case SignatureScheme():
            return _check_hash(scheme, secrets, delivery, now_us, url)
        case SharedSecret():
            return _check_secret(scheme, secrets, delivery)
        case Notice():
            given = _only(delivery.query, scheme.parameter)
            return "missing" if not given else _among(given.encode(), [secret.encode() for secret in secrets])
        case AllOf():
            held = list(secrets)
            found = [check(each, held, delivery, now_us, url) for each in scheme.schemes]
            return next((each for each in found if each != "ok"), "ok" if found else "wrong")
        case Fetched():
            return "wrong"
    assert_never(scheme)


# --- a keyed hash -------------------------------------------------------------------------------------------


def _check_hash(
    scheme: SignatureScheme, secrets: Iterable[str], delivery: Delivery, now_us: int, url: str
) -> Finding:
    given = delivery.headers.get(scheme.header.lower(), "")
    if not given:
        return "missing"
    claimed = _claimed(scheme, given)
    message = _message(scheme, delivery, url)
    if not claimed or message is None:
        return "wrong"
    matched = False
    for secret in secrets:
        key = _key(scheme, secret)
        expected = hmac.new(key, message, _HASHES[scheme.algorithm]).digest()
        for each in claimed:
            # No early exit: how many secrets are live, and which one fits, shows in no timing.
            matched = (bool(key) and hmac.compare_digest(expected, each)) or matched
    if not matched:
        return "wrong"
    if scheme.tolerance_s is not None:
        moment = _moment_us(delivery.headers.get(scheme.timestamp_header.lower(), ""), scheme.stamp_unit)
        if moment is None or abs(now_us - moment) > scheme.tolerance_s * SECOND_US:
            return "stale"
    return "ok"


_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


def _key(scheme: SignatureScheme, secret: str) -> bytes:
    """The key's bytes, b"" where the secret is not written as it should be: with that nothing verifies."""
    try:
        return scheme.secret_key(secret)
    except ValueError:
        return b""


def _claimed(scheme: SignatureScheme, given: str) -> list[bytes]:
    """The digests that the header claims; none where it is not what the scheme says, or came twice."""
    if len(given) > SIGNATURE_MAX or REPEATED in given:
        return []
    items = given.split(scheme.split) if scheme.split else [given]
    if len(items) > SIGNATURES_MAX:
        return []
    found = []
    for item in items:
        if not item.startswith(scheme.prefix):
            continue
        text: str | None = item[len(scheme.prefix) :]
        if scheme.pattern:
            matched = re.fullmatch(scheme.pattern, text or "")
            text = matched[1] if matched else None
        found += _decode(text, scheme.encoding) if text else []
    return found


def _message(scheme: SignatureScheme, delivery: Delivery, url: str) -> bytes | None:
    """The bytes that are signed; None where a part of them is missing or ambiguous."""
    parts = [_part(part, scheme, delivery, url) for part in scheme.message]
    found = [part for part in parts if part is not None]
    return b"".join(found) if len(found) == len(parts) else None


def _part(part: str, scheme: SignatureScheme, delivery: Delivery, url: str) -> bytes | None:
    match part:
        case "{body}":
            return delivery.body
        case "{timestamp}":
            return _header(delivery, scheme.timestamp_header)
        case "{app_key}":
            return scheme.app_key.encode()
        case "{body_sha256}":
            return hashlib.sha256(delivery.body).hexdigest().encode()
        case "{url}":
            return url.encode() or None
        case "{target}":
            parts = urlsplit(url)
            return f"{parts.path}{'?' if parts.query else ''}{parts.query}".encode() or None
        case _ if part.startswith("{header:"):
            return _header(delivery, part[len("{header:") : -1])
        case _ if part.startswith("{json:"):
            return _in_body(delivery.body, part[len("{json:") : -1])
        case _:
            return part.encode()


def _header(delivery: Delivery, name: str) -> bytes | None:
    value = delivery.headers.get(name.lower())
    return None if value is None or REPEATED in value else value.encode("latin-1", "replace")


def _in_body(body: bytes, path: str) -> bytes | None:
    """The text or the whole number at `path` of a JSON body that has one meaning; a number as its digits."""
    try:
        value: Any = None if objection(body) else json.loads(body)
    except (ValueError, RecursionError):
        return None
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return str(value).encode() if isinstance(value, int) and not isinstance(value, bool) else None


def _decode(text: str, encoding: Encoding) -> list[bytes]:
    """The digest's bytes; strictly, so that one signature has one spelling. Nothing where it is none."""
    if encoding == "either":
        return _decode(text, "base64") + _decode(text, "hex")
    try:
        raw = text.encode("ascii")
        digest = base64.b64decode(raw, validate=True) if encoding == "base64" else binascii.unhexlify(raw)
    except ValueError:
        return []
    # The decoders let unused bits, and either case of hex, pass.
    match encoding:
        case "base64":
            spelling = base64.b64encode(digest)
        case "hex":
            spelling = binascii.hexlify(digest)
        case "HEX":
            spelling = binascii.hexlify(digest).upper()
    return [digest] if digest and spelling == raw else []


def _moment_us(stamp: str, unit: Literal["s", "ms"] = "s") -> int | None:
    """Unix seconds or milliseconds (whole or decimal) or RFC 3339, as µs since 1970."""
    if stamp.isascii() and stamp.replace(".", "", 1).isdigit() and len(stamp) <= 20:
        return int(float(stamp) * (SECOND_US if unit == "s" else SECOND_US // 1_000))
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return int(moment.timestamp() * SECOND_US) if moment.tzinfo else None


# --- a shared secret ----------------------------------------------------------------------------------------


def _check_secret(scheme: SharedSecret, secrets: Iterable[str], delivery: Delivery) -> Finding:
    given = delivery.headers.get(scheme.header.lower(), "")
    if not given:
        return "missing"
    if len(given) > SIGNATURE_MAX or REPEATED in given or not given.startswith(scheme.prefix):
        return "wrong"
    claimed = given[len(scheme.prefix) :]
    held = [scheme.value] if scheme.value is not None else list(secrets)
    if scheme.form == "plain":
        return _among(claimed.encode("latin-1", "replace"), [secret.encode() for secret in held])
    word, blank, rest = claimed.partition(" ")
    if blank:
        claimed = rest if word.lower() == "basic" else ""
    return _among(claimed.encode("latin-1", "replace"), [base64.b64encode(secret.encode()) for secret in held])


def _among(claimed: bytes, held: Iterable[bytes]) -> Finding:
    """Is it one of those that are held? Digests are compared: not even a length shows in the time it takes."""
    spoken = hashlib.sha256(claimed).digest()
    matched = False
    for each in held:
        matched = (bool(each) and hmac.compare_digest(hashlib.sha256(each).digest(), spoken)) or matched
    return "ok" if matched else "wrong"


# --- a challenge --------------------------------------------------------------------------------------------


def answer_challenge(challenge: Challenge, query: str, url: str) -> bytes | None:
    """The JSON that proves to the platform that the endpoint `url` is ours; None where it asks nothing."""
    code = _only(query, challenge.parameter)
    if not code or not url:
        return None
    digest = hashlib.sha256(f"{code}{challenge.token}{url}".encode("utf-8", "replace")).hexdigest()
    return json.dumps({challenge.answer: digest}).encode()


def _only(query: str, parameter: str) -> str:
    """The one value of a parameter, of a bounded length; "" where there is none, or more than one."""
    try:
        found = parse_qs(query, keep_blank_values=True, max_num_fields=20).get(parameter, [])
    except ValueError:
        return ""
    return found[0] if len(found) == 1 and len(found[0]) <= CODE_MAX else ""


def header_map(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Headers by lower-case name; a repeated one keeps every value, told apart so that it verifies as nothing."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]}{REPEATED}{value}" if name in found else value
    return found
