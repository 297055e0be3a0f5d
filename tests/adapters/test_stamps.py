"""Stamps are read as exactly as they were written, and never more so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stamps import http_date_span, retry_after_s, rfc3339, rfc3339_span
from daemon.domain.instants import Span

T = 1_795_413_600_000_000


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2026-11-23T06:00:00Z", Span(T, T + 999_999)),
        ("2026-11-23T06:00:00.5Z", Span(T + 500_000, T + 599_999)),
        ("2026-11-23T06:00:00.123Z", Span(T + 123_000, T + 123_999)),
        ("2026-11-23t06:00:00.123456z", Span(T + 123_456, T + 123_456)),
        ("2026-11-23T06:00:00.123456789Z", Span(T + 123_456, T + 123_456)),
        ("2026-11-23 08:30:00+02:30", Span(T, T + 999_999)),
        ("2026-11-22T23:00:00-07:00", Span(T, T + 999_999)),
    ],
)
def test_a_stamp_stands_for_all_that_its_digits_leave_open(text: str, span: Span) -> None:
    assert rfc3339_span(text) == span


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-23T06:00:00", "2026-11-23", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "1795413600",
        "2026-11-23T06:00:60Z", "1969-12-31T23:59:59Z", "2026-11-23T06:00:00Z ", "٢٠٢٦-11-23T06:00:00Z",
        "2026-11-23T06:00:00.1234567890Z", "2026-11-23T06:00:00+25:00", "0001-01-01T00:00:00+10:00",
    ],
)  # fmt: skip
def test_what_is_no_stamp_with_a_zone_is_none(text: str) -> None:
    assert rfc3339_span(text) is None


@given(us=st.integers(0, 250_000_000_000_000_000))
def test_what_is_written_is_read_back(us: int) -> None:
    assert rfc3339_span(rfc3339(us)) == Span(us, us)


def test_an_http_date_is_a_whole_second() -> None:
    assert http_date_span("Mon, 23 Nov 2026 06:00:00 GMT") == Span(T, T + 999_999)


@pytest.mark.parametrize(
    "text",
    ["", "Mon, 23 Nov 2026 06:00:00 +0100", "23 Nov 2026", "Mon, 31 Feb 2026 06:00:00 GMT",
     "Mon, 01 Jan 1900 00:00:00 GMT"],
)  # fmt: skip
def test_what_is_no_http_date_is_none(text: str) -> None:
    assert http_date_span(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0), (" 0.5 ", 0.5), ("Mon, 23 Nov 2026 06:00:09 GMT", 9.0), ("Mon, 23 Nov 2026 05:00:00 GMT", 0.0),
        ("", None), ("soon", None), ("-1", None), ("1e9", None), ("٣", None), ("1" * 30, None),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date_seen_from_the_channels_clock(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, Span(T, T + 999_999)) == seconds


def test_a_date_to_retry_after_says_nothing_where_the_channels_clock_is_unknown() -> None:
    assert retry_after_s("Mon, 23 Nov 2026 06:00:09 GMT", None) is None
