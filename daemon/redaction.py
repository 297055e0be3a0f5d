"""What a log line may say: no secrets, no buyers, one line, and not too much of it."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import Enum
from urllib.parse import quote, quote_plus

HIDDEN = "[redacted]"

MAX_CHARS = 512
MAX_ITEMS = 20
MAX_DEPTH = 3

REPLACED_MAX = 64
"""Access tokens are replaced every few minutes for years: so many old ones are still hidden."""

_MAX_READ_CHARS = 16 * MAX_CHARS
_MIN_SECRET_CHARS = 4
"""A shorter value would blank out half of every sentence, and guards nothing."""
_MIN_ENCODED_CHARS = 8
_URL_SAFE = str.maketrans("+/", "-_")
_HEAD_CHARS = 8
"""So much of a secret's beginning tells it; less of it guards nothing."""
_MAX_INT = 2**63

_TOLD_KEYS = re.compile(
    r"authori[sz]ation|signature|hmac|token|secret|passw|cookie|api_?key|consumer_?key|credential|private_?key"
    r"|customer|buyer|email|phone|address|first_?name|last_?name|full_?name|billing|shipping|recipient|post_?code",
    re.IGNORECASE,
)
_SCHEMES = re.compile(r"\b(basic|bearer) +[^\s\"',;]{4,}", re.IGNORECASE)
_PAIRS = re.compile(
    r"(authorization|signature|hmac|token|secret|password|cookie|api_?key|consumer_?key)"
    r"""(["']? ?[=:] ?["']?)[^\s&"',;}]+""",
    re.IGNORECASE,
)
_EMAILS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# Control characters, and those that reverse or hide text on a screen: a log line must look like what it is.
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]{0,200}")
"""Nothing but a protected secret can be wrong with such a text: no scheme, pair, address or control is without a sign
that is missing here. Most values are such."""
_NAMES_MAX = 1_000
"""Field names of which it is remembered how they are shown."""
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


class Redactor:
    """Makes any value fit to be logged. Knows the secrets it was told by value, wherever they turn up."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._forms: dict[str, set[str]] = {}
        self._replaced: OrderedDict[str, None] = OrderedDict()
        self._heads: re.Pattern[str] | None = None
        self._names: dict[str, tuple[bool, str]] = {}

    def protect(self, secret: str) -> None:
        """Hide `secret` from now on: as it is, percent-encoded, line by line where it has several, and as base64
        and hex would show it, whatever stands before it (`user:secret`)."""
        quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
        quoted |= {re.sub("%..", lambda found: found.group().lower(), form) for form in quoted}
        forms = {secret, *quoted, *secret.splitlines(), *_encoded(secret.encode("utf-8", "replace"))}
        self._forms[secret] = {form for form in forms if len(form) >= _MIN_SECRET_CHARS}
        self._replaced.pop(secret, None)
        self._gather()

    def replaced(self, secret: str) -> None:
        """It opens nothing any more. It is hidden until `REPLACED_MAX` others were replaced after it."""
        if secret in self._forms:
            self._replaced[secret] = None
        if len(self._replaced) > REPLACED_MAX:
            oldest, _ = self._replaced.popitem(last=False)
            del self._forms[oldest]
            self._gather()

    def _gather(self) -> None:
        self._secrets = set().union(*self._forms.values())
        # Longest first, so that a secret inside another one does not leave the rest of it standing.
        heads = sorted({form[:_HEAD_CHARS] for form in self._secrets}, key=lambda head: (-len(head), head))
        self._heads = re.compile("|".join(map(re.escape, heads))) if heads else None
        self._names.clear()

    def fields(self, fields: Mapping[str, object], depth: int = 0) -> dict[str, object]:
        """`fields` with every value fit to be logged; whole values of telling names are hidden."""
        clean: dict[str, object] = {}
        for key, value in list(fields.items())[: MAX_ITEMS if depth else None]:
            telling, name = self._names.get(key) or self._name(key)
            clean[name] = HIDDEN if telling and value is not None else self.value(value, depth)
        return clean

    def _name(self, key: object) -> tuple[bool, str]:
        """Does a name tell that its value is to be hidden? And the name as it may be shown."""
        text = str(key)
        name = (_TOLD_KEYS.search(text) is not None, self.text(text))
        if type(key) is str and len(self._names) < _NAMES_MAX:
            self._names[key] = name
        return name

    def value(self, value: object, depth: int = 0) -> object:
        """`value` as JSON can say it. Objects say their type alone: their `repr` could hold anything."""
        kind = type(value)
        if kind is str:
            return self.text(value)  # type: ignore[arg-type]  # it is one
        match value:
            case None | bool():
                return value
            case Enum():
                return self.text(value.name)
            case str():
                return self.text(value)
            case int():
                return value if -_MAX_INT < value < _MAX_INT else "<a huge number>"
            case float():
                return value if math.isfinite(value) else str(value)
            case bytes():
                return f"<{len(value)} bytes>"
            case BaseException():
                return self.text(f"{type(value).__name__}: {value}")
            case Mapping() if depth < MAX_DEPTH:
                return self.fields(value, depth + 1)
            case list() | tuple() if depth < MAX_DEPTH:
                return self._items(value, depth + 1)
        return f"<{type(value).__name__}>"

    def text(self, text: str) -> str:
        """One line of at most `MAX_CHARS` characters and a remark on what was cut; controls are shown escaped."""
        if _PLAIN.fullmatch(text) and (self._heads is None or not self._heads.search(text)):
            return text
        whole = len(text)
        text = text[:_MAX_READ_CHARS]
        if self._heads is not None:
            text = self._without_secrets(text, self._heads)
        text = _PAIRS.sub(rf"\1\2{HIDDEN}", _SCHEMES.sub(rf"\1 {HIDDEN}", text))
        if "@" in text:
            text = _EMAILS.sub(HIDDEN, text)
        if len(text) > MAX_CHARS:
            text = f"{text[:MAX_CHARS]}… ({whole} characters)"
        return _UNSAFE.sub(_escaped, text)

    def _without_secrets(self, text: str, heads: re.Pattern[str]) -> str:
        """Hides as much of a secret as is there: whoever cut the text may have cut a secret in two."""
        kept, at = [], 0
        while found := heads.search(text, at):
            head, start = found.group(), found.start()
            length = max(_agreeing(form, text, start) for form in self._secrets if form.startswith(head))
            kept += [text[at:start], HIDDEN]
            at = start + length
        return "".join([*kept, text[at:]])

    def _items(self, items: Iterable[object], depth: int) -> list[object]:
        shown = list(items)
        rest = len(shown) - MAX_ITEMS
        kept = [self.value(item, depth) for item in shown[:MAX_ITEMS]]
        return [*kept, f"… ({rest} more)"] if rest > 0 else kept


def _agreeing(form: str, text: str, start: int) -> int:
    """How many of the form's characters stand at `start`."""
    if text.startswith(form, start):
        return len(form)
    return next(
        place for place, (one, other) in enumerate(zip(form, text[start:] + "\0", strict=False)) if one != other
    )


def _encoded(secret: bytes) -> set[str]:
    """The secret in hex, and that part of its base64 that no neighbour changes, for each place it can begin at."""
    forms = {secret.hex(), secret.hex().upper()}
    for before in range(3):
        whole = b64encode(bytes(before) + secret).decode()
        end = (before + len(secret)) // 3 * 4
        forms.add(whole[-(-before * 4 // 3) : end])
    forms |= {form.translate(_URL_SAFE) for form in forms}
    return {form for form in forms if len(form) >= _MIN_ENCODED_CHARS}


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\u{ord(character):04x}")
