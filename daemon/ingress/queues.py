"""One channel's queue, read for ever: what waits there comes through the same door as webhooks, and is deleted only
once it is durable here.

The queue repeats what was not deleted, sometimes also what was, and in any order: the door knows what it has seen.
What we cannot take now is simply left: its time-out gives it back, to us.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf

import trio
from attrs import define

from daemon.domain.channel import Delivery
from daemon.domain.exchange import NoAnswer
from daemon.domain.outcomes import Failure
from daemon.domain.queues import Message, Queue
from daemon.domain.retry import Backoff
from daemon.ingress.receiver import Answer, Intake, Receiver
from daemon.outbound.account import Account
from daemon.storage.alarms import Alarms
from daemon.storage.files import StoreError

RETRY = Backoff(0.5, 60.0, 0)
"""Between two calls to a queue that does not answer, or refuses: spread, and ever longer."""
REFUSED_S = 60.0
"""What only a person can mend is tried again so often."""
FULL_S = 5.0
"""While nothing can be stored, nothing is fetched: it would only be given back."""
SHORT_S = 1.0
"""An empty answer that came sooner was not waited for at the queue: the next one is not asked for before this."""
PATIENT_S = 300.0
"""So long a queue may fail before a person is asked; where it refuses us, at once."""
RESERVE_S = 2.0
"""So long before a message may be somebody else's again, nothing is begun with it any more."""


def _silent(error: str) -> None:
    """Nobody listens."""


@define(eq=False)
class QueueReader:
    """The queue of one channel. `run` is its only task.

    account: of the queue alone. Its host is another than the platform's: its failures must not stop pushes, nor its
    answers say that the platform works.
    """

    queue: Queue
    account: Account
    intake: Intake
    receiver: Receiver
    alarms: Alarms
    rng: random.Random
    failed: Callable[[str], None] = _silent
    recovered: Callable[[], None] = lambda: None
    crashed: Callable[[BaseException], None] = lambda error: None  # noqa: ARG005 - a silent default
    """Told what a message made the door raise: a bug of ours. The message stays in the queue."""
    broken: str = ""
    taken: int = 0
    """Messages that were durable here since the start, repeated ones included."""
    left: int = 0
    """Messages that were given out to us and stay in the queue."""
    stuck: str = ""
    """Why what is durable here may not be deleted there; empty where it may."""
    _failures: int = 0
    _failing_since: float = inf

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read for ever."""
        task_status.started()
        while True:
            wait_s = self.account.wait_s()
            if self.receiver.store.refuses():
                self.intake.hooks.excused()
                wait_s = max(wait_s, FULL_S)
            await trio.sleep(wait_s or await self.read())

    async def read(self) -> float:
        """Fetch once, take what came, delete what is durable; seconds until the queue should be asked again."""
        asked = trio.current_time()
        answer = await self.account.converse(self.queue.receive())
        if isinstance(answer, (NoAnswer, Failure)):
            return self._failed(answer)
        self._answered()
        if not answer:
            return max(0.0, SHORT_S - (trio.current_time() - asked))
        # A message is ours from the moment it left the queue: no earlier than it was asked for.
        durable, errors = await self._take(answer, asked + self.queue.hold_s - RESERVE_S)
        self.taken += len(durable)
        self.left += len(answer) - len(durable)
        for start in range(0, len(durable), self.queue.batch_max):
            # Whatever comes of it: what stays comes again, is known by then, and is deleted then.
            batch = durable[start : start + self.queue.batch_max]
            self._deleted(await self.account.converse(self.queue.delete(batch)))
        if errors:
            raise errors[0]
        return 0.0

    async def _take(self, messages: Sequence[Message], until: float) -> tuple[list[Message], list[StoreError]]:
        """Take all at once, so that they share a commit; those that are durable. None is begun after `until`."""
        durable: list[Message] = []
        errors: list[StoreError] = []

        async def take(message: Message) -> None:
            if trio.current_time() >= until:
                return
            delivery = Delivery(message.headers, message.body, received_us=self.receiver.wall_us())
            try:
                if await self.receiver.take(self.intake, delivery) is not Answer.BUSY:
                    durable.append(message)
            except StoreError as error:
                errors.append(error)
            except Exception as error:  # noqa: BLE001, RUF100 - one message that breaks us must not stop the others
                self.crashed(error)

        async with trio.open_nursery() as nursery:
            for message in messages:
                nursery.start_soon(take, message)
        return durable, errors

    def _failed(self, answer: NoAnswer | Failure) -> float:
        """The queue gave nothing: said once; a person is asked where only one can help."""
        now, lasting = trio.current_time(), isinstance(answer, Failure) and answer.outcome.kind == "permanent"
        reason = self.account.redacted(answer.reason)
        self._failures += 1
        self._failing_since = min(self._failing_since, now)
        if not self.broken:
            self.failed(reason)
        self.broken = reason
        # What is not fetched meanwhile is nothing that the platform has not told.
        self.intake.hooks.excused()
        if lasting or now - self._failing_since >= PATIENT_S:
            self.alarms.raised("queue_unread", self.account.name, f"its queue cannot be read: {reason}")
        if lasting:
            return REFUSED_S
        return self.rng.random() * min(RETRY.most_s, RETRY.first_s * 2.0 ** min(self._failures, 20))

    def _deleted(self, answer: tuple[str, ...] | NoAnswer | Failure) -> None:
        """A queue that may be read and not emptied gives everything again, for ever: a person is asked at once."""
        if not isinstance(answer, (NoAnswer, Failure)):
            self.stuck = ""
        elif isinstance(answer, Failure) and answer.outcome.kind == "permanent":
            self.stuck = self.account.redacted(answer.reason)
            text = f"what was read from its queue cannot be deleted there: {self.stuck}"
            self.alarms.raised("queue_unread", self.account.name, text)

    def _answered(self) -> None:
        self._failures, self._failing_since = 0, inf
        if not self.stuck:
            self.alarms.cleared("queue_unread", self.account.name)
        if self.broken:
            self.broken = ""
            self.recovered()
