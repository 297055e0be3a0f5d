"""AWS Signature Version 4 (amazon.md §2.3), for `Request.sign`: sans-I/O, the clock is given, secrets stay secret."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from daemon.domain.exchange import Request
from daemon.domain.instants import SECOND_US

ALGORITHM = "AWS4-HMAC-SHA256"


@frozen
class AwsKey:
    """Who signs. `session` is the token of temporary credentials, "" for lasting ones."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)


def signed(request: Request, key: AwsKey, region: str, service: str, now_us: int) -> Request:
    """The request as AWS wants it, dated `now_us` (which AWS's own clock must agree with to some minutes).

    Signed are all its headers, its host, its date, the session token and the body. Only for a URL without a query.
    """
    date = datetime.fromtimestamp(now_us // SECOND_US, UTC).strftime("%Y%m%dT%H%M%SZ")
    spoken = {**request.headers, "x-amz-date": date}
    hidden = {"x-amz-security-token": key.session} if key.session else {}
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    canonical, names = canonical_request(request, {**spoken, **hidden})
    digest = _sign(key, (date[:8], region, service, "aws4_request"), string_to_sign(canonical, date, scope))
    proof = f"{ALGORITHM} Credential={key.key_id}/{scope}, SignedHeaders={names}, Signature={digest}"
    return evolve(request, headers=spoken, secret_headers={**hidden, "authorization": proof}, sign=None)


def canonical_request(request: Request, headers: dict[str, str]) -> tuple[str, str]:
    """The canonical request, and the names of the headers in it."""
    where = urlsplit(request.url)
    lines = {name.lower(): " ".join(value.split()) for name, value in {**headers, "host": where.netloc}.items()}
    names = ";".join(sorted(lines))
    block = "".join(f"{name}:{lines[name]}\n" for name in sorted(lines))
    digest = hashlib.sha256(request.body).hexdigest()
    return f"{request.method}\n{where.path or '/'}\n\n{block}\n{names}\n{digest}", names


def string_to_sign(canonical: str, date: str, scope: str) -> str:
    """What the derived key signs."""
    return f"{ALGORITHM}\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def _sign(key: AwsKey, scope: tuple[str, ...], text: str) -> str:
    """Hex, by the key derived from the secret through each part of the scope."""
    derived = f"AWS4{key.secret}".encode()
    for part in (*scope, text):
        derived = hmac.new(derived, part.encode(), hashlib.sha256).digest()
    return derived.hex()
