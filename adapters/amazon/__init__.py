"""Amazon, Selling Partner API (amazon.md): orders 2026-01-01, listings 2021-08-01, feeds, notifications by SQS."""

from __future__ import annotations

from adapters.amazon.adapter import build
from daemon.domain.channel import Option, Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="amazon",
    build=build,
    needs_base_url=False,
    sends_webhooks=False,
    options=(
        Option("region", "where the seller sells: na, eu or fe", required=True, choices=("na", "eu", "fe")),
        Option("seller_id", "the seller's (merchant) id, as A1EXAMPLESELLER", required=True),
        Option(
            "marketplaces",
            "marketplace ids with commas between them: orders are read of all, levels written at the first",
            required=True,
        ),
        Option("queue_url", "the SQS queue, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", required=True),
        Option("queue_region", "its AWS region, where its URL does not name it"),
        Option("pending_hours", "an unpaid order is fetched again after so many hours of silence; 24 if left out"),
        Option(
            "bulk",
            "feed (the default): many levels go as one feed; patch: always one by one",
            choices=("feed", "patch"),
        ),
        Option("client_id", "the application's LWA client id", required=True, secret=True),
        Option("client_secret", "the application's LWA client secret", required=True, secret=True),
        Option("refresh_token", "the seller's LWA refresh token, Atzr|…", required=True, secret=True),
        Option("aws_key_id", "an AWS access key that may receive and delete there", required=True, secret=True),
        Option("aws_secret", "that access key's secret", required=True, secret=True),
        Option("aws_session", "the session token, for temporary AWS credentials", secret=True),
    ),
)
