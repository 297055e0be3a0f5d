"""Walmart Marketplace, United States, API v3 (walmart.md; the specifications of 2026-06-27)."""

from __future__ import annotations

from adapters.walmart.adapter import build
from adapters.walmart.seller import BASE_URL
from daemon.domain.channel import Option, Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="walmart",
    build=build,
    options=(
        Option("client_id", "the API key's client id (Developer Portal, API keys)", required=True),
        Option("client_secret", "the API key's client secret", required=True, secret=True),
        Option("ship_node", "the ship node whose stock this is; needed only where the seller has several"),
        Option("channel_type", "WM_CONSUMER.CHANNEL.TYPE, for solution providers who were given one"),
        Option(
            "webhook_auth",
            "hmac (the default), or basic: then each webhook secret is written as user:password",
            choices=("hmac", "basic"),
        ),
        Option("webhook_header", "the header that carries the signature; X-Onhand-Signature unless said otherwise"),
    ),
    needs_base_url=False,
    default_base_url=BASE_URL,
    adopts=False,
)
