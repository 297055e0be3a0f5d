"""Reading what has many pages: of hundreds of calls one hardly ever fails in vain, and to begin anew each time would
never come to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from daemon.domain.exchange import Exchange, NoAnswer
from daemon.domain.outcomes import Failure
from daemon.outbound.account import Account

T = TypeVar("T")

WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Before a later page is asked for again."""
PATIENCE_S = 60.0
"""A channel that may not be called for longer is not waited for with half of the pages in hand."""


async def read_page(account: Account, page: str, ask: Callable[[], Exchange[T | Failure]]) -> T | NoAnswer | Failure:
    """One page, or why there is none. A later one is asked for again where that may help; the first ("") is not:
    whoever reads begins again with it."""
    for wait_s in WAITS_S if page else ():
        answer = await account.converse(ask())
        if not _may_pass(answer) or account.wait_s() > PATIENCE_S:
            return answer
        await trio.sleep(max(wait_s, account.wait_s()))
    return await account.converse(ask())


def _may_pass(answer: object) -> bool:
    if isinstance(answer, Failure):
        return answer.outcome.kind in ("transient", "throttled", "unknown")
    return isinstance(answer, NoAnswer)
