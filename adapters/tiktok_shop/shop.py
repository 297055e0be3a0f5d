"""Requests to one shop: its token, its cipher, its signature (tiktok_shop.md §1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec
from attrs import evolve, field, frozen

from adapters.stamps import http_date_span
from adapters.tiktok_shop.answers import expired, plain, reading, said
from adapters.tiktok_shop.payloads import Id
from adapters.tiktok_shop.signing import signed
from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, Method, Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

TOKEN: Final = "access"  # noqa: S105  # a name, not a secret
TOKEN_HEADER: Final = "x-tts-access-token"  # noqa: S105  # as above
READ_TIMEOUT_S: Final = 30.0
WRITE_TIMEOUT_S: Final = 30.0
TOKEN_TIMEOUT_S: Final = 10.0

Query = Sequence[tuple[str, str]]


@frozen
class Shop:
    """One shop's address and how we get in.

    cipher: what shop-level calls name the shop by; "" where it is asked for, then of the shop `shop_id` ("": the only
    one) · warehouse: the id of the warehouse whose stock is ours to write, "" for the only one
    """

    base_url: str
    auth_url: str
    app_key: str
    app_secret: str = field(repr=False)
    refresh: str = field(repr=False)
    cipher: str = ""
    shop_id: str = ""
    warehouse: str = ""

    def get(self, path: str, cipher: str, query: Query = ()) -> Request:
        """A read without a body."""
        return self._request("GET", path, cipher, query, b"", READ_TIMEOUT_S)

    def post(self, path: str, cipher: str, payload: object, query: Query = (), *, write: bool = False) -> Request:
        """A call with a body: these very bytes are signed and sent."""
        timeout_s = WRITE_TIMEOUT_S if write else READ_TIMEOUT_S
        return self._request("POST", path, cipher, query, msgspec.json.encode(payload), timeout_s)

    def put(self, path: str, cipher: str, payload: object) -> Request:
        """A write."""
        return self._request("PUT", path, cipher, (), msgspec.json.encode(payload), WRITE_TIMEOUT_S)

    def _request(
        self, method: Method, path: str, cipher: str, query: Query, body: bytes, timeout_s: float
    ) -> Request:  # fmt: skip
        named = [("app_key", self.app_key), *([("shop_cipher", cipher)] if cipher else []), *query]
        spelled = "&".join(f"{name}={quote(value, safe='')}" for name, value in named)
        return Request(
            method,
            f"{self.base_url}{path}?{spelled}",
            headers={"accept": "application/json", "content-type": "application/json"},
            body=body,
            timeout_s=timeout_s,
            sign=self._sign,
            token=TOKEN,
        )

    def _sign(self, request: Request, now_us: int, nonce: str) -> Request:
        del nonce  # there is none in this signature
        return signed(request, now_us, self.app_secret)

    # -- its cipher --

    def own_cipher(self) -> Exchange[str | Failure]:
        """The cipher that names the shop: the configured one, else the one of the shops that the app may enter.

        Where there are several, and none is chosen, the failure names them, ready to be configured."""
        if self.cipher:
            return self.cipher
        response = yield self.get("/authorization/202309/shops", "")
        found = reading(response, _Shops)
        if isinstance(found, Failure):
            return found
        shops = [shop for shop in found.shops or () if shop.cipher]
        chosen = [shop for shop in shops if str(shop.id) == self.shop_id] if self.shop_id else shops
        if len(chosen) == 1:
            return chosen[0].cipher or ""
        listed = "; ".join(map(str, shops[:5])) or "none"
        return Failure(
            Outcome("permanent", f"set shop_cipher to that of one of the shops that the seller authorized: {listed}")
        )

    # -- its token --

    def tokens(self) -> tuple[TokenSource, ...]:
        """An access token lives about a week (§1)."""
        return (TokenSource(TOKEN, self._ask_token, place, refresh=self.refresh, early_s=3600.0, refused=expired),)

    def _ask_token(self, refresh: str) -> Exchange[Token | Failure]:
        """A new pair of tokens: both replace the old ones (§1). The secrets are in the query, which no log shows."""
        query = f"app_key={quote(self.app_key, safe='')}&grant_type=refresh_token"
        response = yield Request(
            "GET",
            f"{self.auth_url}/api/v2/token/refresh?{query}",
            headers={"accept": "application/json"},
            secret_query={"app_secret": self.app_secret, "refresh_token": refresh},
            timeout_s=TOKEN_TIMEOUT_S,
        )
        found = said(response, _Granted, write=False)
        if isinstance(found, Outcome):
            if found.kind == "permanent":
                found = evolve(found, reason=f"TikTok Shop gives no access token ({found.reason}); let the seller "
                               "consent again, and configure the new refresh_token", whole_call=False)  # fmt: skip
            return Failure(found)
        if not found.access_token:
            return Failure(Outcome("transient", "TikTok Shop's token endpoint left the token out"))
        return Token(found.access_token, _lives_s(found.access_token_expire_in, response), found.refresh_token or "")


def place(request: Request, token: str) -> Request:
    """The request with its token, where no log shows it (§1). It is not part of what is signed."""
    return evolve(request, secret_headers={**request.secret_headers, TOKEN_HEADER: token})


class _Shop(msgspec.Struct):
    id: Id = None
    cipher: str | None = None
    name: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        return plain(f"{self.cipher} ({self.name or 'a shop'}, {self.region or '?'}, id {self.id})", 100)


class _Shops(msgspec.Struct):
    shops: list[_Shop] | None = None


class _Granted(msgspec.Struct):
    access_token: str | None = None
    access_token_expire_in: int | None = None
    refresh_token: str | None = None


def _lives_s(ends_s: int | None, response: Response) -> float | None:
    """How long the token is good. Its end is in absolute Unix seconds, not a duration (§1), on TikTok's own clock.

    None where none is told, or where it is past already: then one of the clocks is wrong, and the token is used until
    it is refused.
    """
    if ends_s is None:
        return None
    date = http_date_span(response.headers.get("date", ""))
    now_s = (date.lo if date else response.received_us) / SECOND_US
    return min(ends_s - now_s, 365 * 86_400.0) if ends_s > now_s else None
