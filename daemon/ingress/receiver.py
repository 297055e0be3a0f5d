"""One webhook: verify, parse, look whether it is known, deliver, and answer when it is durable. One screen.

Polls and refetches come through the same door (`absorb`), so a fact that two ways tell is one fact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

import trio
from attrs import define, field, frozen

from daemon.actors.actor import Part, Unit
from daemon.actors.registry import Registry
from daemon.domain.channel import Adapter, Delivery, Facts, OrderSeen
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.signatures import Fetched, Notice, PublicKeyScheme
from daemon.ingress.normalise import Normaliser, Unlinked
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.signature import Finding, check
from daemon.storage.codec import Cause, pack, unpack
from daemon.storage.dead_letters import DeadKind, DeadLetters
from daemon.storage.idempotency import SeenDeliveries, digest
from daemon.storage.store import Store

ANSWER_S = 3.0
"""A commit that takes longer is answered 503: the sender repeats it, and then it is known."""


class Answer(Enum):
    """What the sender is told: (status, what happened)."""

    ACCEPTED = (200, "accepted")
    DUPLICATE = (200, "known")
    PUZZLE = (200, "kept")
    GREETED = (200, "hello")
    REFUSED = (401, "refused")
    BUSY = (503, "busy")


class Keys(Protocol):
    """The live webhook secrets of a channel."""

    def __call__(self, now_us: int) -> Sequence[str]: ...


class ReceiptWatcher(Protocol):
    """Is told what happens to deliveries; must not raise."""

    def received(self, channel: str, answer: Answer, *, topic: str, delivery: int, note: str) -> None: ...
    def refused(self, channel: str, finding: Finding) -> None: ...
    def timed(self, channel: str, event_lag_us: int | None, commit_us: int) -> None: ...
    def unlinked(self, line: Unlinked, letter: int) -> None: ...
    def let_go(self, kind: DeadKind, letter: int, channel: str, subject: str, why: str) -> None: ...


class Hooks(Protocol):
    """Compares what webhooks tell with what the channel shows; must not raise."""

    def told(self, facts: Facts, now_us: int) -> None: ...
    def shown(self, orders: Sequence[OrderSeen], now_us: int, *, by_poll: bool) -> None: ...
    def excused(self) -> None: ...


@frozen
class Unwatched:
    """Nobody compares."""

    def told(self, facts: Facts, now_us: int) -> None:
        """See `Hooks`."""

    def shown(self, orders: Sequence[OrderSeen], now_us: int, *, by_poll: bool) -> None:
        """See `Hooks`."""

    def excused(self) -> None:
        """See `Hooks`."""


@frozen(repr=False)
class Intake:
    """What the receiver must know of a channel."""

    name: str
    adapter: Adapter
    keys: Keys
    normaliser: Normaliser
    look: Callable[[], None]
    """Poll the channel's feeds soon."""
    hooks: Hooks = field(factory=Unwatched)
    url: str = ""
    """Our endpoint as the channel knows it; "" where nobody configured how we are reached."""
    public_keys: PublicKeys | None = None
    """Of a channel whose scheme has any."""
    fetch: Callable[[], None] = lambda: None
    """Fetch soon the orders that are wished for, without reading the feed."""


