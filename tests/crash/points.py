"""Every point at which the matrix kills the daemon, by name.

A point lies between two effects: a commit and the acknowledgement that rests on it, the bytes of a request and its
answer, the answer and the commit that settles it. `needs` says what must happen for the daemon to come by.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

Need = Literal[
    "load", "stop", "count", "adjust", "pause", "freeze", "pull", "backup", "verify", "letter", "contradiction",
    "age", "growth", "birth", "contact", "registration",
]  # fmt: skip
"""load: webhooks, pushes and polls, as always · stop: SIGTERM · count ... letter: an operator's command ·
contradiction: an order told in two versions of itself · age: deliveries as old as their retention · growth: a full
map · birth: the very first start · contact: storefronts never seen before · registration: a platform whose webhooks
the daemon subscribes"""


@frozen
class Point:
    """A place in the daemon's work. Its name is `what.where`."""

    name: str
    needs: Need
    says: str


COMMITS: Final[dict[str, tuple[Need, str]]] = {
    "webhook": ("load", "a webhook's body, its dedup key and the events it makes"),
    "poll": ("load", "events read from the order feed"),
    "cursor": ("load", "the last page of a poll, with the cursor behind it"),
    "claim": ("load", "the mark of a push that is about to leave"),
    "settle": ("load", "what the answer to a push means"),
    "read-back": ("load", "a listing as it was read back"),
    "checkpoint-rows": ("load", "rows written behind"),
    "checkpoint-end": ("load", "the word that everything written behind is there"),
    "clocks": ("load", "what is known of the channels' clocks"),
    "letter": ("letter", "a dead letter"),
    "letter-gone": ("letter", "a dead letter discarded"),
    "refetch": ("contradiction", "an order as it was fetched again"),
    "pruned": ("age", "deliveries past their retention forgotten"),
    "compacted": ("age", "events gone, and the state that they made"),
    "refetch-wish": ("contradiction", "the wish to fetch an order again"),
    "count": ("count", "an operator's count"),
    "adjust": ("adjust", "an operator's adjustment"),
    "freeze": ("freeze", "a SKU frozen or unfrozen"),
    "revive": ("pull", "an operator's wish that a listing be read"),
    "pause": ("pause", "which channels are paused"),
    "birth": ("birth", "the first commit of all"),
    "catalogue": ("contact", "listings seen for the first time"),
    "first-count": ("contact", "first counts"),
}
"""What a commit may hold; one that holds several things passes the points of each."""

CALLS: Final[dict[str, tuple[Need, str]]] = {
    "push": ("load", "levels written to a storefront"),
    "poll": ("load", "a page of the order feed"),
    "read-back": ("load", "listings read back"),
    "catalogue": ("contact", "a page of the catalogue"),
    "refetch": ("contradiction", "one order fetched again"),
    "subscriptions": ("registration", "the list of webhook subscriptions"),
    "register": ("registration", "a webhook subscription made"),
}

_OTHERS: Final[tuple[tuple[str, Need, str], ...]] = (
    ("commit.noted", "load", "the number of a durable transaction is noted beside the database"),
    ("start.locked", "load", "the state's lock is taken, nothing was looked at"),
    ("start.verifying", "load", "a page of the file is verified"),
    ("start.opened", "load", "the file is open"),
    ("start.checked", "load", "every row has its checksum"),
    ("start.marked", "load", "the mark of use is there, and the seal of an orderly stop perhaps, too"),
    ("start.unsealed", "load", "no seal is there any more"),
    ("start.replaying", "load", "an event of the log's tail is about to be repeated"),
    ("start.replayed", "load", "the tail is repeated"),
    ("start.resumed", "load", "unfinished pushes are taken up"),
    ("start.recovered", "load", "a long tail is written down before anybody is answered"),
    ("start.admin-listens", "load", "the admin socket is there"),
    ("start.public-listens", "load", "the public socket is there, nobody is served"),
    ("start.serving", "load", "webhooks are answered from now on"),
    ("birth.marked", "birth", "the marker of a new state is written"),
    ("webhook.received", "load", "a webhook was read, nothing was looked at"),
    ("webhook.new", "load", "it was found good and new"),
    ("webhook.applied", "load", "it is applied in memory, not durable"),
    ("webhook.durable", "load", "it is durable, not acknowledged"),
    ("webhook.answering", "load", "not a byte of the acknowledgement has left"),
    ("webhook.half-answered", "load", "half the bytes of the acknowledgement have left"),
    ("webhook.answered", "load", "the acknowledgement has left"),
    ("webhook.repeat-answering", "load", "a repeated delivery is about to be acknowledged"),
    ("webhook.repeat-answered", "load", "a repeated delivery was acknowledged"),
    ("checkpoint.begun", "load", "nothing of a checkpoint is written"),
    ("checkpoint.ended", "load", "a checkpoint is durable, memory does not know yet"),
    ("operator.answering", "adjust", "a command is durable, not answered"),
    ("operator.answered", "adjust", "a command was answered"),
    ("backup.begun", "backup", "nothing is copied"),
    ("backup.copying", "backup", "the copy grows"),
    ("backup.copied", "backup", "the copy is whole, its marker missing"),
    ("backup.marked", "backup", "the copy has its marker, nobody verified it"),
    ("verify.walking", "verify", "an event of the log is held against the chain"),
    ("verify.comparing", "verify", "a SKU is about to be folded and compared"),
    ("stop.asked", "stop", "the signal came"),
    ("stop.begun", "stop", "nothing new is accepted"),
    ("stop.answered", "stop", "every request that was begun is answered"),
    ("stop.calls-ended", "stop", "the calls under way have ended"),
    ("stop.finished", "stop", "every room is empty, the last checkpoint not begun"),
    ("stop.written", "stop", "everything is written down"),
    ("stop.closing", "stop", "the file is about to be closed"),
    ("stop.closed", "stop", "the file is closed, its seal not written"),
    ("stop.sealed", "stop", "the seal is written, the mark of use still there"),
    ("stop.unmarked", "stop", "the mark of use is gone, the lock still held"),
    ("stop.ended", "stop", "nothing is left to do"),
    ("map.full", "growth", "a commit found no room in the map"),
    ("map.grown", "growth", "the map has grown, the commit not repeated"),
)


def _all() -> dict[str, Point]:
    points = []
    for kind, (needs, what) in COMMITS.items():
        points += [
            Point(f"commit.{kind}.before", needs, f"{what}: the transaction is not begun"),
            Point(f"commit.{kind}.inside", needs, f"{what}: written, not committed"),
            Point(f"commit.{kind}.after", needs, f"{what}: committed, nobody knows"),
        ]
    for kind, (needs, what) in CALLS.items():
        points += [
            Point(f"call.{kind}.before", needs, f"{what}: about to leave"),
            Point(f"call.{kind}.left", needs, f"{what}: the request has left, no answer came"),
            Point(f"call.{kind}.answered", needs, f"{what}: answered, nothing came of it yet"),
        ]
    points += [Point(*each) for each in _OTHERS]
    return {point.name: point for point in points}


POINTS: Final = _all()
