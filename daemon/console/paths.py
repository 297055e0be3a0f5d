"""What of the admin socket the page may use: a fixed list of queries, and of commands where they are asked for."""

from __future__ import annotations

from typing import Final

READS: Final = (
    "/v1/status",
    "/v1/skus",
    "/v1/skus/{sku}",
    "/v1/skus/{sku}/history",
    "/v1/skus/{sku}/explain",
    "/v1/channels",
    "/v1/drift",
    "/v1/dead-letters",
    "/v1/dead-letters/{id}",
)

COMMANDS: Final = (
    "/v1/dead-letters/{id}/retry",
    "/v1/dead-letters/{id}/discard",
    "/v1/channels/{channel}/pause",
    "/v1/channels/{channel}/resume",
    "/v1/channels/{channel}/reconcile",
    "/v1/skus/{sku}/push",
    "/v1/skus/{sku}/pull",
    "/v1/skus/{sku}/freeze",
    "/v1/skus/{sku}/unfreeze",
)


def kind_of(path: str) -> str:
    """ "read", "command", or "" for what is not on the lists. `path` is percent-encoded, as it came."""
    segments = path.split("/")
    if _any_matches(READS, segments):
        return "read"
    return "command" if _any_matches(COMMANDS, segments) else ""


def _any_matches(templates: tuple[str, ...], segments: list[str]) -> bool:
    return any(_matches(template.split("/"), segments) for template in templates)


def _matches(template: list[str], segments: list[str]) -> bool:
    return len(template) == len(segments) and all(
        bool(segment) if own.startswith("{") else own == segment
        for own, segment in zip(template, segments, strict=True)
    )
