"""How platforms prove that a webhook is theirs, as data. `daemon.ingress` interprets each form in one place.

`SignatureScheme`: a keyed hash over a template. `SharedSecret`: a secret, or a user and password, in a header.
`Notice`: nothing is signed; what comes says only "look", and only where its URL carries a secret.
`PublicKeyScheme`: signed with a private key, whose public half is fetched by its id. `AllOf`: several together.
`Fetched`: nobody calls us; what is told is fetched from a queue.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Literal

from attrs import field, frozen

from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure

Encoding = Literal["base64", "hex", "HEX", "either"]
"""How the digest is written; "either": base64 or hex, where a platform does not say which."""

KeyCoding = Literal["utf8", "hex", "base64", "whsec"]

_PLACEHOLDER = re.compile(r"(\{[^{}]*\})")
_SIMPLE = frozenset(("{body}", "{timestamp}", "{url}", "{target}", "{app_key}", "{body_sha256}"))


def _whsec(secret: str) -> bytes:
    """The key of a Standard Webhooks secret: base64, with `whsec_` before it or without."""
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


KEY_CODINGS: Mapping[str, Callable[[str], bytes]] = {
    "utf8": str.encode,
    "hex": bytes.fromhex,
    "base64": lambda secret: base64.b64decode(secret, validate=True),
    "whsec": _whsec,
}
"""What each makes of a configured secret. All but "utf8" raise `ValueError` where it is none of that kind."""


def template(message: str | tuple[str, ...]) -> tuple[str, ...]:
    """A template cut into its parts. Raises `ValueError` for a placeholder that nobody fills."""
    parts = tuple(filter(None, _PLACEHOLDER.split(message))) if isinstance(message, str) else message
    for part in parts:
        named = part.startswith(("{header:", "{json:")) and part.endswith("}") and part[-2] != ":"
        if _PLACEHOLDER.fullmatch(part) and not named and part not in _SIMPLE:
            raise ValueError(f"{part} stands for nothing in a signature's message")
    return parts


def _key_coding(coding: KeyCoding | Callable[[str], bytes]) -> Callable[[str], bytes]:
    return KEY_CODINGS[coding] if isinstance(coding, str) else coding


@frozen
class SignatureScheme:
    """A keyed hash (HMAC) over `message`.

    message: a template, whole or cut into its parts: "{body}" the raw body · "{timestamp}" the value of
      `timestamp_header` · "{header:NAME}" any header · "{json:a.b}" text or a whole number in the JSON body ·
      "{url}" our endpoint as it was registered · "{target}" its path and query · "{app_key}" `app_key` ·
      "{body_sha256}" the hex digest of the body · anything else is itself. Where a header or a field is missing, is
      there twice, or is no plain value, nothing verifies.
    header: where the signature stands, as `prefix` + `encoding` of the digest. Where `split` is given, the header
      holds several of them between it, of which one must fit; `pattern` is what each must match as a whole, the
      signature in its only group (an item that does not match is of a kind we do not know).
    tolerance_s: a delivery whose timestamp (`stamp_unit`; RFC 3339 is read, too) is further from now is refused;
      None: no such window.
    secret_key: turns a configured secret into key bytes; raises `ValueError` where it cannot.
    """

    header: str
    message: tuple[str, ...] = field(default=("{body}",), converter=template)
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Encoding = "base64"
    prefix: str = ""
    timestamp_header: str = ""
    tolerance_s: int | None = None
    secret_key: Callable[[str], bytes] = field(default=str.encode, converter=_key_coding)
    split: str = ""
    pattern: str = ""
    stamp_unit: Literal["s", "ms"] = "s"
    app_key: str = ""


@frozen
class SharedSecret:
    """The secret itself in a header, after `prefix`.

    basic: the secret is "user:password" and stands there as HTTP Basic, with or without the word before it.
    value: the secret, where it is not one of the channel's webhook secrets (a static header beside a signature).
    """

    header: str
    form: Literal["plain", "basic"] = "plain"
    prefix: str = ""
    value: str | None = field(default=None, repr=False)


@frozen
class Notice:
    """Unsigned: what such a message says is never believed, stored or parsed; it makes us look for ourselves.

    Our URL, as it is registered, ends with `?parameter=SECRET`, the secret one of the channel's webhook secrets.
    """

    parameter: str = "key"


@frozen
class AllOf:
    """Every one of `schemes` must verify. None of them may be a `PublicKeyScheme`."""

    schemes: tuple[SignatureScheme | SharedSecret, ...]


@frozen
class KeyedSignature:
    """What a signature header holds: the id of the key, and the signature's bytes."""

    key_id: str
    signature: bytes


@frozen
class PublicKey:
    """A platform's public key: DER SubjectPublicKeyInfo, and what it signs with."""

    der: bytes
    algorithm: Literal["ecdsa", "rsa"]
    digest: Literal["sha1", "sha256", "sha512"]


@frozen
class PublicKeyScheme:
    """A signature over the raw body by a private key; its public half is fetched by the id that the header names.

    read: what stands in `header`, or None where it cannot be read. The id comes from a stranger: it must be held
      against its grammar before it goes into a URL. Pure; never raises.
    fetch: asks the platform for a key; None: it says that there is no such key.
    """

    header: str
    read: Callable[[str], KeyedSignature | None]
    fetch: Callable[[str], Exchange[PublicKey | Failure | None]]


@frozen
class Fetched:
    """The platform sends nothing to us: we fetch it from `Adapter.queue`, and who may write there is the queue's own
    affair. Whatever claims over HTTP to come from such a platform is a stranger's."""


Scheme = SignatureScheme | SharedSecret | Notice | AllOf | PublicKeyScheme | Fetched


@frozen
class Challenge:
    """How a platform makes sure that our endpoint is ours: GET with `?parameter=CODE` is answered 200 with the JSON
    `{"answer": hex(SHA-256(CODE + token + our endpoint as it was registered))}`. It may come again at any time."""

    parameter: str
    answer: str
    """What the JSON calls the digest."""
    token: str = field(repr=False)


def names_url(scheme: Scheme) -> bool:
    """Must our own endpoint's address be known to verify this?"""
    match scheme:
        case SignatureScheme():
            return "{url}" in scheme.message or "{target}" in scheme.message
        case AllOf():
            return any(map(names_url, scheme.schemes))
        case _:
            return False


def unusable(scheme: Scheme, secret: str) -> str:
    """Why nothing can ever be verified with this configured secret, without repeating it; empty where it can."""
    schemes = scheme.schemes if isinstance(scheme, AllOf) else (scheme,)
    for each in schemes:
        try:
            if isinstance(each, SignatureScheme) and not each.secret_key(secret):
                return "it holds no key"
        except ValueError:
            return "it is not written as this platform writes its secrets"
        if isinstance(each, SharedSecret) and each.form == "basic" and each.value is None and ":" not in secret:
            return 'it must be written as "user:password"'
    return ""
