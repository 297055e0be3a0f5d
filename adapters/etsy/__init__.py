"""Etsy, Open API v3 (etsy.md; OpenAPI document of spring 2026)."""

from __future__ import annotations

from adapters.etsy.account import API_URL
from adapters.etsy.adapter import build, problems
from daemon.domain.channel import Option, Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="etsy",
    build=build,
    problems=problems,
    needs_base_url=False,
    default_base_url=API_URL,
    options=(
        Option("shop_id", "the shop's number, as /v3/application/users/me tells it", required=True),
        Option("keystring", "the app's keystring", required=True, secret=True),
        Option("shared_secret", "the app's shared secret", required=True, secret=True),
        Option(
            "refresh_token",
            "the seller's refresh token, with the scopes transactions_r listings_r listings_w shops_r",
            required=True,
            secret=True,
        ),
        Option(
            "renew",
            "no (the default): what Etsy calls sold out is left so; yes: it is put on sale again, for a fee",
            choices=("no", "yes"),
        ),
    ),
)
