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


class Replaying(Shape, frozen=True):
    """What a replay does now, null for nothing; up to which delivery, of how many."""

    doing: Literal["reading", "telling"] | None
    reached: int
    of: int


class ReplayedSku(Shape, frozen=True):
    """A SKU with facts that are new or different: what is available now, and would be (or was, when it was tried)."""

    sku: str
    now: Units
    then: Units
    facts: int


class ReplayedDelivery(Shape, frozen=True):
    """A delivery that reads otherwise than it did."""

    delivery: int
    channel: str
    topic: str
    received: Moment
    how: str


class ReplayPuzzle(Shape, frozen=True):
    """Deliveries that are not understood, for one reason; `delivery` is the first of them."""

    channel: str
    reason: str
    count: int
    delivery: int


class Replayed(Shape, frozen=True):
    """What reading kept deliveries again would change, or did. `told`: facts that were news; `too_old`: facts older
    than what has been settled, which are not told; `to_fetch`: orders that are only named, and not known;
    `strangers`: deliveries of channels that are not configured; `complete`: false where too much would change to be
    tried at once, and nothing was told."""

    channel: str | None
    since: str | None
    until: str | None
    applied: bool
    told: int
    complete: bool
    deliveries: int
    different: int
    understood: int
    puzzles: int
    unlinked: int
    too_old: int
    to_fetch: int
    strangers: int
    skus: list[ReplayedSku]
    skus_left_out: int
    changed: list[ReplayedDelivery]
    changed_left_out: int
    not_understood: list[ReplayPuzzle]


class ListingLink(Shape, frozen=True):
    """Which SKU a listing is, null for none; `by`: the person who said so, null for an equal SKU at the channel.
    `problem`: what only a person can decide."""

    channel: str
    listing: str
    sku: str | None
    by: str | None
    title: str | None
    problem: Literal["repeated", "nearly_alike", "renamed", "no_sku"] | None
    about: str | None


class LinkPage(Shape, frozen=True):
    """`next`: the cursor of the following page; `left_out`: problems that are not named."""

    links: list[ListingLink]
    next: str | None
    left_out: int


class LinkDifference(Shape, frozen=True):
    """A line of a file beside the links: SKUs now and then."""

    line: int
    channel: str
    listing: str
    state: Literal["linked", "changed", "unlinked", "same", "wrong"]
    now: str | None
    then: str | None
    problem: str | None


class LinksImported(Shape, frozen=True):
    """What a page of links would change, or did."""

    applied: bool
    told: int
    rows: list[LinkDifference]
