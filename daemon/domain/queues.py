"""How a platform that tells through a queue is listened to: the queue as data and sans-I/O conversations.

Such a platform never calls us. Its messages wait in a queue of the seller's own, are given out for a while, come
again where nobody deleted them, and are taken through the same door as webhooks (`daemon.ingress.queues`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from daemon.domain.access import Meter
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure


@frozen
class Message:
    """A message as the queue gave it out this time.

    message_id: the queue's own name for it, the same each time it comes
    receipt: what deletes it; another one each time, of which only the newest works
    headers: what the adapter's `parse` needs beside the body, lower case
    times: how often it has been given out, this time included; 0 where the queue does not say
    """

    message_id: str
    receipt: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict)
    times: int = 0


class Queue(Protocol):
    """One queue. Every method is pure; every generator may be dropped at any point.

    address: as the platform's subscriptions name it
    url: where it is, for what may be connected to; its host is the only one that these conversations go to
    hold_s: a message that was given to us is given to nobody else so long
    batch_max: so many messages are deleted with one call
    meter: how fast it may be called, on an account of its own
    """

    @property
    def address(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def hold_s(self) -> float: ...
    @property
    def batch_max(self) -> int: ...
    @property
    def meter(self) -> Meter: ...

    def receive(self) -> Exchange[tuple[Message, ...] | Failure]:
        """The next messages, waited for at the queue; none where none came. A failure that is "permanent" wants a
        person, and is tried again all the same."""
        ...

    def delete(self, messages: Sequence[Message]) -> Exchange[tuple[str, ...] | Failure]:
        """Delete up to `batch_max` messages that are durable here. Returns the ids of those that stay, and so come
        again."""
        ...
