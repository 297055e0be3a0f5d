"""Requests to Walmart for one seller: the headers that every call carries, and its access token (walmart.md §1)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from attrs import evolve, field, frozen

from adapters.strict import UnreadableError, decode
from adapters.walmart.refusals import refused
from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, Method, Request
from daemon.domain.outcomes import Failure, Outcome

BASE_URL = "https://marketplace.walmartapis.com"
SERVICE = "Walmart Marketplace"
TOKEN = "access"  # noqa: S105  # its name, not its value
TOKEN_HEADER = "WM_SEC.ACCESS_TOKEN"  # noqa: S105  # as above
EARLY_S = 180.0
"""Renewed at 80 % of its 900 s."""
LIFE_MAX_S = 86_400.0
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0
FEED_TIMEOUT_S = 120.0

Query = Sequence[tuple[str, str]]


def encoded(text: str) -> str:
    """Percent-encoded for a path or a query: also "@" of feed ids and "/" of SKUs (walmart.md §5.2, §5.3)."""
    return quote(text, safe="", errors="replace")


@frozen
class Seller:
    """One seller's account. `client_secret` never shows.

    ship_node: the node whose stock is ours; "": the default one, of a seller who has no other
    channel_type: WM_CONSUMER.CHANNEL.TYPE, "" for sellers, who need none
    """

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    ship_node: str = ""
    channel_type: str = ""

    def get(self, path: str, query: Query = (), *, meter: str = "") -> Request:
        """A read. `path` is encoded already; `query` is not."""
        return self._request("GET", path + _query(query), meter=meter)

    def write(self, method: Method, path: str, payload: object, query: Query = (), *, meter: str = "") -> Request:
        """A write of `payload` as JSON."""
        request = self._request(method, path + _query(query), meter=meter)
        headers = {**request.headers, "content-type": "application/json"}
        return evolve(request, headers=headers, body=msgspec.json.encode(payload), timeout_s=WRITE_TIMEOUT_S)

    def upload(self, path: str, query: Query, document: bytes, *, meter: str) -> Request:
        """One JSON document as the multipart field `file` (walmart.md §5.3); it has no line breaks."""
        border = "onhand-" + hashlib.sha256(document).hexdigest()[:32]
        head = (
            f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="inventory.json"\r\n'
            "Content-Type: application/json\r\n\r\n"
        )
        request = self._request("POST", path + _query(query), meter=meter)
        headers = {**request.headers, "content-type": f"multipart/form-data; boundary={border}"}
        body = head.encode() + document + f"\r\n--{border}--\r\n".encode()
        return evolve(request, headers=headers, body=body, timeout_s=FEED_TIMEOUT_S)

    def token_source(self) -> TokenSource:
        """Client credentials: there is no refresh token for a seller's own keys (walmart.md §1)."""
        return TokenSource(TOKEN, self._ask, _place, early_s=EARLY_S)

    def _ask(self, refresh: str) -> Exchange[Token | Failure]:
        del refresh
        keys = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        request = self._request("POST", "/v3/token", meter="")
        response = yield evolve(
            request,
            headers={**request.headers, "content-type": "application/x-www-form-urlencoded"},
            secret_headers={"authorization": f"Basic {keys}"},
            body=b"grant_type=client_credentials",
            token="",
        )
        if response.status in (400, 401):
            # Bad credentials are at times a 400 (walmart.md §1).
            return Failure(Outcome("permanent", f"{response.status}: check client_id and client_secret"))
        outcome = refused(response, write=False)
        if outcome is not None:
            return Failure(outcome)
        try:
            answer = decode(response.body, _Answer)
        except UnreadableError:
            return Failure(Outcome("transient", f"{response.status}, but the body holds no access token"))
        # Without a life that can be right, the shortest there is: it is then asked anew early.
        lives_s = float(answer.expires_in) if 0 < answer.expires_in <= LIFE_MAX_S else 60.0
        return Token(answer.access_token, lives_s)

    def _request(self, method: Method, path: str, *, meter: str) -> Request:
        headers = {"accept": "application/json", "WM_SVC.NAME": SERVICE}
        if self.channel_type:
            headers["WM_CONSUMER.CHANNEL.TYPE"] = self.channel_type
        return Request(
            method, self.base_url + path, headers=headers, timeout_s=READ_TIMEOUT_S, sign=correlated, token=TOKEN,
            meter=meter,
        )  # fmt: skip


class _Answer(msgspec.Struct):
    access_token: str = msgspec.field()
    expires_in: int = 0

    def __post_init__(self) -> None:
        if not self.access_token or not self.access_token.isascii() or not self.access_token.isprintable():
            raise ValueError("an access token that no header can carry")


def correlated(request: Request, now_us: int, nonce: str) -> Request:
    """With a correlation id of its own for each sending: a UUID made of the nonce (walmart.md §1)."""
    del now_us
    made = hashlib.sha256(nonce.encode()).hexdigest()
    uuid = f"{made[:8]}-{made[8:12]}-4{made[13:16]}-8{made[17:20]}-{made[20:32]}"
    return evolve(request, headers={**request.headers, "WM_QOS.CORRELATION_ID": uuid}, sign=None)


def _place(request: Request, token: str) -> Request:
    return evolve(request, secret_headers={**request.secret_headers, TOKEN_HEADER: token})


def _query(query: Query) -> str:
    return "?" + "&".join(f"{encoded(name)}={encoded(value)}" for name, value in query) if query else ""
