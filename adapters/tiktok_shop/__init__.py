"""TikTok Shop, Partner API in the versions of 2023 to 2026 that each endpoint's path names (tiktok_shop.md)."""

from __future__ import annotations

from adapters.tiktok_shop.adapter import build
from adapters.tiktok_shop.settings import API, OPTIONS, problems
from daemon.domain.channel import Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="tiktok_shop",
    build=build,
    options=OPTIONS,
    needs_base_url=False,
    problems=problems,
    default_base_url=API,
)
