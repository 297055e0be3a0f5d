"""A SKU as it was at a moment of the past, shown like one of now."""

from __future__ import annotations

from attrs import define, field

from daemon.actors.past import GoneError, Then, since_us, then
from daemon.admin.answers import ApiError, Json, unknown_sku
from daemon.admin.explain import explain_view
from daemon.admin.inside import ChannelView, Inside
from daemon.admin.moments import FORMS, BadMomentError, moment_us
from daemon.admin.views import is_told, sku_view
from daemon.admin.words import rfc3339
from daemon.domain.conditions import Stuck
from daemon.domain.kits import holders_of
from daemon.domain.mode import Mode
from daemon.domain.policy import Policy
from daemon.domain.slot import Slot
from daemon.storage.codec import Record
from daemon.storage.drifts import Drift


@define
class Past:
    """The circumstances of a moment of the past (`views.Surroundings`), as the log tells them.

    How a channel was doing then (down, throttled, not trusted) is not in the log, and is not said."""

    inside: Inside
    moment: Then
    _policies: dict[str, Policy] = field(init=False)
    _holders: dict[str, tuple[str, ...]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        rules = self.moment.rules
        if rules is None:  # nobody wrote them down: those of now
            known = {name: control.policy() for name, control in self.inside.channels.items()}
        self._policies = known if rules is None else rules.policies()
        self._holders = holders_of(self.inside.registry.kits if rules is None else dict(rules.kits))

    @property
    def now_us(self) -> int:
        """The moment that is shown."""
        return self.moment.at_us

    def policy(self, channel: str) -> Policy | None:
        """The rules that were in force."""
        return self._policies.get(channel)

    def view(self, channel: str) -> ChannelView | None:  # noqa: ARG002 - nobody knows
        """How the channel was doing is not in the log."""
        return None

    def stopped(self, channel: str) -> bool:
        """Was it paused, or not configured?"""
        return channel not in self._policies or channel in self.moment.standing.paused

    def mode(self, channel: str) -> Mode:
        """Was it written to?"""
        return dict(self.moment.standing.modes).get(channel, "live")

    def read_us(self, channel: str) -> int:
        """How far its orders were read, as far as anything waited for that."""
        return self.moment.read_us.get(channel, 0)

    def raise_waits(self, slot: Slot) -> bool:
        """Would the next push have raised the level, while orders may have been unseen?"""
        rules = self.moment.rules
        if not slot.raises() or slot.channel not in self._policies:
            return False
        shares = slot.sku in self._holders or any(slot.sku in kits for kits in self._holders.values())
        compares = rules is not None and rules.compares(slot.channel) and not shares
        return self.read_us(slot.channel) < slot.raise_needs_us(compares=compares)

    def stuck(self, sku: str) -> Stuck:
        """Why the SKU was not worked on as usual."""
        return self.moment.stuck if sku == self.moment.state.sku else Stuck()

    def kits_of(self, sku: str) -> tuple[str, ...]:
        """The kits that held it."""
        return self._holders.get(sku, ())

    def recent(self, sku: str, limit: int) -> list[Record]:
        """Its newest events then, newest first."""
        return self.inside.store.history(sku, before=self.moment.seq + 1, limit=limit)

    def drift_of(self, slot: Slot) -> Drift | None:
        """Its newest drift, if that was before."""
        drift = self.inside.drifts.newest_of(slot.channel, slot.listing)
        return drift if drift is not None and drift.at_us <= self.moment.at_us else None


async def past(inside: Inside, sku: str, at: str) -> Past:
    """The SKU and its circumstances then. Raises `ApiError`: 400 for what is no moment of the past, 404 for one that
    is not kept any more, and for a SKU that nobody had told of."""
    try:
        at_us = moment_us(at, max(inside.store.head.hlc_us, inside.store.wall_us()))
    except BadMomentError as error:
        raise ApiError(400, "bad_moment", str(error), FORMS) from None
    try:
        moment = await then(inside.store, sku, at_us, inside.registry.policy_of)
    except GoneError:
        raise ApiError(
            404, "not_kept", f"what was at {rfc3339(at_us)} is not kept any more",
            f"ask for a moment since {rfc3339(inside.store.floor.at_us)}; `retention.history_days` says how long",
        ) from None  # fmt: skip
    if not is_told(moment.state):
        await inside.store.standing()
        known_us = since_us(inside.store, sku)
        if known_us is None:
            raise unknown_sku(sku)
        raise ApiError(
            404, "not_known_then", f"nobody had told of the SKU {sku!r} at {rfc3339(at_us)}",
            f"it is known since {rfc3339(known_us)}",
        )  # fmt: skip
    return Past(inside, moment)


async def sku_then(inside: Inside, sku: str, at: str) -> Json:
    """`GET /v1/skus/{sku}?at=`: what `GET /v1/skus/{sku}` said at that moment."""
    around = await past(inside, sku, at)
    return {**sku_view(around.moment.state, around), **_stamp(around)}


async def explain_then(inside: Inside, sku: str, at: str, channel: str) -> Json:
    """`GET /v1/skus/{sku}/explain?at=`: why its listings showed what they showed."""
    around = await past(inside, sku, at)
    return {**explain_view(around.moment.state, around, channel), **_stamp(around)}


def _stamp(around: Past) -> Json:
    return {"at": rfc3339(around.moment.at_us), "after_event": around.moment.seq}
