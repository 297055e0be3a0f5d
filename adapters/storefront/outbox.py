"""The storefront's webhooks: signed, sent when due, retried with growing patience, and mistreated on request."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final, Literal

from attrs import define, field, frozen

from adapters.storefront.dice import Dice
from adapters.storefront.faults import WebhookFaults
from adapters.storefront.script import HookScript
from daemon.domain.instants import SECOND_US

ATTEMPTS_MAX: Final = 10
BACKOFF_MAX_S: Final = 64.0
"""Waits of 1, 2, 4 … 64 s between attempts: about four minutes in all."""
WAITING_MAX: Final = 100_000
RECORDS_MAX: Final = 200_000

SendingState = Literal["waiting", "in_flight", "delivered", "dropped", "given_up", "unsubscribed"]


@frozen
class Hook:
    """One webhook to be sent now. `sending` names this sending, `delivery` the message (a duplicate shares it).

    url: who subscribed it; "" where nobody had to
    """

    sending: int
    delivery: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    url: str = ""


@define
class Sending:
    """One message on its way, and each attempt at it: (host's clock, status; None where no answer came)."""

    number: int
    delivery: str
    topic: str
    body: bytes = field(repr=False)
    duplicate: bool = False
    url: str = ""
    state: SendingState = "waiting"
    attempts: list[tuple[int, int | None]] = field(factory=list)


class Outbox:
    """Messages waiting for their time. `_us` are microseconds of the host's clock."""

    def __init__(
        self, secret: str, epoch: str, dice: Dice, targets: Callable[[str], Sequence[str]] = lambda topic: ("",)  # noqa: ARG005 - all of them
    ) -> None:  # fmt: skip
        """`targets` says by topic which URLs are told."""
        self._targets = targets
        self.faults = WebhookFaults()
        self._script = HookScript()
        self.records: deque[Sending] = deque(maxlen=RECORDS_MAX)
        self.mishaps: Counter[str] = Counter()
        """What was done to the messages so far."""
        self._secret = secret.encode()
        self._epoch = epoch
        self._dice = dice
        self._due: list[tuple[int, int]] = []
        self._open: dict[int, Sending] = {}
        self._messages = 0
        self._sendings = 0

    def reseed(self, seed: int) -> None:
        """Begin the chances anew."""
        self._dice.seed(seed)

    def misbehave(self, faults: WebhookFaults) -> None:
        """From now on; scripted delays begin anew."""
        self.faults, self._script = faults, HookScript(faults.late)

    def post(self, topic: str, body: bytes, now_us: int) -> None:
        """Send a message as soon as the faults allow."""
        faults, dice = self.faults, self._dice
        dropped, overtaken, doubled = dice.hit(faults.drop), dice.hit(faults.reorder), dice.hit(faults.duplicate)
        delay_s = faults.delay_s * dice.chance() + (dice.between(0.05, 1.0) if overtaken else 0.0)
        for name, happened in (
            ("dropped", dropped), ("doubled", doubled), ("overtaken", overtaken), ("delayed", faults.delay_s > 0)
        ):  # fmt: skip
            self.mishaps[name] += happened
        delay_s += self._script.delay_s(topic)
        self._messages += 1
        delivery = f"D-{self._epoch}{self._messages:07d}"
        again_s = delay_s + dice.between(0.0, 1.0) if doubled and not dropped else None
        urls = self._targets(topic)
        if not urls:
            self._sendings += 1
            self.records.append(Sending(self._sendings, delivery, topic, body, state="unsubscribed"))
        for url in urls:
            self._add(delivery, topic, body, now_us, delay_s, url, dropped=dropped)
            if again_s is not None:
                self._add(delivery, topic, body, now_us, again_s, url, duplicate=True)

    def _add(
        self, delivery: str, topic: str, body: bytes, now_us: int, delay_s: float, url: str,
        *, dropped: bool = False, duplicate: bool = False,
    ) -> None:  # fmt: skip
        self._sendings += 1
        sending = Sending(self._sendings, delivery, topic, body, duplicate, url)
        self.records.append(sending)
        if dropped or len(self._open) >= WAITING_MAX:
            sending.state = "dropped"
            return
        self._open[sending.number] = sending
        heappush(self._due, (now_us + int(delay_s * SECOND_US), sending.number))

    def next_due_us(self) -> int | None:
        """When the next message is to be sent; None while nothing waits."""
        return self._due[0][0] if self._due else None

    def take_due(self, now_us: int, limit: int, stamp_s: int) -> list[Hook]:
        """The messages to send now, signed at `stamp_s` of the shop's clock; each must come back to `delivered`."""
        hooks: list[Hook] = []
        while self._due and self._due[0][0] <= now_us and len(hooks) < limit:
            sending = self._open[heappop(self._due)[1]]
            sending.state = "in_flight"
            hooks.append(
                Hook(sending.number, sending.delivery, self._headers(sending, stamp_s), sending.body, sending.url)
            )
        return hooks

    def delivered(self, number: int, status: int | None, now_us: int) -> None:
        """What came of a sending: the answer's status, None where there was none in time."""
        sending = self._open.get(number)
        if sending is None or sending.state != "in_flight":
            return
        sending.attempts.append((now_us, status))
        heard = not self.faults.unheard or not self._dice.hit(self.faults.unheard)
        if status is not None and 200 <= status < 300 and heard:
            sending.state = "delivered"
        elif len(sending.attempts) >= ATTEMPTS_MAX:
            sending.state = "given_up"
        else:
            sending.state = "waiting"
            wait_s = min(2.0 ** (len(sending.attempts) - 1), BACKOFF_MAX_S)
            heappush(self._due, (now_us + int(wait_s * SECOND_US), number))
            return
        del self._open[number]

    def sign(self, body: bytes, stamp_s: int) -> dict[str, str]:
        """The headers that vouch for a message leaving at `stamp_s` of the shop's clock."""
        message = f"{stamp_s}.".encode() + body
        return {
            "x-sandbox-timestamp": str(stamp_s),
            "x-sandbox-signature": b64encode(hmac.digest(self._secret, message, "sha256")).decode(),
        }

    def _headers(self, sending: Sending, stamp_s: int) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "x-sandbox-delivery": sending.delivery,
            "x-sandbox-topic": sending.topic,
            **self.sign(sending.body, stamp_s),
        }
