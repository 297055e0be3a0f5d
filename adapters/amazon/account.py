"""One seller's account: where it is, what it sells at, its requests, and its two access tokens (amazon.md §1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import msgspec
from attrs import evolve, field, frozen

from adapters.strict import UnreadableError, decode
from daemon.domain.access import Meter, Token, TokenSource
from daemon.domain.exchange import Exchange, Method, Request, Response
from daemon.domain.outcomes import Failure, Outcome

LWA_HOST = "api.amazon.com"
TOKEN_URL = f"https://{LWA_HOST}/auth/o2/token"
GRANTLESS_SCOPE = "sellingpartnerapi::notifications"
USER_AGENT = "onhand/1.0 (Language=Python)"

HOSTS: Mapping[str, str] = {
    "na": "sellingpartnerapi-na.amazon.com",
    "eu": "sellingpartnerapi-eu.amazon.com",
    "fe": "sellingpartnerapi-fe.amazon.com",
}
"""By region (§1); Europe is also India, the Gulf, Turkey, Egypt."""

METERS: Mapping[str, Meter] = {
    "searchOrders": Meter(0.0056, 20),
    "getOrder": Meter(0.5, 30),
    "getListingsItem": Meter(5.0, 10),
    "searchListingsItems": Meter(5.0, 5),
    "createFeedDocument": Meter(0.5, 15),
    "createFeed": Meter(0.0083, 15),
    "getFeed": Meter(2.0, 15),
    "getFeedDocument": Meter(0.0222, 10),
    "notifications": Meter(1.0, 5),
    "files": Meter(5.0, 5),
}
"""The usage plans (§6), by operation; `patchListingsItem` (5/s, burst 5) is the account's usual one. Plans are per
application and seller and may be larger: each answer names its rate. Uploads and downloads are no API's calls."""

SELLER, GRANTLESS = "seller", "grantless"
"""The two tokens: the seller's, and the application's own, which destinations want (§2.1)."""

Query = Sequence[tuple[str, str]]


@frozen
class Seller:
    """Who sells where. `marketplaces`: of all, orders are read; at the first one, levels are read and written."""

    base_url: str
    seller_id: str
    marketplaces: tuple[str, ...]
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)

    @property
    def marketplace(self) -> str:
        """Where levels are read and written."""
        return self.marketplaces[0]

    def get(self, path: str, query: Query, meter: str, token: str = SELLER) -> Request:
        """A read."""
        url = self.base_url + path
        if query:
            url += "?" + "&".join(f"{name}={quote(value, safe=',:')}" for name, value in query)
        headers = {"accept": "application/json", "user-agent": USER_AGENT}
        return Request("GET", url, headers, token=token, meter=meter)

    def write(
        self, method: Method, path: str, payload: object, meter: str, token: str = SELLER, query: Query = ()
    ) -> Request:  # fmt: skip
        """A write of `payload` as JSON."""
        request = self.get(path, query, meter, token)
        headers = {**request.headers, "content-type": "application/json"}
        return evolve(request, method=method, headers=headers, body=msgspec.json.encode(payload))

    def item_path(self, sku: str) -> str:
        """The path of a listing: the SKU is one segment, whatever is in it (§5.1)."""
        return f"/listings/2021-08-01/items/{quote(self.seller_id, safe='')}/{segment(sku)}"

    def tokens(self) -> tuple[TokenSource, ...]:
        """The seller's token, and the grantless one that destinations want (§1, §2.1)."""
        seller = {"grant_type": "refresh_token"}
        grantless = {"grant_type": "client_credentials", "scope": GRANTLESS_SCOPE}
        return (
            TokenSource(SELLER, lambda refresh: self._ask({**seller, "refresh_token": refresh}), place,
                        self.refresh_token, refused=refused),
            TokenSource(GRANTLESS, lambda _: self._ask(grantless), place, refused=refused),
        )  # fmt: skip

    def _ask(self, grant: Mapping[str, str]) -> Exchange[Token | Failure]:
        """A form post. What LWA refuses with a 4xx only a person can mend: a wrong secret, a seller who withdrew."""
        form = {**grant, "client_id": self.client_id, "client_secret": self.client_secret}
        headers = {"content-type": "application/x-www-form-urlencoded;charset=UTF-8", "accept": "application/json"}
        response = yield Request("POST", TOKEN_URL, headers, urlencode(form).encode(), timeout_s=15.0)
        return _token(response)


def segment(sku: str) -> str:
    """A SKU as one segment of a path. "." and ".." would be steps in it, so even their dots are escaped."""
    escaped = quote(sku, safe="", errors="replace")
    return escaped.replace(".", "%2E") if set(escaped) <= {"."} else escaped


def place(request: Request, token: str) -> Request:
    """Every call carries its token in a header of Amazon's own (§1); SigV4 is not used there any more (§0.1)."""
    return evolve(request, secret_headers={**request.secret_headers, "x-amz-access-token": token})


def refused(response: Response) -> bool:
    """Is it the token that is refused? A 403 also says that a role is missing, which no new token mends (§5.1)."""
    if response.status == 401:
        return True
    return response.status == 403 and b"access token" in response.body.lower()


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str = ""


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


def _token(response: Response) -> Token | Failure:
    if response.status == 200:
        try:
            found = decode(response.body, _Answer)
        except UnreadableError:
            return Failure(Outcome("transient", "200, but no token in the answer"))
        if not found.access_token or not found.access_token.isascii() or not found.access_token.isprintable():
            return Failure(Outcome("transient", "200, but no token in the answer"))
        # The refresh token does not rotate (§1, from memory): should it ever, the new one is kept.
        return Token(found.access_token, found.expires_in, found.refresh_token)
    try:
        error = decode(response.body, _Refusal).error
    except UnreadableError:
        error = ""
    said = "".join(letter for letter in error if letter.isprintable())[:60]
    reason = f"{response.status} {said}".strip()
    if response.status in (400, 401, 403):
        return Failure(
            Outcome(
                "permanent",
                f"{reason}: check client_id and client_secret, and whether the seller's authorisation still holds",
            )
        )
    return Failure(Outcome("throttled" if response.status == 429 else "transient", reason))
