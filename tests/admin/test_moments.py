"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from daemon.admin.moments import BadMomentError, moment_us


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


NOW = us("2026-01-31T14:05:06+00:00")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-01-31T14:05:06+00:00"),
        ("2026-01-31T13:00:00Z", "2026-01-31T13:00:00+00:00"),
        ("2026-01-31 13:00", "2026-01-31T13:00:00+00:00"),
        ("2026-01-31T13:00:00.25+02:00", "2026-01-31T11:00:00.250000+00:00"),
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("09:15", "2026-01-31T09:15:00+00:00"),
        ("09:15:30", "2026-01-31T09:15:30+00:00"),
        ("2h ago", "2026-01-31T12:05:06+00:00"),
        ("90 minutes ago", "2026-01-31T12:35:06+00:00"),
        ("1 day ago", "2026-01-30T14:05:06+00:00"),
        ("30s ago", "2026-01-31T14:04:36+00:00"),
    ],
)
def test_a_moment_is_read_as_it_is_meant(text: str, meant: str) -> None:
    assert moment_us(text, NOW) == us(meant)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yesterday", "is no moment"),
        ("2026-02-30", "is no moment"),
        ("25:00", "is no moment"),
        ("2 fortnights ago", "is no moment"),
        ("x" * 1_000, "is no moment"),
        ("23:00", "is still to come"),
        ("2027-01-01", "is still to come"),
        ("99999 weeks ago", "is before 1970"),
    ],
)
def test_what_is_no_moment_of_the_past_is_said_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(BadMomentError, match=why):
        moment_us(text, NOW)
