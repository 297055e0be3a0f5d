"""The shapes of answers around shadow, roll back, replay and links: a further page of `shapes`."""

from __future__ import annotations

from typing import Literal

from daemon.admin.shapes import ChannelState, ModeWord, Moment, Shape, Units


class Kept(Shape, frozen=True):
    """The levels kept from before a channel went live; `at` null where there are none."""

    at: Moment
    listings: int


class ChannelSwitched(ChannelState, frozen=True, kw_only=True):
    """A channel that goes live or is rolled back, and the levels that are kept."""

    kept: Kept


class ChannelShadowed(ChannelState, frozen=True, kw_only=True):
    """A channel in shadow; `note` where a call that was under way has not ended yet."""

    note: str | None


class PriorLevel(Shape, frozen=True):
    """One listing: what it shows by all we know, and what it showed before its channel went live."""

    listing: str
    sku: str
    shows: Units
    prior: int
    change: Units
    state: Literal["same", "differs", "under_way", "stopped", "unlisted"]


class PriorPage(Shape, frozen=True):
    """`next`: the page behind this one."""

    channel: str
    mode: ModeWord
    kept: Kept
    listings: list[PriorLevel]
    next: int | None


class Spread(Shape, frozen=True):
    """Milliseconds; null before the first measurement."""

    p50: float | None
    p99: float | None
    count: int


class Offness(Shape, frozen=True):
    """Times during which a listing showed too much, or too little: `worst` in units. It is known from looks alone, so
    how long they lasted together lies between two figures. `now`: it does yet."""

    now: bool
    times: int
    worst: int
    at_least_s: float
    at_most_s: float


class WouldPush(Shape, frozen=True):
    """A level that would have been pushed, what the listing showed then, and why."""

    at: Moment
    level: int
    showed: Units
    cause: str


class ShadowListing(Shape, frozen=True):
    """One listing. `would_push`: how often; `pushes`: the newest of them. `over`: it showed more than there is;
    `under`: less than would be shown. `waits_for`: sales that are not followed yet."""

    listing: str
    sku: str
    would_show: Units
    there_is: Units
    shows: Units
    looked_at: Moment
    would_push: int
    pushes: list[WouldPush]
    over: Offness
    under: Offness
    waits_for: int
    not_followed: int


class ShadowReport(Shape, frozen=True):
    """What a channel's newest time in shadow taught. `sales`: those on other channels that the tool that is live
    there has to follow; the lags are the newest thousand, from the sale to a look that shows it followed (`at_most`)
    and to the one before that (`at_least`); `onhand_ms`: to when our push would have left."""

    channel: str
    mode: ModeWord
    since: Moment
    would_push: int
    sales: int
    followed: int
    lag_at_least_ms: Spread
    lag_at_most_ms: Spread
    onhand_ms: Spread
    listings: list[ShadowListing]
    next: str | None
