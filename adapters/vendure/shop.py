"""Requests to one shop's admin API, and the two ways in: logging in, or an API key.

A session is the better one: with every call that an API key comes with, Vendure checks a bcrypt hash again, which
took half a second, where the same call by a session took fifteen milliseconds (measured at 3.7.3, on a busy machine).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import evolve, field, frozen

from adapters.vendure import documents
from adapters.vendure.answers import denied, plain, said
from daemon.domain.access import Token, TokenSource
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.outcomes import Failure, Outcome

SESSION: Final = "session"
KEY_HEADER: Final = "vendure-api-key"
TOKEN_HEADER: Final = "vendure-auth-token"  # noqa: S105  # a name, not a secret
CHANNEL_HEADER: Final = "vendure-token"
READ_TIMEOUT_S: Final = 30.0
WRITE_TIMEOUT_S: Final = 30.0
LOGIN_TIMEOUT_S: Final = 15.0


@frozen
class Shop:
    """One shop's address and how we get in.

    url: of the admin API · location: the stock location whose stock is ours to write; "": the only one there is
    channel: the token of a Vendure channel, "" for the default one
    api_key: "" where `login`, an administrator's (name, password), is used instead
    """

    url: str
    location: str = ""
    channel: str = ""
    api_key: str = field(default="", repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)

    def ask(self, document: str, variables: Mapping[str, Any], *, write: bool = False) -> Request:
        """One GraphQL call."""
        request = self._request(document, variables, WRITE_TIMEOUT_S if write else READ_TIMEOUT_S)
        if self.api_key:
            return evolve(request, secret_headers={KEY_HEADER: self.api_key})
        return evolve(request, token=SESSION)

    def tokens(self) -> tuple[TokenSource, ...]:
        """The session, where there is no API key. It lives as long as the server says, a year unless it says
        otherwise, and longer while it is used; that it ended, the first refusal tells."""
        if self.login is None:
            return ()
        return (TokenSource(SESSION, self._log_in, place, refused=denied),)

    def _request(self, document: str, variables: Mapping[str, Any], timeout_s: float) -> Request:
        headers = {"accept": "application/json", "content-type": "application/json"}
        if self.channel:
            headers[CHANNEL_HEADER] = self.channel
        body = msgspec.json.encode({"query": document, "variables": variables})
        return Request("POST", self.url, headers=headers, body=body, timeout_s=timeout_s)

    def _log_in(self, refresh: str) -> Exchange[Token | Failure]:
        """A new session; nothing refreshes an old one."""
        del refresh
        assert self.login is not None
        name, password = self.login
        variables = {"username": name, "password": password}
        response = yield self._request(documents.LOGIN, variables, LOGIN_TIMEOUT_S)
        return _session(response)


class _Login(msgspec.Struct, rename={"kind": "__typename"}):
    kind: str
    errorCode: str = ""  # noqa: N815  # Vendure's name


class _LoginData(msgspec.Struct):
    login: _Login


def _session(response: Response) -> Token | Failure:
    """The session that an answer to logging in opens; its token comes in a header, where the server sends any."""
    data = said(response, _LoginData, write=False)
    if isinstance(data, Outcome):
        return Failure(evolve(data, whole_call=False))
    if data.login.errorCode:
        why = f"the shop lets nobody in by that name ({plain(data.login.errorCode, 60)}): check username and password"
        return Failure(Outcome("permanent", why))
    token = response.headers.get(TOKEN_HEADER, "")
    if not token:
        why = "the shop gives no token: add bearer to its authOptions.tokenMethod, or configure api_key"
        return Failure(Outcome("permanent", why))
    return Token(token)


def place(request: Request, token: str) -> Request:
    """The request with its session, where no log shows it."""
    return evolve(request, secret_headers={**request.secret_headers, "authorization": f"Bearer {token}"})
