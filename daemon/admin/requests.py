"""Requests read strictly: path, query and body become values, or a refusal that names what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from attrs import frozen

from daemon.admin.answers import ApiError
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.strict_json import objection

BODY_MAX: Final = 64 << 10
"""Bytes of a command's body."""
PARAMETERS_MAX: Final = 16
IMPORT_ROWS_MAX: Final = 200
"""Counts of one request: they are applied in one turn of the loop, and durable in one commit."""

SKU_SCHEMA: Final = {"pattern": r"^([\x20-\x7E]{1,200}|[^\x00-\x1F\x7F]{1,50})$"}
"""What certainly is a SKU: JSON Schema cannot count bytes, of which there may be 200; 50 characters always fit."""

SkuName = Annotated[
    str, msgspec.Meta(description="1 to 200 bytes of UTF-8, no controls", extra_json_schema=SKU_SCHEMA)
]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Units = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
SignedUnits = Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX, extra_json_schema={"not": {"const": 0}})]


_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
MomentText = Annotated[
    str, msgspec.Meta(max_length=40, pattern=f"^({_DAY}[T ]{_TIME}(Z|[+-][0-9]{{2}}:[0-9]{{2}}))?$")
]
"""Like 2026-01-31T14:05Z, or nothing."""


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command without particulars."""


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/counts`: what a person counted, now. `on_hand` is what lies on the shelf, sold or not."""

    sku: SkuName
    quantity: Units
    kind: Literal["on_hand", "available"] = "on_hand"
    location: Name = ""
    reference: Name = ""
    reason: Text = ""


class Adjust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/adjustments`: units that came or went, now. The reference is the adjustment's identity."""

    sku: SkuName
    quantity: SignedUnits
    location: Name = ""
    reference: Name = ""
    reason: Text = ""


class CountLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a file of counts. `counted_at`: like 2026-01-31T14:05Z, empty for now. A SKU that cannot be one
    makes its line wrong, not the page."""

    line: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    sku: Annotated[str, msgspec.Meta(max_length=1_000)]
    quantity: Units
    kind: Literal["on_hand", "available"] = "on_hand"
    location: Name = ""
    counted_at: Annotated[str, msgspec.Meta(max_length=40)] = ""
    reference: Name = ""
    note: Text = ""


class Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/import`: a page of counts from one file; without `apply` nothing changes. (file, line) is a count's
    identity: told again it changes nothing. `file` is 16 hexadecimal digits of a digest of the file's content."""

    file: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    rows: Annotated[tuple[CountLine, ...], msgspec.Meta(max_length=IMPORT_ROWS_MAX)]
    apply: bool = False


class Because(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command that may say why."""

    reason: Text = ""


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/backup`: an absolute path on the daemon's host."""

    directory: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^/[^\x00]*$")]


class LinkLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a file of links: which SKU a listing is; the empty one: none. What cannot be makes its line wrong,
    not the page."""

    line: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    channel: Annotated[str, msgspec.Meta(max_length=200)]
    listing: Annotated[str, msgspec.Meta(max_length=1_000)]
    sku: Annotated[str, msgspec.Meta(max_length=1_000)]
    reason: Text = ""


class Links(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/links`: a page of links; without `apply` nothing changes."""

    rows: Annotated[tuple[LinkLine, ...], msgspec.Meta(max_length=IMPORT_ROWS_MAX)]
    apply: bool = False


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/replay`: kept deliveries, of one channel if `channel`, received from `since` to before `until` (like
    2026-01-31T14:05Z; empty: all). Without `apply` nothing changes."""

    channel: Annotated[str, msgspec.Meta(max_length=40)] = ""
    since: MomentText = ""
    until: MomentText = ""
    apply: bool = False


class Rebuild(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/rebuild`: with `verify`, differences are reported and left as they are."""

    verify: bool = False


B = TypeVar("B")


def read_body(body: bytes, shape: type[B]) -> B:
    """The body as `shape`; an empty one counts as `{}`. Raises `ApiError` 400 that names the field."""
    why = objection(body) if body else ""
    try:
        value = _decoded(body or b"{}", shape)
    except (msgspec.DecodeError, RecursionError) as error:  # the parent of ValidationError: also what is no JSON
        why = str(error)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    else:
        if not why:
            return value
    raise ApiError(400, "bad_body", f"the body is not as expected: {why}", _fields(shape))


def _decoded(body: bytes, shape: type[B]) -> B:
    """The body as `shape`. In JSON 4.0 is the whole number 4, and the description cannot say otherwise."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        try:
            return msgspec.convert(_whole(msgspec.json.decode(body)), type=shape)
        except (msgspec.ValidationError, RecursionError):
            raise error from None


def _whole(value: Any) -> Any:
    """The same, with every number that is whole as one."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {name: _whole(each) for name, each in value.items()}
    return value


def _fields(shape: type[B]) -> str:
    known = ", ".join(field.name for field in msgspec.structs.fields(shape))  # type: ignore[arg-type]  # all are Structs
    return f"send a JSON object with: {known}" if known else "send no body, or {}"


def decode_segment(segment: str) -> str:
    """A path segment with its percent-encoding undone. `segment` is latin-1 text, as the listener gives it."""
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeError:
        raise ApiError(
            400, "bad_path", "a part of the path is not UTF-8", "percent-encode the UTF-8 bytes of the name"
        ) from None


@frozen
class Word:
    """A parameter that is text; the empty one is as good as none."""

    name: str
    about: str
    is_sku: bool = False


@frozen
class Whole:
    """A parameter that is a whole number from `low` to `high`."""

    name: str
    about: str
    default: int
    low: int
    high: int


Param = Word | Whole


class Query:
    """The parameters of a request, each read once with its bounds."""

    def __init__(self, query: str, takes: Sequence[Param]) -> None:
        """Raises `ApiError` 400 for an unknown or repeated parameter."""
        try:
            pairs = parse_qsl(
                query.encode("latin-1").decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=PARAMETERS_MAX,
            )
        except ValueError:  # too many, or not UTF-8
            raise _bad_query("the query cannot be read", "percent-encode UTF-8 text") from None
        self._given: dict[str, str] = {}
        allowed = sorted(param.name for param in takes)
        for name, value in pairs:
            if name not in allowed:
                hint = f"this path takes: {', '.join(allowed) or 'no parameters'}"
                raise _bad_query(f"there is no parameter {name!r} here", hint)
            if name in self._given:
                raise _bad_query(f"the parameter {name!r} is there twice", "give it once")
            self._given[name] = value

    def text(self, word: Word) -> str:
        """The value, or the empty string."""
        return self._given.get(word.name, "")

    def whole(self, number: Whole) -> int:
        """The value, or the default. Raises `ApiError` 400 for what is no whole number or out of its bounds."""
        text = self._given.get(number.name)
        if text is None:
            return number.default
        digits = text.isascii() and text.isdigit() and len(text) <= 19
        if not (digits and number.low <= int(text) <= number.high):
            raise _bad_query(
                f"{number.name} must be a whole number from {number.low} to {number.high}",
                f"leave {number.name} out, or mend it",
            )
        return int(text)


def _bad_query(message: str, hint: str) -> ApiError:
    return ApiError(400, "bad_query", message, hint)
