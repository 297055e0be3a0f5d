"""WooCommerce, self-hosted, REST namespace wc/v3 (woocommerce.md; recordings of 7.9.0 and 10.5.0)."""

from __future__ import annotations

from adapters.woocommerce.adapter import build
from daemon.domain.channel import Option, Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="woocommerce",
    build=build,
    options=(
        Option("consumer_key", "the REST key, ck_…, with read and write permission", required=True, secret=True),
        Option("consumer_secret", "the REST key's secret, cs_…", required=True, secret=True),
        Option(
            "auth",
            "basic (the default), or query for hosts that strip the Authorization header",
            choices=("basic", "query"),
        ),
    ),
)
