"""The two tokens of an eBay account: the seller's, renewed by a refresh token, and the application's (ebay.md §1)."""

from __future__ import annotations

import base64
from urllib.parse import urlencode, urlsplit

import msgspec
from attrs import evolve, field, frozen

from adapters.ebay.api import READ_TIMEOUT_S, TOKEN, TRADING
from adapters.stamps import retry_after_s
from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.outcomes import Failure, Outcome

APP_SCOPE = "https://api.ebay.com/oauth/api_scope"

LIFE_MAX_S = 7 * 86_400.0
"""A longer life is none that eBay gives: 7200 s are usual."""

TRADING_REFUSALS = (b">931<", b">932<", b">16110<", b">21916984<", b">21917053<")
"""Trading answers 200 to a token that is bad or over: codes from memory, unsure (§1 names none). Where one of them
should not be such, one call is repeated with a fresh token, and no harm is done."""


class _Given(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str = ""


class _Refused(msgspec.Struct):
    error: str = ""
    error_description: str = ""


@frozen
class Keyset:
    """An application's credentials. `client_secret` never shows.

    scopes: what a refresh asks for; "": nothing is said, and eBay gives what the seller consented to. One scope too
    many makes the whole refresh fail (§1, "Scope rule").
    """

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str = ""

    def sources(self, refresh: str) -> tuple[TokenSource, ...]:
        """Refresh tokens of eBay are not rotated; should one come all the same, it is kept (§1)."""
        return (
            TokenSource("user", self.renew, place, refresh, refused=refused),
            TokenSource("app", self.as_application, place),
        )

    def renew(self, refresh: str) -> Exchange[Token | Failure]:
        """The seller's token. A "permanent" failure: the seller must consent again, or the keyset is wrong."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        return self._ask({**form, "scope": self.scopes} if self.scopes else form)

    def as_application(self, refresh: str) -> Exchange[Token | Failure]:
        """The application's own token, for public keys, destinations and call limits."""
        del refresh
        return self._ask({"grant_type": "client_credentials", "scope": APP_SCOPE})

    def _ask(self, form: dict[str, str]) -> Exchange[Token | Failure]:
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        response = yield Request(
            "POST",
            self.base_url + TOKEN,
            {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
            urlencode(form).encode(),
            secret_headers={"authorization": f"Basic {basic}"},
            timeout_s=READ_TIMEOUT_S,
        )
        if 200 <= response.status < 300:
            return _token(response)
        return Failure(_refusal(response))


def _token(response: Response) -> Token | Failure:
    try:
        given = msgspec.json.decode(response.body, type=_Given)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Failure(Outcome("transient", f"{response.status}, but no token in the answer"))
    if not given.access_token or not given.access_token.isascii() or not given.access_token.isprintable():
        return Failure(Outcome("transient", "the token cannot be written into a header"))
    lives_s = given.expires_in
    if lives_s is not None and not 0 < lives_s <= LIFE_MAX_S:
        lives_s = None
    return Token(given.access_token, lives_s, given.refresh_token)


_REMEDIES = {
    "invalid_grant": "the refresh token is over or revoked (after 18 months, or a new password): let the seller "
    "consent again, and configure the new refresh_token",
    "invalid_scope": "the seller has not consented to one of these scopes: correct scopes, or let the seller consent",
    "invalid_client": "check client_id and client_secret, and that both belong to this host (production or sandbox)",
}


def _refusal(response: Response) -> Outcome:
    try:
        said = msgspec.json.decode(response.body, type=_Refused)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        said = _Refused()
    reason = f"{response.status} {said.error[:60]}".strip()
    if response.status == 429:
        return Outcome(
            "throttled", reason, retry_after_s=retry_after_s(response.headers.get("retry-after", ""), None)
        )
    if 400 <= response.status < 500 and said.error:
        return Outcome(
            "permanent", f"{reason}: {_REMEDIES.get(said.error, 'check the keyset at developer.ebay.com')}"
        )
    return Outcome("transient", reason)


def place(request: Request, token: str) -> Request:
    """REST calls bear it as usual, Trading calls in a header of their own."""
    if urlsplit(request.url).path.endswith(TRADING):
        placed = {"x-ebay-api-iaf-token": token}
    else:
        placed = {"authorization": f"Bearer {token}"}
    return evolve(request, secret_headers={**request.secret_headers, **placed})


def refused(response: Response) -> bool:
    """Is the token not good any more? A 401, or a Trading failure that says so."""
    if response.status == 401:
        return True
    return b"<Ack>Failure</Ack>" in response.body and any(code in response.body for code in TRADING_REFUSALS)
