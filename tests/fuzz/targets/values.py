"""Single values that strangers write: stamps, waits, addresses, SKUs, and text on its way into the log."""

from __future__ import annotations

import math
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx

from adapters.sandbox_urls import segment, url_groups
from adapters.stamps import http_date_span, retry_after_s, rfc3339, rfc3339_span
from adapters.strict import UnreadableError, whole_units
from adapters.woocommerce.payloads import listing_id, second
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX, SKU_BYTES_MAX, BadSkuError, check_sku
from daemon.ingress.signature import _moment_us
from daemon.outbound.address import AddressPolicy
from daemon.redaction import MAX_CHARS, Redactor
from tests.fuzz.target import Cut, Target

_LAST_US: Final = 253_402_300_800 * SECOND_US + 24 * 3600 * SECOND_US


def stamps(data: bytes) -> None:
    """A stamp is read exactly or not at all; what is read is a moment that can be written again."""
    cut = Cut(data)
    date, text = cut.latin(), cut.rest().decode("utf-8", "surrogatepass_or_replace")
    span = rfc3339_span(text)
    if span is not None:
        _is_moment(span)
        assert span.hi - span.lo in [10**n - 1 for n in range(7)], "as exact as it was written"
        again = rfc3339_span(rfc3339(span.lo))
        assert again is not None
        assert again.lo == span.lo or span.lo >= _LAST_US - 48 * 3600 * SECOND_US
    for known in (http_date_span(text), http_date_span(date)):
        if known is not None:
            _is_moment(known)
            assert known.hi - known.lo == SECOND_US - 1
    for now in (None, http_date_span(date), Span(0, 0)):
        wait = retry_after_s(text, now)
        assert wait is None or (0 <= wait < 1e12 and math.isfinite(wait) and isinstance(wait, float))
    try:
        _is_moment(second(text))
    except UnreadableError:
        pass
    moment = _moment_us(date)
    assert moment is None or type(moment) is int


def _is_moment(span: Span) -> None:
    assert type(span.lo) is type(span.hi) is int
    assert 0 <= span.lo <= span.hi <= _LAST_US


def addresses(data: bytes) -> None:
    """What the policy judged is what the client would connect to: no host hides behind another reading of a URL."""
    cut = Cut(data)
    policy = AddressPolicy(
        frozenset({"shop.example", "127.0.0.1", "[::1]", "::1", "10.0.0.1:8080"}), cut.flag(), cut.flag()
    )
    url = cut.rest().decode("utf-8", "surrogatepass_or_replace")
    refusal = policy.refusal(url)
    if refusal is not None:
        assert refusal
        assert "\n" not in refusal
        return
    parts = urlsplit(url)
    try:
        seen = httpx.URL(url)
    except httpx.InvalidURL:
        return
    assert seen.host == (parts.hostname or ""), f"{seen.host} is connected to, {parts.hostname} was judged"
    assert seen.scheme == parts.scheme
    assert (seen.port or {"http": 80, "https": 443}[seen.scheme]) == (
        parts.port if parts.port is not None else {"http": 80, "https": 443}[parts.scheme]
    )


def names(data: bytes) -> None:
    """SKUs, listing ids and quantities: kept exactly, or refused; names in URLs stay in their place."""
    text = data.decode("utf-8", "surrogatepass_or_replace")
    try:
        sku = check_sku(text)
    except BadSkuError as error:
        assert "\n" not in str(error)
    else:
        assert sku == text
        assert 0 < len(sku.encode()) <= SKU_BYTES_MAX
        assert all(ord(letter) >= 32 and ord(letter) != 127 for letter in sku)
    listing = listing_id(text)
    assert listing is None or str(listing) == text
    for value in (text, _number(text)):
        try:
            units = whole_units(value, "a quantity", least=-QUANTITY_MAX)
        except UnreadableError:
            continue
        assert type(units) is int
        assert -QUANTITY_MAX <= units <= QUANTITY_MAX
    quoted = segment(text)
    assert not set(quoted) & set("/?#& ")
    assert quoted not in (".", "..")
    assert [each for group in url_groups([text, "a", text]) for each in group] == [text, "a", text]


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return None


_SECRET: Final = "s3cr3t/with+signs=="


def redaction(data: bytes) -> None:
    """A log line is one line, of bounded length, without the secrets that the redactor knows."""
    redactor = _redactor()
    text = data.decode("utf-8", "surrogatepass_or_replace")
    for whole in (text, text[: len(text) // 2] + _SECRET + text[len(text) // 2 :]):
        shown = redactor.text(whole)
        assert _SECRET not in shown
        assert len(shown) <= 6 * MAX_CHARS + 64
        assert shown.isprintable() or not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    fields = redactor.fields({text[:40]: 1, "authorization": text, "n": {"a": [text[:20]] * 30}})
    assert fields["authorization"] == "[redacted]"


@cache
def _redactor() -> Redactor:
    made = Redactor()
    made.protect(_SECRET)
    return made


TARGETS: Final = (
    Target(
        "stamps",
        stamps,
        "RFC 3339, HTTP dates, Retry-After, WooCommerce's naive stamps",
        96,
        (
            b"Mon, ",
            b" Nov 2026 ",
            b" GMT",
            b"T",
            b"Z",
            b"+00:00",
            b".000001",
            b"9999-12-31",
            b"-23:59",
            b"1970-01-01",
        ),
        lambda: (
            b"\x1dMon, 23 Nov 2026 06:00:00 GMT2026-11-23T06:00:00.123456Z",
            b"\x1dMon, 23 Nov 2026 06:00:00 GMTMon, 23 Nov 2026 06:00:05 GMT",
            b"\x0a176390000012.5",
            b"\x142026-11-23T06:00:00Z2026-11-23T06:00:00",
        ),
    ),
    Target(
        "addresses",
        addresses,
        "URLs against the address policy, and httpx's reading of them",
        128,
        (
            b"https://",
            b"http://",
            b"shop.example",
            b"127.0.0.1",
            b"[::1]",
            b":443",
            b"@",
            b"\\",
            b"%2e",
            b"#",
            b"?",
            b"\xe3\x80\x82",
            b"xn--",
            b"\xef\xbc\x8e",
            b"0x7f",
        ),
        lambda: (
            b"\1\1https://shop.example/a?b#c",
            b"\0\0http://127.0.0.1:80/",
            b"\1\1https://[::1]:443/x",
            b"\1\1http://shop.example@127.0.0.1/",
            b"\1\1https://10.0.0.1:8080/wp-json",
        ),
    ),
    Target(
        "names",
        names,
        "SKUs, listing ids, quantities, names in URLs",
        256,
        (b"/", b"..", b"%2E", b"\xed\xa0\x80", b"\x00", b"1e999", b"9007199254740993", b".0", b"-0"),
        lambda: (b"TEE-RED-M", b"12/34", b"..", b"2.0", b"1e400", "\u00e4\U0001f388".encode()),
    ),
    Target(
        "redaction",
        redaction,
        "what a log line may say",
        2_048,
        (b"authorization: ", b"Bearer ", b"token=", b"@", b".example", b"\xe2\x80\xae", b"s3cr3t", b"\r\n"),
        lambda: (
            b"Basic abcdef token=x a@b.example",
            b"password: hunter2 & signature=AAAA",
            b"\x1b[31mred\xe2\x80\xae",
            b"api_key=k&x",
            b"a" * 600,
        ),
    ),
)
