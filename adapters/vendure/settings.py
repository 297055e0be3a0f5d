"""What a Vendure channel takes in config.yaml, and what is wrong with it, as sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final

from daemon.domain.channel import Option

API: Final = "admin-api"

OPTIONS: Final = (
    Option(
        "username",
        "an administrator whose role may read orders, the catalogue and stock locations, and update the catalogue; "
        "the server needs bearer among its authOptions.tokenMethod",
    ),
    Option("password", "the administrator's password", secret=True),
    Option(
        "api_key",
        "an API key instead of the two, of Vendure 3.6 or newer with api-key among tokenMethod; each call costs the "
        "server the checking of a slow hash",
        secret=True,
    ),
    Option("location", "the id of the stock location whose stock is kept here; a shop with only one needs none"),
    Option("channel_token", "the token of the Vendure channel that is sold through; the default channel if left out"),
    Option("admin_api", f"the path of the admin API; {API} unless the server says otherwise"),
)

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_PATH = re.compile(r"[A-Za-z0-9_-]{1,60}(?:/[A-Za-z0-9_-]{1,60}){0,5}")


def problems(options: Mapping[str, str], secrets: Set[str]) -> Mapping[str, str]:
    """By key, what is wrong with the options, or with which secrets are given (`secrets` are their names)."""
    found: dict[str, str] = {}
    given = {*options, *secrets}
    if "api_key" in given and given & {"username", "password"}:
        found["api_key"] = "give either api_key, or username and password, not both"
    elif "api_key" not in given and not {"username", "password"} <= given:
        missing = sorted({"username", "password"} - given)
        found[missing[0]] = f"{' and '.join(missing)} missing: give username and password, or api_key"
    if "location" in options and not is_id(options["location"]):
        found["location"] = "write the id of a stock location, as the admin API shows it"
    if "channel_token" in options and not _TOKEN.fullmatch(options["channel_token"]):
        found["channel_token"] = "write the channel's token as its settings show it"  # noqa: S105  # words
    if "admin_api" in options and not _PATH.fullmatch(options["admin_api"].strip("/")):
        found["admin_api"] = "write a path as in the server's adminApiPath, without a host"
    return found


def is_id(text: str) -> bool:
    """Could this be an id of Vendure: a number, a UUID, or what else an id strategy makes?"""
    return _ID.fullmatch(text) is not None
