"""`GET /v1/drift`: listings that showed what they should not, why, and what was done; and channels that are held."""

from __future__ import annotations

from typing import Final

from daemon.admin.answers import ApiError, Json
from daemon.admin.inside import ChannelControl, Inside
from daemon.admin.words import when
from daemon.ingress.masses import MassHold
from daemon.storage.drifts import Drift

DAYS_SHOWN: Final = 14

DONE: Final = {
    "resolved": "nothing: it was right when it was read again",
    "corrected": "our level was pushed over it",
    "adopted": "it was taken for a fact: all channels follow",
    "reported": "nothing: the rule of this channel is to report it; `onhand push` pushes our level",
    "kept": "nothing: the channel would make the same of our level again",
}


def drift_view(drift: Drift) -> Json:
    """One drift."""
    return {
        "number": drift.number,
        "at": when(drift.at_us),
        "channel": drift.channel,
        "listing": drift.listing,
        "sku": drift.sku,
        "shown": drift.shown,
        "expected": drift.expected,
        "first_at": when(drift.first_us),
        "first_shown": drift.first_shown,
        "done": drift.done,
        "what_was_done": DONE[drift.done],
        "cause": drift.cause,
        "causes": [
            {
                "cause": each.cause, "score": round(each.score, 2), "because": each.because,
                "order": each.order or None,
            }
            for each in drift.causes
        ],
    }  # fmt: skip


def drifts_view(inside: Inside, channel: str, before: int, limit: int) -> Json:
    """The newest drifts, those of one channel if `channel`."""
    drifts = inside.drifts.page(before, limit, channel)
    controls = [control for name, control in inside.channels.items() if channel in ("", name)]
    return {
        "channels": [_channel(inside, control) for control in controls],
        "drifts": [drift_view(each) for each in drifts],
        "next": drifts[-1].number if len(drifts) == limit else None,
    }


def _channel(inside: Inside, control: ChannelControl) -> Json:
    days = inside.drifts.days(control.name)
    hold = control.mass_hold()
    return {
        "channel": control.name,
        "rule": control.policy().drift,
        "held": hold_view(hold) if hold and hold.sure else None,
        "totals": inside.drifts.totals(control.name),
        "days": {day: dict(days[day]) for day in sorted(days, reverse=True)[:DAYS_SHOWN]},
    }


def hold_view(hold: MassHold) -> Json:
    """Why a channel is held."""
    return {
        "kind": hold.kind,
        "since": when(hold.since_us),
        "listings": hold.listings,
        "linked": hold.linked,
        "sentence": hold.sentence(),
        "decided": hold.decided or None,
    }


async def decide(control: ChannelControl, *, accept: bool) -> Json:
    """A person says whether what a held channel shows is right. Raises `ApiError` 409 where it is not held."""
    hold = await control.decide("adopt" if accept else "correct")
    if hold is None:
        raise ApiError(
            409, "not_held", f"{control.name} is not held: nothing waits for a decision",
            "see `onhand drift` for what differs",
        )  # fmt: skip
    note = (
        "each listing is read once more, and what it shows is a fact from then on"
        if accept
        else "each listing is read once more, and our level is pushed over what it shows"
    )
    word = "accepted" if accept else "refused"
    return {"channel": control.name, "decided": word, "listings": hold.listings, "note": note}
