"""Notifications: eBay's signature and its public keys, and what each topic is a hint to (ebay.md §2.1)."""

from __future__ import annotations

import base64
import re
from functools import partial
from typing import Any, Literal

import msgspec

from adapters.ebay.api import NOTIFICATION, Api
from adapters.ebay.refusals import failed_read, garbled
from adapters.kept import Kept, reopened
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Delivery, Facts
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure
from daemon.domain.signatures import KeyedSignature, PublicKey, PublicKeyScheme
from daemon.domain.strict_json import objection

ORDER_CONFIRMATION = "ORDER_CONFIRMATION"
ACCOUNT_DELETION = "MARKETPLACE_ACCOUNT_DELETION"
TOPICS = (ORDER_CONFIRMATION,)
"""What is subscribed. Cancellations and returns have topics, too, that no official source describes: understood where
they come, but the order feed tells of them anyhow."""

_TOPIC = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_KEY_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PEM = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----|\s")
_IDENTITY = re.compile(r"[0-9A-Za-z_.:-]{1,200}")
_KEPT_AS = "ebay/1"


# --- the signature ------------------------------------------------------------------------------------------


class _Header(msgspec.Struct):
    alg: str
    kid: str
    signature: str


class _Key(msgspec.Struct):
    key: str
    algorithm: str
    digest: str = "SHA1"


def scheme(api: Api) -> PublicKeyScheme:
    """ECDSA over the raw body; `X-EBAY-SIGNATURE` names the key. The key is eBay's, the same for all its sellers: a
    good signature says "from eBay", not "for this seller" (§0.4)."""
    return PublicKeyScheme("x-ebay-signature", read_header, partial(fetch_key, api))


def read_header(text: str) -> KeyedSignature | None:
    """base64 of `{"alg", "kid", "signature", "digest"}`; the id must be a UUID, since it goes into a URL (§2.1)."""
    try:
        said = decode(base64.b64decode(text, validate=True), _Header)
        signature = base64.b64decode(said.signature, validate=True)
    except ValueError:  # UnreadableError is one
        return None
    if said.alg.lower() != "ecdsa" or _KEY_ID.fullmatch(said.kid) is None:
        return None
    return KeyedSignature(said.kid.lower(), signature)


def fetch_key(api: Api, key_id: str) -> Exchange[PublicKey | Failure | None]:
    """The public key of this id, asked for by the application itself. None: eBay knows none such (400, 404).

    The PEM has no line breaks, so it is none that a library reads. The digest is the key's, SHA1 in production.
    """
    response = yield api.get(f"{NOTIFICATION}/public_key/{key_id}", who="app")
    if response.status in (400, 404):
        return None
    failure = yield from failed_read(api, response, "notification")
    if failure is not None:
        return failure
    digests: dict[str, Literal["sha1", "sha256"]] = {"SHA1": "sha1", "SHA256": "sha256"}
    try:
        said = decode(response.body, _Key)
        der = base64.b64decode(_PEM.sub("", said.key), validate=True)
        digest = digests[said.digest.upper().replace("-", "")]
    except (ValueError, KeyError):
        return Failure(garbled(response))
    if said.algorithm.upper() != "ECDSA":
        return Failure(garbled(response))
    return PublicKey(der, "ecdsa", digest)


# --- what is told -------------------------------------------------------------------------------------------


class _Metadata(msgspec.Struct):
    topic: str


class _User(msgspec.Struct, rename="camel"):
    user_id: str | None = None


class _Data(msgspec.Struct):
    user: Any = None


class _Notification(msgspec.Struct, rename="camel"):
    notification_id: str
    data: _Data | None = None


class _Envelope(msgspec.Struct):
    metadata: _Metadata
    notification: _Notification


class _Kept(Kept):
    """All that is kept of a notification: nothing of it is believed, so nothing of its content is needed."""

    topic: str
    identity: str = ""
    look: bool = False
    puzzle: str = ""

    def facts(self) -> Facts:
        return Facts(self.topic, self.identity, msgspec.json.encode(self), look=self.look, puzzle=self.puzzle)


def parse(delivery: Delivery, user_id: str) -> Facts:
    """Read a verified delivery, or a `kept` body. Never raises.

    Topics of orders say that the feeds are worth reading now, no more: they carry no SKU, no version and no
    guarantee of order (§0.1). What is meant for another seller than `user_id`, where that is configured, is none of
    ours. An account deletion asks to erase what is stored of a buyer: nothing ever is.
    """
    if (kept := reopened(delivery.body, _Kept, _KEPT_AS)) is not None:
        return kept.facts()
    if why := objection(delivery.body):
        return _Kept(_KEPT_AS, "", puzzle=why).facts()
    try:
        envelope = decode(delivery.body, _Envelope)
    except UnreadableError:
        return _Kept(_KEPT_AS, "", puzzle="it is no notification: metadata or notification is missing").facts()
    topic, number = envelope.metadata.topic, envelope.notification.notification_id
    identity = number if _IDENTITY.fullmatch(number) else ""
    if _TOPIC.fullmatch(topic) is None:
        return _Kept(_KEPT_AS, "", identity, puzzle="its topic is not written as eBay writes topics").facts()
    if topic.startswith("ORDER_"):
        ours = not user_id or _recipient(envelope.notification.data) in ("", user_id)
        return _Kept(_KEPT_AS, topic, identity, look=ours).facts()
    if topic == ACCOUNT_DELETION:
        return _Kept(_KEPT_AS, topic, identity).facts()
    return _Kept(_KEPT_AS, topic, identity, puzzle=f"topic {topic} is not one of ours").facts()


def _recipient(data: _Data | None) -> str:
    """The seller's user id, "" where it is not said: user names are no identity any more (§7)."""
    try:
        return msgspec.convert(data.user if data else None, _User).user_id or ""
    except msgspec.ValidationError:
        return ""
