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
