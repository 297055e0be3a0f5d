"""Whether a channel is written to: live, in shadow, or rolled back to the levels from before it went live."""

from __future__ import annotations

from typing import Final

from daemon.admin.answers import ApiError, Json
from daemon.admin.health import channel_view
from daemon.admin.inside import ChannelControl, Restored
from daemon.admin.words import when
from daemon.storage.priors import Taken

PAGE_MAX: Final = 1_000_000


async def go_live(control: ChannelControl, by: str) -> Json:
    """Keep what every listing shows, then push there. Raises `ApiError` 409."""
    taken = await control.go_live(by)
    if isinstance(taken, str):
        raise _refused(taken)
    return channel_view(control.view()) | {"kept": _kept(taken)}


async def go_shadow(control: ChannelControl, by: str) -> Json:
    """Write nothing there any more."""
    ended = await control.go_shadow(by)
    note = None if ended else "a call that was under way has not ended yet: what it carries may still be written"
    return channel_view(control.view()) | {"note": note}


async def roll_back(control: ChannelControl, by: str) -> Json:
    """Begin to write back what was kept. Raises `ApiError` 409."""
    taken = await control.roll_back(by)
    if isinstance(taken, str):
        raise _refused(taken)
    return channel_view(control.view()) | {"kept": _kept(taken)}


def priors_view(control: ChannelControl, page: int) -> Json:
    """A page of what was kept, beside what is shown now. Raises `ApiError` 409 where nothing was."""
    taken = control.prior_levels()
    if taken is None:
        raise _refused(f"no levels of {control.name} from before it went live are kept")
    rows = [_restored(each) for each in control.restored(page)]
    following = page + 1 if page + 1 < taken.pages else None
    mode = control.view().mode
    return {"channel": control.name, "mode": mode.mode, "kept": _kept(taken), "listings": rows, "next": following}


def _kept(taken: Taken) -> Json:
    return {"at": when(taken.at_us), "listings": taken.listings}


def _restored(each: Restored) -> Json:
    change = None if each.shows is None else each.prior - each.shows
    return {
        "listing": each.listing, "sku": each.sku, "shows": each.shows, "prior": each.prior, "change": change,
        "state": each.state,
    }  # fmt: skip


def _refused(sentence: str) -> ApiError:
    return ApiError(409, "refused", sentence, "see `onhand channels` for how it is, then ask again")
