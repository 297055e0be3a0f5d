"""Names in URLs to the sandbox storefront: encoded so that they stay in their place, and not too many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

ASKED_MAX: Final = 100
ASKED_BYTES_MAX: Final = 4000
"""Listings asked for in one URL: how many, and how long percent-encoded."""


def segment(name: str) -> str:
    """One path segment; a name of dots alone must not climb."""
    quoted = quote(name, safe="", errors="replace")
    return quoted if name.strip(".") else quoted.replace(".", "%2E")


def url_groups(listings: Sequence[str]) -> Iterator[list[str]]:
    """Split so that each group fits into one URL."""
    group: list[str] = []
    size = 0
    for listing in listings:
        cost = len(quote(listing, safe="", errors="replace")) + len("&listing=")
        if group and (len(group) == ASKED_MAX or size + cost > ASKED_BYTES_MAX):
            yield group
            group, size = [], 0
        group.append(listing)
        size += cost
    if group:
        yield group
