"""How the storefront misbehaves: the settings, and the fate of each call drawn from them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from attrs import frozen
from msgspec import Meta, Struct

from adapters.storefront.dice import Dice
from adapters.storefront.script import RULES_MAX, Lateness, Rule

Probability = Annotated[float, Meta(ge=0, le=1)]

HOLD_S = 20.0
"""How long an answer is held that the client is not meant to get."""
LATE_S = (0.5, 8.0)
"""When a write whose answer never came is applied after all, counted from its arrival."""

Garble = Literal["null", "absent", "error"]
"""A quantity is `null`, left out, or a word that is no number."""

FateKind = Literal[
    "as_usual", "throttle", "fail_before", "fail_after", "hold", "hold_applied", "hold_late", "lose", "lie"
]


class WebhookFaults(Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities per webhook; `delay_s` is the longest delay, drawn evenly from 0.

    unheard: a 2xx on its way back is lost, so the message comes again · late: delays to the letter ·
    disabled: the topics ("*": all) whose subscriptions are switched off when this is set, and nobody is told; they
    stay off until somebody switches them on
    """

    duplicate: Probability = 0.0
    drop: Probability = 0.0
    unheard: Probability = 0.0
    delay_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    reorder: Probability = 0.0
    late: Annotated[list[Lateness], Meta(max_length=RULES_MAX)] = []
    disabled: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=RULES_MAX)] = []


class ApiFaults(Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities per call of the daemon-facing API."""

    error_500: Probability = 0.0
    throttle_429: Probability = 0.0
    timeout: Probability = 0.0
    lose_answer: Probability = 0.0
    lie_ok: Probability = 0.0


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """How listings come to show what nobody pushed; all by listing.

    caps, packs: a level written is cut to this, or down to whole packs of so many · told: the answer to such a write
    says what was made of it, rather than what was asked · twice: a sale is taken off twice · labels: the SKU that
    reads give instead of the seller's · stale: reads, but no webhooks, show the level as it was when this was set
    """

    caps: dict[str, Annotated[int, Meta(ge=0)]] = {}
    packs: dict[str, Annotated[int, Meta(ge=1)]] = {}
    told: bool = False
    twice: list[str] = []
    labels: dict[str, str] = {}
    stale: list[str] = []

    def made_of(self, listing: str, quantity: int) -> int:
        """What a write of `quantity` comes to."""
        quantity = min(quantity, self.caps.get(listing, quantity))
        return quantity - quantity % self.packs.get(listing, 1)


class Faults(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. A set replaces the one before: what it leaves out is off.

    script: mishaps to the letter; a call that meets one meets no chance · feed_lag_s: so late does the order feed
    show a change · garbled: how reads and webhooks give a listing's quantity · plain: `if_quantity` is overlooked
    · quirks: how listings come to show what nobody pushed
    """

    webhook: WebhookFaults = WebhookFaults()
    api: ApiFaults = ApiFaults()
    script: Annotated[list[Rule], Meta(max_length=RULES_MAX)] = []
    feed_lag_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    garbled: dict[str, Garble] = {}
    plain: bool = False
    quirks: Quirks = Quirks()
    clock_offset_s: Annotated[float, Meta(ge=-864_000, le=864_000)] = 0.0
    seed: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None


@frozen
class Fate:
    """What happens to one call.

    `seconds`: when to come back (throttle), how late it is applied (hold_late); `honest`: an error before the
    effect that says so.
    """

    kind: FateKind = "as_usual"
    seconds: float = 0.0
    honest: bool = False


def read_faults(body: bytes) -> Faults | str:
    """The settings, or why they are none; never raises."""
    try:
        return msgspec.json.decode(body, type=Faults)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        return str(problem)


def draw(faults: ApiFaults, dice: Dice) -> Fate:
    """The fate of one call. Always draws as often, so that the same seed meets the same calls."""
    throttled, failed, timed_out = dice.hit(faults.throttle_429), dice.hit(faults.error_500), dice.hit(faults.timeout)
    lost, lied, which, how_long = dice.hit(faults.lose_answer), dice.hit(faults.lie_ok), dice.chance(), dice.chance()
    if throttled:
        return Fate("throttle", 1 + int(how_long * 3))
    if failed:
        return Fate("fail_after") if which < 0.5 else Fate("fail_before", honest=how_long < 0.5)
    if timed_out:
        if which < 1 / 3:
            return Fate("hold")
        return (
            Fate("hold_applied")
            if which < 2 / 3
            else Fate("hold_late", LATE_S[0] + how_long * (LATE_S[1] - LATE_S[0]))
        )
    if lost:
        return Fate("lose")
    return Fate("lie") if lied else Fate()
