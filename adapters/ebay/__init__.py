"""eBay: Fulfillment, Inventory and Notification APIs, and of the Trading API what those do not tell (ebay.md)."""

from __future__ import annotations

from adapters.ebay.adapter import build
from adapters.ebay.api import PRODUCTION
from daemon.domain.channel import Option, Platform

__all__ = ["PLATFORM"]

PLATFORM = Platform(
    name="ebay",
    build=build,
    needs_base_url=False,
    default_base_url=PRODUCTION,
    # Levels may take minutes to show (from memory, unsure, ebay.md §5.4), and so may the sale that lowered one (§4).
    adopts=False,
    options=(
        Option("client_id", "the App ID of your keyset at developer.ebay.com", required=True),
        Option("client_secret", "the keyset's Cert ID", required=True, secret=True),
        Option("refresh_token", "the user refresh token that the seller's consent gave", required=True, secret=True),
        Option("scopes", "scopes to ask for, apart by blanks (the default: all that the seller consented to)"),
        Option(
            "user_id",
            "the seller's immutable eBay user id: notifications for anybody else are then not even looked at",
        ),
        Option("alert_email", "where eBay writes to when it cannot deliver notifications; needed to subscribe"),
        Option(
            "notifications",
            "signed (the default): the Notification API, subscribed by onhand, webhook_secrets holding the "
            "verification token · platform: Platform Notifications, set up by you for PUBLIC_URL?key=SECRET, "
            "taken as hints alone",
            choices=("signed", "platform"),
        ),
        Option(
            "unpaid_orders",
            "trading (the default): purchases that are not paid yet are read from the Trading API · none: every "
            "listing requires immediate payment, so there are none",
            choices=("trading", "none"),
        ),
        Option(
            "at_zero",
            "ask (the default): before a 0 is pushed, eBay is asked if the account's out-of-stock control is on: "
            "off, a 0 would end the listing, and is not pushed · push: it is pushed in any case; set this where the "
            "control is on, so that no question holds a 0 back",
            choices=("ask", "push"),
        ),
        Option("trading_calls_per_day", "the keyset's daily limit of Trading calls (the default: 5000)"),
    ),
)
