"""What the storefront answers, and how the answer is to be mistreated on its way."""

from __future__ import annotations

import msgspec
from attrs import evolve, frozen

from adapters.storefront.faults import HOLD_S
from adapters.storefront.shop import Refusal


@frozen
class StoreReply:
    """An answer. Hold it for `delay_s`; then send it, or, where `drop` is set, close without a word."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    drop: bool = False


def answer(content: object, status: int = 200) -> StoreReply:
    return StoreReply(status, msgspec.json.encode(content))


def error(status: int, code: str, message: str, **extra: object) -> StoreReply:
    return answer({"error": {"code": code, "message": message}, **extra}, status)


def refused(refusal: Refusal) -> StoreReply:
    return error(refusal.status, refusal.code, refusal.message)


def throttled(seconds: float) -> StoreReply:
    return evolve(error(429, "throttled", "too many calls"), headers=(("Retry-After", f"{seconds:g}"),))


def lost() -> StoreReply:
    """No answer: the connection closes."""
    return StoreReply(200, drop=True)


def held() -> StoreReply:
    """No answer within anybody's patience."""
    return StoreReply(200, delay_s=HOLD_S, drop=True)
