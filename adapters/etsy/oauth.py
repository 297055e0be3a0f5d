"""The seller's access token: good for an hour, renewed with a refresh token that is another one each time (§1)."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from attrs import evolve

from adapters.etsy.account import READ_TIMEOUT_S, USER_TOKEN, Shop
from adapters.etsy.refusals import wait_s
from adapters.strict import UnreadableError, decode
from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, Request
from daemon.domain.outcomes import Failure, Outcome

LIFE_MAX_S = 7 * 86_400.0
"""A longer life is none that Etsy gives: an hour is usual."""


class _Given(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str = ""


class _Refused(msgspec.Struct):
    error: str = ""


def source(shop: Shop, refresh: str) -> TokenSource:
    """Where the shop's token comes from. The refresh token is over 90 days after it was used last."""

    def ask(refresh_token: str) -> Exchange[Token | Failure]:
        return _renew(shop, refresh_token)

    return TokenSource(USER_TOKEN, ask, place, refresh)


def place(request: Request, token: str) -> Request:
    """`<user id>.<token>` as a bearer token."""
    return evolve(request, secret_headers={**request.secret_headers, "authorization": f"Bearer {token}"})


def _renew(shop: Shop, refresh: str) -> Exchange[Token | Failure]:
    form = {"grant_type": "refresh_token", "client_id": shop.keystring, "refresh_token": refresh}
    response = yield Request(
        "POST",
        shop.token_url(),
        {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
        urlencode(form).encode(),
        timeout_s=READ_TIMEOUT_S,
    )
    if 200 <= response.status < 300:
        try:
            given = decode(response.body, _Given)
        except UnreadableError:
            return Failure(Outcome("transient", f"{response.status}, but no token in the answer"))
        if not given.access_token or not given.access_token.isascii() or not given.access_token.isprintable():
            return Failure(Outcome("transient", "the token cannot be written into a header"))
        lives_s = given.expires_in if given.expires_in and 0 < given.expires_in <= LIFE_MAX_S else None
        return Token(given.access_token, lives_s, given.refresh_token)
    try:
        error = decode(response.body, _Refused).error
    except UnreadableError:
        error = ""
    reason = f"{response.status} {''.join(letter for letter in error[:60] if letter.isprintable())}".strip()
    if response.status == 429:
        return Failure(Outcome("throttled", reason, retry_after_s=wait_s(response)))
    if error == "invalid_grant":
        said = "the refresh token is over or was used already: let the seller consent anew, and configure that"
        return Failure(Outcome("permanent", f"{reason}: {said}"))
    if 400 <= response.status < 500 and error:
        return Failure(Outcome("permanent", f"{reason}: check the keystring"))
    return Failure(Outcome("transient", reason))
