"""SKUs that are spelled nearly alike: perhaps one SKU, written twice. Nothing is guessed, a person is shown them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def spelling(sku: str) -> str:
    """Equal for SKUs that differ by case, blanks or the form of their letters alone."""
    return "".join(unicodedata.normalize("NFKC", sku).casefold().split())


def nearly_alike(skus: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By SKU the others that are spelled nearly as it is; only those that have any."""
    groups: dict[str, list[str]] = {}
    for sku in dict.fromkeys(skus):
        groups.setdefault(spelling(sku), []).append(sku)
    return {
        sku: tuple(other for other in group if other != sku)
        for group in groups.values()
        if len(group) > 1
        for sku in group
    }
