"""How an account gets in at its platform and how fast it may go on, as data and sans-I/O conversations."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.outcomes import Failure

# --- tokens -------------------------------------------------------------------------------------------------


@frozen
class Token:
    """What a platform's token endpoint gave.

    lives_s: for so long it is good, from the moment the answer came; None: without an end that is known
    refresh: the refresh token for the next time, where the platform gave a new one; "": the old one stays good
    """

    value: str = field(repr=False)
    lives_s: float | None = None
    refresh: str = field(default="", repr=False)


def _unauthorized(response: Response) -> bool:
    return response.status == 401


@frozen
class TokenSource:
    """One kind of access token of an account: how it is had, where it stands, and how its refusal looks.

    A request that must carry it names it in `Request.token`. One owner (`daemon.outbound.tokens`) asks for it once
    for all who wait, early enough before its end, and once more where the platform refuses it; a new refresh token
    is durable before anything that came with it is used.

    name: letters and digits; it names a file, too
    ask: given the refresh token to use now ("" where there is none: client credentials), asks for a token. The
      requests of this conversation carry no token themselves. A `Failure` that is "permanent" means that only a
      person can help (its reason says how).
    place: puts the token into a request; called before `Request.sign`. Pure
    refresh: the configured refresh token, "" for client credentials
    early_s: asked anew so long before the end, but never earlier than at 4/5 of its life
    refused: does this answer say that the token is not good any more?
    """

    name: str
    ask: Callable[[str], Exchange[Token | Failure]]
    place: Callable[[Request, str], Request]
    refresh: str = field(default="", repr=False)
    early_s: float = 300.0
    refused: Callable[[Response], bool] = _unauthorized


# --- rates --------------------------------------------------------------------------------------------------


@frozen
class Meter:
    """A rate limit of its own, beside the account's usual one: so much `a second`, so much at once.

    In the platform's own unit (`Request.cost`: calls, unless it counts something else)."""

    rate_per_s: float
    burst: int


@frozen
class Limits:
    """What an answer tells of the rate limit that its request counted against; None where it says nothing.

    remaining: left to spend now · rate_per_s: how fast it comes back · capacity: the most there ever is, all three
    in the platform's own unit (`Request.cost`) · pause_s: nothing may be called before (from now)
    """

    remaining: float | None = None
    rate_per_s: float | None = None
    capacity: float | None = None
    pause_s: float | None = None
