"""What a Shopify channel takes in config.yaml, and what is wrong with it, as sentences (shopify.md §1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final

from daemon.domain.channel import Option, Setup

OPTIONS: Final = (
    Option("shop", "the shop's name, as in NAME.myshopify.com", required=True),
    Option("location", "the number of the location whose stock is kept here; a shop with only one needs none"),
    Option("token", "a static access token, shpat_…, of an app made in the shop's own admin", secret=True),
    Option("client_id", "the app's client id, where there is no static token"),
    Option("client_secret", "the app's client secret", secret=True),
    Option("refresh_token", "the offline refresh token of a public app", secret=True),
)

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_LOCATION = re.compile(r"(?:gid://shopify/Location/)?([1-9][0-9]{0,18})")
_DOMAIN = ".myshopify.com"


def problems(options: Mapping[str, str], secrets: Set[str]) -> Mapping[str, str]:
    """By key, what is wrong with the options, or with which secrets are given (`secrets` are their names)."""
    found: dict[str, str] = {}
    if "shop" in options and not _SHOP.fullmatch(shop_name(options["shop"])):
        found["shop"] = "write the shop's name as in NAME.myshopify.com, not its own domain"
    if "location" in options and not _LOCATION.fullmatch(options["location"]):
        found["location"] = "write the location's number, or gid://shopify/Location/NUMBER"
    client, given = {"client_id", "client_secret"}, {*options, *secrets}
    if "token" in given and given & {*client, "refresh_token"}:
        found["token"] = "give either a static token, or client_id and client_secret, not both"  # noqa: S105  # words
    elif "token" not in given and not client <= given:
        missing = sorted(client - given)
        found[missing[0]] = f"{' and '.join(missing)} missing: give token, or client_id and client_secret"
    return found


def shop_name(text: str) -> str:
    """NAME of `NAME`, or of `NAME.myshopify.com`."""
    return text.strip().lower().removesuffix(_DOMAIN)


def domain(setup: Setup) -> str:
    """The shop's own name at Shopify."""
    return shop_name(setup.options["shop"]) + _DOMAIN


def address(setup: Setup) -> str:
    """Where the shop's API is; a configured base_url stands in for it (a test store of one's own)."""
    return setup.base_url.rstrip("/") or f"https://{domain(setup)}"


def location_number(setup: Setup) -> str:
    """The configured location's number; "" where there is none."""
    found = _LOCATION.fullmatch(setup.options.get("location", ""))
    return found[1] if found else ""
