"""What a TikTok Shop channel takes in config.yaml, and what cannot work, as sentences (tiktok_shop.md §1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final
from urllib.parse import urlsplit

from daemon.domain.channel import Option, Setup

API: Final = "https://open-api.tiktokglobalshop.com"
"""The API of all regions (§1)."""
AUTH: Final = "https://auth.tiktok-shops.com"
"""Where tokens are asked for (§1)."""

OPTIONS: Final = (
    Option("app_key", "the app's key, from Partner Center", required=True),
    Option("app_secret", "the app's secret; it signs the webhooks, too", required=True, secret=True),
    Option("refresh_token", "the refresh token that the seller's consent gave", required=True, secret=True),
    Option("shop_cipher", "the shop's cipher; without it each conversation asks first which shops there are"),
    Option("shop_id", "the shop's id, where the app is authorized for several"),
    Option("warehouse", "the id of the sales warehouse whose stock is written, where the shop has several"),
    Option("auth_url", f"where tokens are asked for, if not at {AUTH}"),
)

_ID: Final = re.compile(r"[0-9]{1,30}")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,500}")


def problems(options: Mapping[str, str], secrets: Set[str]) -> Mapping[str, str]:
    """By key, what is wrong with the options (`secrets` are only names, and their absence is told elsewhere)."""
    del secrets
    found: dict[str, str] = {}
    for name in ("shop_id", "warehouse"):
        if name in options and not _ID.fullmatch(options[name]):
            found[name] = "write the number that TikTok Shop gives it"
    for name in ("app_key", "shop_cipher"):
        if name in options and not _VISIBLE.fullmatch(options[name]):
            found[name] = "write it as TikTok Shop shows it, without blanks"
    if "auth_url" in options and not _is_address(options["auth_url"]):
        found["auth_url"] = "write https:// and a host"
    return found


def check(setup: Setup) -> None:
    """Raises `ValueError` with a sentence for what cannot work."""
    options, secrets = setup.options, setup.secrets
    if not options.get("app_key") or not secrets.get("app_secret") or not secrets.get("refresh_token"):
        raise ValueError("a TikTok Shop channel needs app_key, app_secret and refresh_token")
    for key, sentence in problems(options, secrets.keys()).items():
        raise ValueError(f"{key}: {sentence}")
    if secrets["app_secret"] not in setup.webhook_secrets and setup.webhook_secrets and all(setup.webhook_secrets):
        # A webhook that we refuse counts as taken there (§7, trap 5): it would never come again. (A secret that
        # cannot be had is empty here; then webhooks are answered 503, and do come again.)
        raise ValueError("webhook_secrets: TikTok Shop signs webhooks with the app secret, so it must be one of them")


def auth_url(setup: Setup) -> str:
    """Where tokens are asked for, without a slash at its end."""
    return setup.options.get("auth_url", AUTH).rstrip("/")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        plain = parts.scheme == "http" and loopback and parts.port is not None
    except ValueError:
        return False
    within = not parts.query and not parts.fragment and "@" not in url and _VISIBLE.fullmatch(url) is not None
    return bool(parts.hostname) and within and (parts.scheme == "https" or plain)
