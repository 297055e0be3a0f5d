"""Requests to one shop's GraphQL endpoint, and the three kinds of access token (shopify.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import evolve, field, frozen

from adapters.shopify.answers import decode, failed_read, reading, retry_after
from adapters.shopify.documents import LOCATIONS, LOCATIONS_COST
from adapters.shopify.payloads import gid
from adapters.strict import UnreadableError
from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.outcomes import Failure, Outcome

API_VERSION: Final = "2026-10"
"""Pinned. A version is served for a year at least; after that the oldest one that is left answers (§1)."""

TOKEN: Final = "main"  # noqa: S105  # a name, not a secret
TOKEN_HEADER: Final = "x-shopify-access-token"  # noqa: S105  # as above
READ_TIMEOUT_S: Final = 30.0
WRITE_TIMEOUT_S: Final = 30.0
TOKEN_TIMEOUT_S: Final = 10.0


@frozen
class Shop:
    """One shop's address and how we get in.

    domain: as `X-Shopify-Shop-Domain` names the shop
    location: the number of the location whose stock is ours to write; "": the only one that the shop has
    token: a static one, from an app made in the shop's own admin; "": `client` asks for them
    client: the app's (id, secret) · refresh: its refresh token, "" for the client-credentials grant
    """

    base_url: str
    domain: str
    location: str
    token: str = field(default="", repr=False)
    client: tuple[str, str] | None = field(default=None, repr=False)
    refresh: str = field(default="", repr=False)

    def ask(self, document: str, variables: Mapping[str, Any], cost: float, *, write: bool = False) -> Request:
        """One GraphQL call. Its cost is what it may be charged at most."""
        request = Request(
            "POST",
            f"{self.base_url}/admin/api/{API_VERSION}/graphql.json",
            headers={"accept": "application/json", "content-type": "application/json"},
            body=msgspec.json.encode({"query": document, "variables": variables}),
            timeout_s=WRITE_TIMEOUT_S if write else READ_TIMEOUT_S,
            cost=cost,
        )
        if self.token:
            return place(request, self.token)
        return evolve(request, token=TOKEN)

    def tokens(self) -> tuple[TokenSource, ...]:
        """The source of tokens, where they are not static. Client credentials live a day, others an hour (§1)."""
        if self.client is None:
            return ()
        return (TokenSource(TOKEN, self._ask_token, place, refresh=self.refresh),)

    def _ask_token(self, refresh: str) -> Exchange[Token | Failure]:
        """A new token. A refresh token rotates with every use; the old one stays good until the new one is first
        used, so an answer that was lost may be asked for again (§1)."""
        assert self.client is not None
        grant = {"grant_type": "refresh_token", "refresh_token": refresh} if refresh else {
            "grant_type": "client_credentials",
        }  # fmt: skip
        response = yield Request(
            "POST",
            f"{self.base_url}/admin/oauth/access_token",
            headers={"accept": "application/json", "content-type": "application/json"},
            body=msgspec.json.encode({"client_id": self.client[0], "client_secret": self.client[1], **grant}),
            timeout_s=TOKEN_TIMEOUT_S,
        )
        return _token(response, rotates=bool(refresh))


class _Location(msgspec.Struct):
    id: str


class _Locations(msgspec.Struct):
    nodes: list[_Location]


class _LocationsData(msgspec.Struct):
    locations: _Locations


def located(shop: Shop) -> Exchange[str | Failure]:
    """The gid of the location whose stock is ours to write; asked for where it is not configured.

    A shop with several has to be told which: their stock adds up in the shop, and must not be written twice (§5)."""
    if shop.location:
        return gid("Location", shop.location)
    response = yield shop.ask(LOCATIONS, {}, LOCATIONS_COST)
    data = reading(response, _LocationsData)
    if isinstance(data, Failure):
        return data
    found = [each.id for each in data.locations.nodes]
    if len(found) != 1:
        many = "has no location" if not found else "has several locations"
        why = f"the shop {many}: set location to the number of the one whose stock is kept here"
        return failed_read(why, "permanent")
    return found[0]


def place(request: Request, token: str) -> Request:
    """The request with its token, where no log shows it."""
    return evolve(request, secret_headers={**request.secret_headers, TOKEN_HEADER: token})


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str = ""


class _Denied(msgspec.Struct):
    error: str = ""


def _token(response: Response, *, rotates: bool) -> Token | Failure:
    """What the token endpoint said: `invalid_client` is a wrong secret, or an app that was uninstalled (§1)."""
    if response.status == 200:
        try:
            granted = decode(response.body, _Granted)
        except UnreadableError:
            return Failure(Outcome("transient", "the shop's token endpoint gave no token that could be read"))
        if not granted.access_token or (rotates and not granted.refresh_token):
            return Failure(Outcome("transient", "the shop's token endpoint left a token out"))
        lives_s = granted.expires_in if granted.expires_in is None else max(0.0, granted.expires_in)
        return Token(granted.access_token, lives_s, granted.refresh_token if rotates else "")
    if response.status == 429 or response.status >= 500:
        return Failure(Outcome("transient", f"{response.status} from the shop's token endpoint",
                               retry_after_s=retry_after(response)))  # fmt: skip
    try:
        error = decode(response.body, _Denied).error[:60]
    except UnreadableError:
        error = ""
    remedy = (
        "consent again, and configure the new refresh_token"
        if error == "invalid_grant" or (rotates and error != "invalid_client")
        else "check client_id and client_secret, and that the app is installed in the shop"
    )
    return Failure(Outcome("permanent", f"the shop gives no access token ({error or response.status}): {remedy}"))
