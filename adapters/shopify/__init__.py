"""Shopify, GraphQL Admin API (shopify.md)."""

from __future__ import annotations

from adapters.shopify.adapter import build
from adapters.shopify.settings import OPTIONS, problems
from daemon.domain.channel import Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(name="shopify", build=build, options=OPTIONS, needs_base_url=False, problems=problems)
