"""Vendure 3, GraphQL admin API (self_hosted.md; measured at Vendure 3.7.3 on SQLite)."""

from __future__ import annotations

from adapters.vendure.adapter import build
from adapters.vendure.settings import OPTIONS, problems
from daemon.domain.channel import Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(name="vendure", build=build, options=OPTIONS, problems=problems)
