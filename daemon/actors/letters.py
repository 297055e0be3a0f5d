"""What an observation looks like inside a dead letter, and how it comes out again."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from attrs import asdict
from msgspec import convert

from daemon.actors.actor import Part
from daemon.domain.observations import Observation, OrderLine
from daemon.storage.codec import Cause, dump_message, load_message, pack, unpack


def _cause_plain(cause: Cause) -> tuple[object, ...]:
    return (cause.by, cause.channel, cause.delivery, cause.order, cause.line)


def content_of(part: Part) -> bytes:
    """The message for a later retry; as words for a person where it is one that cannot be written down."""
    try:
        return pack((part.sku, dump_message(part.message), _cause_plain(part.cause)))
    except (ValueError, OverflowError, TypeError):
        return pack(ascii(part.message))


def sameness_of(part: Part) -> bytes:
    """Equal for observations that say the same of the same thing, whenever and by whichever way they came; empty for
    everything else: a SKU that is frozen, thawed and frozen again was told three things."""
    message = part.message
    if not isinstance(message, Observation):
        return b""
    if isinstance(message, OrderLine):
        said: object = (
            message.channel, message.order, message.line, part.sku, message.version, message.ordered,
            message.cancelled, message.restocked, message.fulfilled, message.kit, message.recipe,
        )  # fmt: skip
    else:
        said = message
    return blake2b(ascii(said).encode(), digest_size=16).digest()


def part_of(content: bytes) -> Part:
    """The message that a dead letter holds. Raises `ValueError` for one that could not be written down, and
    for content that never was one."""
    plain = unpack(content)
    if isinstance(plain, str):
        # Not a wrong type but a wrong wish: what was written down is words for a person.
        raise ValueError(f"the message itself cannot be kept, so it cannot be told again: {plain[:200]}")  # noqa: TRY004 - see above
    try:
        sku, message, cause = convert(plain, tuple[str, list[Any], tuple[str, str, int, str, str]])
        loaded = load_message(message, sku)
        # Held against the types of its fields: these bytes were not written by the log's own hand.
        return Part(sku, convert(asdict(loaded), type(loaded)), Cause(*cause))  # type: ignore[arg-type]  # what actors are told
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(f"this letter holds no message that can be read ({error}): discard it") from None


def subject_of(part: Part) -> str:
    """What the message is about, in words."""
    message = part.message
    if isinstance(message, OrderLine):
        words = f"order {message.order} line {message.line}"
        return words.encode("utf-8", "backslashreplace").decode()
    return type(message).__name__