@define(repr=False)
class Receiver:
    """Turns deliveries and pages into observations at their actors."""

    store: Store
    registry: Registry
    seen: SeenDeliveries
    dead_letters: DeadLetters
    watcher: ReceiptWatcher
    wall_us: Callable[[], int]
    calendar_us: Callable[[], int] | None = None
    """The clock on the wall, which senders sign by; None: `wall_us` is that clock."""
    under_way: dict[bytes, trio.Event] = field(factory=dict)
    _told: dict[str, int] = field(factory=dict)

    def load(self) -> None:
        """Know again what letters there are, so that none is written twice."""
        for letter, channel, subject in self.dead_letters.subjects():
            self._told[f"{channel}\0{subject}"] = letter

    # -- webhooks --

    async def receive(self, intake: Intake, delivery: Delivery) -> Answer:
        """Answer one webhook. A 2xx means: durable, with everything that follows from it."""
        if intake.adapter.greet(delivery):
            return Answer.GREETED
        finding = await self._finding(intake, delivery)
        if isinstance(finding, Answer):
            return finding
        if finding != "ok":
            self.watcher.refused(intake.name, finding)
            return Answer.REFUSED
        if isinstance(intake.adapter.scheme, Notice):
            # Whoever knows the address could have written it: nothing of it is read.
            intake.look()
            self.watcher.received(intake.name, Answer.ACCEPTED, topic="notice", delivery=0, note="")
            return Answer.ACCEPTED
        return await self.take(intake, delivery)

    async def take(self, intake: Intake, delivery: Delivery) -> Answer:
        """Take a delivery that is known to be the platform's own. Everything but BUSY means: durable here."""
        if reason := self.store.refuses():
            return self._busy(intake, reason)
        facts = intake.adapter.parse(delivery)
        intake.hooks.told(facts, delivery.received_us)
        key = digest(intake.name, facts.identity) if facts.identity else b""
        if key and (known := await self._known(key)) is not None:
            answer = Answer.DUPLICATE if known else Answer.BUSY
            self.watcher.received(intake.name, answer, topic=facts.topic, delivery=known or 0, note="")
            return answer
        return await self._accept(intake, delivery, facts, key)

    async def _finding(self, intake: Intake, delivery: Delivery) -> Finding | Answer:
        """Is it signed as it should be? The answer itself where nobody can tell now."""
        scheme = intake.adapter.scheme
        if isinstance(scheme, PublicKeyScheme):
            assert intake.public_keys is not None
            found = await intake.public_keys.check(delivery)
            return self._busy(intake, "the platform's public key cannot be had") if found == "busy" else found
        today_us = self.calendar_us() if self.calendar_us else delivery.received_us
        keys = intake.keys(today_us)
        if not keys and not isinstance(scheme, Fetched):
            return self._busy(intake, "our own webhook secret is missing")
        return check(scheme, keys, delivery, today_us, intake.url)

    async def _known(self, key: bytes) -> int | None:
        """The number of the delivery that this one repeats; None if it is new. A twin that is still under way is
        waited for: it must be durable before its copy is acknowledged. 0: that one did not become durable."""
        if key not in self.under_way and not self.seen.known(key):
            return None
        with trio.move_on_after(ANSWER_S):
            if key in self.under_way:
                await self.under_way[key].wait()
            known = self.seen.known(key)  # asked first: what is applied only while we wait is not durable by then
            await self.store.flush()
            return known
        return 0

    async def _accept(self, intake: Intake, delivery: Delivery, facts: Facts, key: bytes) -> Answer:
        if reason := self.registry.refuses(intake.normaliser.likely_skus(facts)):
            return self._busy(intake, reason)
        stored = self.store.next_delivery()
        parts, unlinked = self._parts(intake, facts, Cause("webhook", intake.name, stored))

        def finish(_: Unit) -> None:
            self._keep(intake, delivery, facts, stored, key, unlinked)

        if key:
            self.under_way[key] = trio.Event()
        durable = False
        try:
            with trio.move_on_after(ANSWER_S):
                await self.registry.deliver(parts, finish)
                durable = True
        finally:
            if key:
                self.under_way.pop(key).set()
        if facts.look:
            intake.look()
        if not durable:
            return self._busy(intake, "the commit takes too long")
        self._time(intake, delivery, facts)
        answer = Answer.PUZZLE if facts.puzzle else Answer.ACCEPTED
        self.watcher.received(intake.name, answer, topic=facts.topic, delivery=stored, note=facts.puzzle)
        return answer

    def _keep(
        self, intake: Intake, delivery: Delivery, facts: Facts, stored: int, key: bytes, unlinked: Sequence[Unlinked]
    ) -> None:
        """What must be durable with the observations: the kept body, its dedup key, letters and wishes."""
        now_us = self.store.now_us()
        self.store.keep_delivery(stored, intake.name, facts.topic, key, delivery.received_us, facts.kept)
        if key:
            self.seen.add(key, stored)
        for order in facts.refetch:
            self.registry.refetches.ask(intake.name, order, now_us)
        if facts.refetch:
            intake.fetch()
        self._remind(intake, facts.orders, now_us)
        if facts.puzzle:
            self.dead_letters.add(
                "puzzle", now_us, channel=intake.name, sku="", cause=facts.puzzle, subject=f"webhook {facts.topic}",
                content=facts.kept, topic=facts.topic, delivery=stored,
            )  # fmt: skip
        self._bury_unlinked(intake, unlinked, now_us, stored)

    def _remind(self, intake: Intake, orders: Sequence[OrderSeen], now_us: int) -> None:
        """Orders of which more is to be heard are fetched again some time, if nothing is."""
        for order in orders:
            due_us = now_us + int(order.look_again_s * SECOND_US) if order.look_again_s else 0
            self.registry.refetches.remind(intake.name, order.order, now_us, due_us)

    def _time(self, intake: Intake, delivery: Delivery, facts: Facts) -> None:
        stamps = [order.updated for order in facts.orders]
        lag = delivery.received_us - intake.normaliser.instant(max(stamps)).at.hi if stamps else None
        self.watcher.timed(intake.name, lag, self.wall_us() - delivery.received_us)

    def _busy(self, intake: Intake, reason: str) -> Answer:
        intake.hooks.excused()
        self.watcher.received(intake.name, Answer.BUSY, topic="", delivery=0, note=reason)
        return Answer.BUSY

    # -- the common door --

    async def absorb(
        self, intake: Intake, orders: Sequence[OrderSeen], by: str, *, read_us: int = 0,
        puzzles: Sequence[str] = (), finish: Callable[[], None] | None = None,
    ) -> Unit:  # fmt: skip
        """Orders read from the feed, or fetched: applied and durable together with what `finish` adds."""
        cause = Cause(by, intake.name)
        parts: list[Part] = []
        unlinked: list[Unlinked] = []
        intake.hooks.shown(orders, self.wall_us(), by_poll=by == "poll")
        for order in orders:
            told, strange = intake.normaliser.order(order, cause, read_us)
            parts += told
            unlinked += strange

        def complete(_: Unit) -> None:
            now_us = self.store.now_us()
            self._bury_unlinked(intake, unlinked, now_us, 0)
            for puzzle in puzzles:
                self._bury_once("puzzle", intake.name, "", puzzle, f"order feed: {puzzle[:200]}", b"", now_us, 0)
            if finish is not None:
                finish()
            self._remind(intake, orders, now_us)

        return await self.registry.deliver(parts, complete)

    def levels(self, intake: Intake, facts_levels: Sequence[Any], moment: Span, by: str) -> list[Part]:
        """Levels that were read, as messages, in order of SKU-bearing listings; not delivered yet."""
        cause = Cause(by, intake.name)
        return [part for seen in facts_levels if (part := intake.normaliser.level(seen, cause, moment))]

    def _parts(self, intake: Intake, facts: Facts, cause: Cause) -> tuple[list[Part], list[Unlinked]]:
        parts: list[Part] = []
        unlinked: list[Unlinked] = []
        for order in facts.orders:
            told, strange = intake.normaliser.order(order, cause)
            parts += told
            unlinked += strange
        parts += [part for seen in facts.levels if (part := intake.normaliser.level(seen, cause))]
        return parts, unlinked

    def bury_unlinked(self, intake: Intake, unlinked: Sequence[Unlinked], delivery: int) -> None:
        """A delivery that is read again has lines that nobody can place; durable with the next commit."""
        self._bury_unlinked(intake, unlinked, self.store.now_us(), delivery)

    def _bury_unlinked(self, intake: Intake, unlinked: Sequence[Unlinked], now_us: int, delivery: int) -> None:
        for line in unlinked:
            content = pack((line.order.order, line.line.line))
            letter = self._bury_once(
                "unlinked", intake.name, line.line.seller_sku or "", line.why, line.subject, content, now_us, delivery
            )
            if letter:
                self.watcher.unlinked(line, letter)

    def _bury_once(
        self, kind: Any, channel: str, sku: str, cause: str, subject: str, content: bytes, now_us: int, delivery: int
    ) -> int:
        """A letter for what is seen again and again; 0 if there is one already."""
        key = f"{channel}\0{subject}"
        if key in self._told:
            return 0
        letter = self.dead_letters.add(
            kind, now_us, channel=channel, sku=sku, cause=cause, subject=subject, content=content, delivery=delivery
        )
        self._told[key] = letter.letter
        if not self.dead_letters.knows(letter.letter):
            self.forget(channel, subject)  # it gave way itself
        return letter.letter

    def relink(self, channel: str) -> int:
        """New listings were linked: fetch the orders again whose lines nobody could place; returns how many."""
        found = 0
        for number in self.dead_letters.unlinked(channel):
            letter = self.dead_letters.get(number)
            if letter is not None:  # else it is not durable yet, and its order is just being told
                order, _ = unpack(letter.content)
                self.registry.refetches.ask(channel, order, self.store.now_us())
                self.dead_letters.remove(number)
                self.forget(channel, letter.subject)
                found += 1
        return found

    def let_go(self, kind: DeadKind, letter: int, channel: str, subject: str, why: str) -> None:
        """A letter gave way to others, or to time."""
        self.forget(channel, subject)
        self.watcher.let_go(kind, letter, channel, subject, why)

    def forget(self, channel: str, subject: str) -> None:
        """A letter was retried or discarded: the next sighting of it counts as the first."""
        self._told.pop(f"{channel}\0{subject}", None)
