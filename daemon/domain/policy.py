"""From stock to the level a listing should show."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators

DriftRule = Literal["correct", "adopt", "report"]
"""What becomes of a level that somebody else set: ours is pushed over it; it is taken for a fact, so that every other
channel follows; or a person is told and nothing is pushed because of it."""


@frozen
class Policy:
    """One channel's rules, applied in this order: buffer, share, cap, never below zero.

    buffer: units kept back · share: part of what is left that the channel may show, 0 < share <= 1 ·
    cap: most it may show (None: no cap) · drift: what becomes of a level that is not ours ·
    adds_held: the channel takes its own open orders off what it is told (`Traits.includes_held`), so what is told
    is the level to show and, beyond every rule, the units that it sold and that are not sent yet ·
    returns_unsure: nobody knows whether what is cancelled comes back to the level (`Traits.returns_unsure`)
    """

    buffer: int = field(default=0, validator=validators.ge(0))
    share: float = field(default=1.0, validator=[validators.gt(0), validators.le(1)])
    cap: int | None = field(default=None, validator=validators.optional(validators.ge(0)))
    drift: DriftRule = "correct"
    adds_held: bool = False
    returns_unsure: bool = False


def level(available: int | None, policy: Policy, held: int = 0) -> int | None:
    """The level to tell the channel; None (unknown: hold what is there) while nobody has counted. Never negative.

    held: units that the channel sold and that are not sent yet; of use only where the policy `adds_held`."""
    return explained(available, policy, held)[0]


def explained(available: int | None, policy: Policy, held: int = 0) -> tuple[int | None, list[str]]:
    """The level and the rules that set it, in words a shop owner understands."""
    if available is None:
        return None, ["nobody has counted this SKU yet: the channel keeps what it shows"]
    rules = [f"available {available}"]
    shown = available
    if policy.buffer:
        shown -= policy.buffer
        rules.append(f"minus the buffer of {policy.buffer} = {shown}")
    if policy.share < 1:
        shown = int(max(shown, 0) * policy.share + 1e-9)  # 0.29 * 100 is 28.999… in binary
        rules.append(f"share of {policy.share:.0%} = {shown}")
    if policy.cap is not None and shown > policy.cap:
        shown = policy.cap
        rules.append(f"capped at {policy.cap}")
    if shown < 0:
        rules.append(f"never below 0 ({-shown} short)" if available >= 0 else f"never below 0 (debt of {-available})")
        shown = 0
    if policy.adds_held and held:
        shown += held
        rules.append(f"plus {held} sold here and not sent yet, which the channel takes off by itself = {shown}")
    return shown, rules
