"""Whatever goes to a platform or comes from its twin in any test, held against the vendor's description of its API.

Where `../shared` is absent nothing is held against anything; the tests that need it say so (see `tests.specs`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from daemon.domain.exchange import Request, Response
from tests import specs
from tests.adapters.official.described import DESCRIBED
from tests.adapters.official.fields import TikTok, Woo
from tests.adapters.official.graph import Graph

Answer = TypeVar("Answer", bound=Callable[..., Any])


class ViolationError(AssertionError):
    """A request or an answer that the platform's own description does not allow."""


class Judge(Protocol):
    def kind(self, request: Request, *, wire: bool) -> str:
        """The call's name in the description; "" where that leaves it out. Raises `AssertionError`. wire: the request
        is as it leaves, its secrets and signature included."""
        ...

    def answered(self, request: Request, response: Response) -> bool:
        """Does the description say what this answer holds? Raises `AssertionError` where it is not so."""
        ...


JUDGES: Mapping[str, Judge] = {**DESCRIBED, "shopify": Graph(), "tiktok_shop": TikTok(), "woocommerce": Woo()}

HOSTS: Mapping[str, str] = {
    r"sellingpartnerapi-[a-z]+\.amazon\.com": "amazon", r"api\.bigcommerce\.com": "bigcommerce",
    r"api\.ebay\.com": "ebay", r"openapi\.etsy\.com": "etsy", r".*\.myshopify\.com": "shopify",
    r"open-api\.tiktokglobalshop\.com": "tiktok_shop", r"marketplace\.walmartapis\.com": "walmart",
}  # fmt: skip
"""Whose API is where. WooCommerce has no place of its own: it is known by its path."""

violations: list[str] = []
"""What was found, so that none is lost in whoever catches everything."""
held: Counter[tuple[str, str, str]] = Counter()
"""How often (platform, "request" or "answer", kind) was held against its description."""


def platform_of(request: Request) -> str:
    """Whose API it calls; "" for nobody's that is described."""
    parts = urlsplit(request.url)
    if parts.path.startswith("/wp-json/wc/v3"):
        return "woocommerce"
    return next((name for pattern, name in HOSTS.items() if re.fullmatch(pattern, parts.netloc)), "")


def hold_request(platform: str, request: Request, *, wire: bool = True) -> None:
    """Raises `ViolationError` where the description does not allow the request."""
    if platform and specs.ROOT.is_dir():
        _hold(platform, "request", request, lambda: JUDGES[platform].kind(request, wire=wire))


def hold_answer(platform: str, request: Request, response: Response) -> None:
    """Raises `ViolationError` where the description does not allow the answer to this request."""
    if specs.ROOT.is_dir() and response.body:

        def kind() -> str:
            described = JUDGES[platform].answered(request, response)
            return f"{JUDGES[platform].kind(request, wire=True)} {response.status}" if described else ""

        _hold(platform, "answer", request, kind)


def _hold(platform: str, what: str, request: Request, kind: Callable[[], str]) -> None:
    try:
        found = kind()
    except AssertionError as error:
        text = f"{platform}, {what} of {request.method} {request.url}: {error}"
        violations.append(text)
        raise ViolationError(text) from error
    if found:
        held[platform, what, found] += 1


def judged(platform: str, origin: str = "https://twin.test", content_at: int = 1) -> Callable[[Answer], Answer]:
    """Holds every call of a twin's `answer(method, target, headers, body)`, and what it answers, against the vendor's
    description. `content_at`: where in its answer the body stands, behind the status."""

    def around(answer: Answer) -> Answer:
        @wraps(answer)
        def watched(self: Any, method: Any, target: str, headers: Mapping[str, str], body: bytes) -> Any:
            url = target if target.startswith("https://") else origin + target
            request = Request(method, url, dict(headers), body)
            hold_request(platform, request)
            result = answer(self, method, target, headers, body)
            hold_answer(platform, request, Response(result[0], {}, written(result[content_at])))
            return result

        return watched  # type: ignore[return-value]

    return around


def written(content: Any) -> bytes:
    """As it stands on the wire."""
    if isinstance(content, bytes):
        return content
    return b"" if content is None else msgspec.json.encode(content)
