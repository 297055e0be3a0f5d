"""Signatures by a platform's private key: its public keys, fetched by their ids, kept for a while, checked with.

An id comes from a header that nobody has verified yet, so what strangers can cause is bounded: so many fetches a
minute, so many keys kept, so many ids remembered as unknown. A key that cannot be had is never a verdict on a
signature: the sender is told to come again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Literal

import trio
from attrs import define, field
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from daemon.domain.channel import Delivery
from daemon.domain.exchange import Exchange, NoAnswer
from daemon.domain.outcomes import Failure
from daemon.domain.signatures import KeyedSignature, PublicKey, PublicKeyScheme
from daemon.ingress.signature import REPEATED, Finding

HEADER_MAX = 4_096
"""A longer signature header is none."""
KEY_ID_MAX = 128
KEYS_MAX = 32
UNKNOWN_MAX = 256
"""Ids remembered as unknown: more of them forget the oldest."""
LIFE_S = 3_600.0
"""How long a key, or the word that there is none, is believed."""
FETCHES_MAX = 10
"""Keys asked for within `FETCHES_S`."""
FETCHES_S = 60.0
FETCH_S = 3.0
"""A key that takes longer is not waited for: the sender has its own patience, and comes again."""
RSA_BITS_MIN = 2_048

Key = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Refusal = Literal["wrong", "busy"]
Ask = Callable[[Exchange[PublicKey | Failure | None]], Awaitable[PublicKey | Failure | NoAnswer | None]]
"""Hold a conversation with the channel, as its account does it."""

_HASHES: dict[str, type[hashes.SHA1 | hashes.SHA256 | hashes.SHA512]] = {
    "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha512": hashes.SHA512,
}  # fmt: skip


@define
class _Kept:
    key: Key
    digest: str
    until: float
    """Trio's clock."""


@define
class _Fetch:
    """One fetch under way, for all who wait for it."""

    done: trio.Event = field(factory=trio.Event)
    found: _Kept | Refusal = "busy"


@define(eq=False)
class PublicKeys:
    """The public keys of one channel's platform. `check` is what the receiver asks."""

    scheme: PublicKeyScheme
    ask: Ask
    _kept: OrderedDict[str, _Kept] = field(factory=OrderedDict)
    _unknown: OrderedDict[str, float] = field(factory=OrderedDict)
    _fetched: deque[float] = field(factory=deque)
    _under_way: dict[str, _Fetch] = field(factory=dict)

    async def check(self, delivery: Delivery) -> Finding | Literal["busy"]:
        """Verify the delivery; "busy": the key cannot be had now, so nobody can tell."""
        given = delivery.headers.get(self.scheme.header.lower(), "")
        if not given:
            return "missing"
        if len(given) > HEADER_MAX or REPEATED in given:
            return "wrong"
        said = self.scheme.read(given)
        if said is None or not said.signature or not 0 < len(said.key_id) <= KEY_ID_MAX:
            return "wrong"
        kept = await self._key(said.key_id)
        if isinstance(kept, str):
            return kept
        return "ok" if _fits(kept, said, delivery.body) else "wrong"

    async def _key(self, key_id: str) -> _Kept | Refusal:
        """The key; fetched once, however many wait for it. A fetch that fails is theirs all, and nobody's verdict."""
        if key_id in self._under_way:
            fetch = self._under_way[key_id]
            await fetch.done.wait()
            return fetch.found
        now = trio.current_time()
        kept = self._kept.get(key_id)
        if kept is not None and kept.until > now:
            return kept
        if self._unknown.get(key_id, 0.0) > now:
            return "wrong"
        if not self._may_fetch(now):
            return "busy"
        fetch = self._under_way[key_id] = _Fetch()
        try:
            with trio.move_on_after(FETCH_S):
                fetch.found = self._learned(key_id, await self.ask(self.scheme.fetch(key_id)))
        finally:
            del self._under_way[key_id]
            fetch.done.set()
        return fetch.found

    def _may_fetch(self, now: float) -> bool:
        while self._fetched and self._fetched[0] <= now - FETCHES_S:
            self._fetched.popleft()
        if len(self._fetched) >= FETCHES_MAX:
            return False
        self._fetched.append(now)
        return True

    def _learned(self, key_id: str, answer: PublicKey | Failure | NoAnswer | None) -> _Kept | Refusal:
        until = trio.current_time() + LIFE_S
        if answer is None:
            self._unknown[key_id] = until
            self._unknown.move_to_end(key_id)
            while len(self._unknown) > UNKNOWN_MAX:
                self._unknown.popitem(last=False)
            return "wrong"
        key = _loaded(answer) if isinstance(answer, PublicKey) else None
        if key is None or not isinstance(answer, PublicKey):
            return "busy"
        kept = self._kept[key_id] = _Kept(key, answer.digest, until)
        self._kept.move_to_end(key_id)
        while len(self._kept) > KEYS_MAX:
            self._kept.popitem(last=False)
        return kept


def _loaded(key: PublicKey) -> Key | None:
    """The key in the library's terms; None where it is none of the kind it is said to be, or too weak."""
    try:
        found = load_der_public_key(key.der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    match key.algorithm, found:
        case "ecdsa", ec.EllipticCurvePublicKey():
            return found
        case "rsa", rsa.RSAPublicKey() if found.key_size >= RSA_BITS_MIN:
            return found
        case _:
            return None


def _fits(kept: _Kept, said: KeyedSignature, body: bytes) -> bool:
    digest = _HASHES[kept.digest]()
    try:
        if isinstance(kept.key, ec.EllipticCurvePublicKey):
            kept.key.verify(said.signature, body, ec.ECDSA(digest))
        else:
            kept.key.verify(said.signature, body, padding.PKCS1v15(), digest)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
