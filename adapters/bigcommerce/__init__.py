"""BigCommerce, REST V2 orders and V3 inventory and hooks (bigcommerce.md, documentation of 2026-04-01)."""

from __future__ import annotations

from adapters.bigcommerce.account import HOST
from adapters.bigcommerce.adapter import build, problems
from daemon.domain.channel import Option, Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="bigcommerce",
    build=build,
    problems=problems,
    needs_base_url=False,
    default_base_url=f"https://{HOST}",
    options=(
        Option("store_hash", "the store's name in the API path, as abc123xyz in stores/abc123xyz", required=True),
        Option(
            "access_token",
            "the API account's token; scopes: to read orders, products, locations, settings; to write inventory",
            required=True,
            secret=True,
        ),
        Option("webhook_key", "a secret of your own making, sent with each webhook in a header", secret=True),
        Option("location_id", "the number of the location whose stock is kept here; 1, the default one, if left out"),
        Option(
            "signed",
            "yes (the default): webhook_secrets hold the client secret; "
            "no, for stores that do not sign: they hold the header's secret",
            choices=("yes", "no"),
        ),
    ),
)
