"""The one list of event names: every line the daemon can log, how serious it is, and when it is written.

Whoever tails the log reads this file. A name, once shipped, keeps its meaning.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class Severity(IntEnum):
    """How much a line wants a person. Called severity because `level` is a quantity in this house."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


_DEBUG, _INFO, _WARNING, _ERROR = Severity.DEBUG, Severity.INFO, Severity.WARNING, Severity.ERROR


class Event(Enum):
    """name as logged · severity · when it is written (`once` events: when it breaks, then again when it heals)."""

    # --- life of the process ---
    STARTED = "daemon.started", _INFO, "the state is loaded and repeated up to the end of the log"
    RESTORED = (
        "daemon.restored",
        _WARNING,
        "a backup was restored: listings and orders are read before any push",
    )
    READY = "daemon.ready", _INFO, "state is complete and webhooks are answered"
    STOPPING = "daemon.stopping", _INFO, "a stop was asked for; nothing new is accepted"
    STOPPED = "daemon.stopped", _INFO, "everything in flight is finished or safely on disk"
    FAILED = "daemon.failed", _ERROR, "the daemon cannot go on and stops; what is on disk is the truth"
    TASK_CRASHED = "daemon.task_crashed", _ERROR, "a background task raised and is started again"
    LISTENING = "listener.opened", _INFO, "a public or admin listener accepts connections"
    LISTENER_NARROWED = "listener.narrowed", _WARNING, "fewer clients are served: the limit of open files is too low"
    HANDLER_FAILED = "listener.handler_failed", _ERROR, "a request ended in a 500: a bug of ours"
    SECRET_MISSING = "secret.missing", _ERROR, "a channel's secret cannot be had; its webhooks get 503 meanwhile"

    # --- webhooks ---
    DELIVERY_ACCEPTED = "delivery.accepted", _DEBUG, "a webhook and its effects are committed"
    DELIVERY_DUPLICATE = "delivery.duplicate", _DEBUG, "a webhook that was committed before came again"
    DELIVERY_REJECTED = "delivery.rejected", _WARNING, "a signature was wrong or missing; nothing stored", True
    DELIVERY_PUZZLE = "delivery.puzzle", _WARNING, "signed but not understood; kept as a dead letter"
    DELIVERY_OVERLOADED = (
        "delivery.overloaded",
        _WARNING,
        "answered 503 with Retry-After; the sender tries again",
        True,
    )

    # --- observations and stock ---
    OBSERVATION_APPLIED = "observation.applied", _INFO, "an observation changed the state of its SKU"
    OBSERVATION_CONFLICT = (
        "observation.conflict",
        _WARNING,
        "one version with two contents; the order is fetched again",
    )
    OBSERVATION_LATE = "observation.late", _WARNING, "older than the settlement horizon; quarantined with its cause"
    OBSERVATION_UNLINKED = "observation.unlinked", _WARNING, "its listing is linked to no SKU yet; kept until it is"
    ORDER_AMBIGUOUS = "observation.ambiguous", _INFO, "count or sale first cannot be told; the lower result is taken"
    SKU_CRASHED = "sku.crashed", _WARNING, "an actor raised and is started again"
    SKU_QUARANTINED = "sku.quarantined", _ERROR, "an actor raised too often; its SKU waits for a person"
    SKU_RELEASED = "sku.released", _INFO, "a quarantined SKU works again"
    DEBT_OPENED = "debt.opened", _WARNING, "more units are sold than there are"
    DEBT_PAID = "debt.paid", _INFO, "a restock or a cancellation ended a debt"
    FIRST_COUNT = "stock.first_count", _INFO, "an uncounted SKU took its first anchor from a channel's catalogue"
    LISTING_LINKED = "listing.linked", _INFO, "a listing was linked to its SKU by equal seller SKU"

    # --- pushes ---
    PUSH_SENT = "push.sent", _DEBUG, "a level left for a channel"
    PUSH_ACCEPTED = "push.accepted", _DEBUG, "the channel took the level in and decides later; it is followed"
    PUSH_CONFIRMED = "push.confirmed", _INFO, "the channel shows the level"
    PUSH_SUPERSEDED = "push.superseded", _DEBUG, "a newer level was there already"
    PUSH_CONFLICT = "push.conflict", _INFO, "compare-and-set refused: the channel knows of a sale that we do not"
    PUSH_FAILED = "push.failed", _WARNING, "surely not done; it is tried again"
    PUSH_DOUBTED = "push.doubted", _WARNING, "it may have been done; the listing is read back before it counts"
    PUSH_SPLIT = "push.split", _INFO, "a rejected batch is halved to find the bad row"
    PUSH_DEAD = "push.dead", _ERROR, "given up; it is a dead letter with its cause and next action"
    PUSH_NOT_DONE = (
        "push.not_done",
        _WARNING,
        "it was acknowledged, but the listing does not show it, nor do sales explain",
    )
    READ_BACK = "push.read_back", _INFO, "a doubted level was read at the channel"
    DRIFT_FOUND = (
        "drift.found",
        _WARNING,
        "a listing shows what nothing explains, seen twice; with the likeliest cause",
    )
    DRIFT_EXPLAINED = "drift.explained", _INFO, "a listing differed, and the second look found it explained"
    MASS_HELD = "drift.mass_held", _WARNING, "too many listings of a channel differ at once; nothing of it is taken"
    MASS_ENDED = "drift.mass_ended", _INFO, "a held channel goes on: it reads right again, or a person decided"
    DEAD_LETTER_RETRIED = "dead_letter.retried", _INFO, "a dead letter was sent round again"
    DEAD_LETTER_DISCARDED = "dead_letter.discarded", _INFO, "a person gave a dead letter up"

    DEAD_LETTER_LET_GO = (
        "dead_letter.let_go",
        _WARNING,
        "a dead letter gave way, for there are too many or it is too old; what it was about",
    )

    # --- channels ---
    POLL_FAILED = "poll.failed", _WARNING, "reading orders or the catalogue failed (once)"
    POLL_RECOVERED = "poll.recovered", _INFO, "reading works again (once)"
    BREAKER_OPENED = "breaker.opened", _WARNING, "a channel fails so often that calls to it pause"
    BREAKER_CLOSED = "breaker.closed", _INFO, "a channel answers again"
    CHANNEL_THROTTLED = "channel.throttled", _WARNING, "a channel says we are too fast"
    CHANNEL_PAUSED = "channel.paused", _INFO, "a person paused a channel"
    CHANNEL_RESUMED = "channel.resumed", _INFO, "a person resumed a channel"
    CHANNEL_SHADOWED = "channel.shadowed", _INFO, "nothing is written to a channel any more; it is only watched"
    CHANNEL_LIVE = "channel.live", _INFO, "a channel is pushed to; what its listings showed before is kept"
    CHANNEL_STAYS_SHADOW = (
        "channel.stays_shadow",
        _WARNING,
        "the configuration says live, but what the channel shows could not be kept",
    )
    ROLLBACK_BEGUN = "channel.rollback_begun", _INFO, "a person asked for the levels from before a channel went live"
    ROLLBACK_ENDED = "channel.rollback_ended", _INFO, "they are written back; the channel is in shadow"
    CLOCK_OFFSET_JUMPED = "clock.offset_jumped", _WARNING, "a channel's clock moved against ours"
    WEBHOOK_REGISTERED = "webhook.registered", _INFO, "a subscription was made at the channel"
    WEBHOOK_DISABLED = "webhook.disabled", _WARNING, "the channel switched a subscription off; polling covers for it"
    WEBHOOK_MISSED = "webhook.missed", _INFO, "the order feed shows a version that no webhook told in time"
    WEBHOOK_FAILED = "webhook.failed", _WARNING, "a subscription could not be made or checked (once)"

    QUEUE_FAILED = "queue.failed", _WARNING, "a platform's queue cannot be read; what waits there is late (once)"
    QUEUE_RECOVERED = "queue.recovered", _INFO, "the queue can be read again (once)"
    QUEUE_MESSAGE_FAILED = (
        "queue.message_failed",
        _ERROR,
        "a message could not be taken, a bug of ours; it stays in its queue",
        True,
    )

    # --- alarms ---
    ALARM_RAISED = "alarm.raised", _ERROR, "a condition that wants a person began; `onhand status` shows it (once)"
    ALARM_CLEARED = "alarm.cleared", _INFO, "a condition that wanted a person is over (once)"

    ALARM_TOLD = "alarm.told", _INFO, "an alarm target took that an alarm began, or is over"
    ALARM_TARGET_FAILED = "alarm.target_failed", _WARNING, "an alarm target cannot be told; it is tried again (once)"
    ALARM_TARGET_RECOVERED = "alarm.target_recovered", _INFO, "an alarm target can be told again (once)"
    ALARM_NOT_TOLD = "alarm.not_told", _ERROR, "an alarm target is never told this: given up, or too much waits"
    ALARM_TARGET_GONE = "alarm.target_gone", _WARNING, "a target left the configuration while something waited for it"

    DELIVERIES_REPLAYED = "deliveries.replayed", _INFO, "kept deliveries were read again; what would change, or did"

    # --- storage ---
    STORAGE_FULL = "storage.full", _ERROR, "disk or map is at its floor; webhooks get 503 (once)"
    STORAGE_HEALED = "storage.healed", _INFO, "there is room again (once)"
    MAP_GROWN = "storage.map_grown", _INFO, "the memory map was made larger"
    CHECKPOINT = "storage.checkpoint", _DEBUG, "states are written up to a sequence number"
    PRUNED = "storage.pruned", _INFO, "what is past its retention was removed"
    BACKED_UP = "storage.backed_up", _INFO, "a verified copy was written"
    BACKUP_FAILED = "storage.backup_failed", _ERROR, "a copy could not be written or did not verify"
    CHAIN_ROOT = "chain.root", _INFO, "the hash chain's digest at the end of a day, and at an orderly stop"
    COMPACTED = "storage.compacted", _INFO, "events older than their retention went; the state they made stays"
    REBUILT = "storage.rebuilt", _INFO, "state was folded anew from the log"

    # --- people ---
    ADMIN_COMMAND = "admin.command", _INFO, "a person changed something over the admin socket; by whom"
    ADMIN_REFUSED = "admin.refused", _WARNING, "a command over the admin socket was refused; by whom"

    def __init__(self, text: str, severity: Severity, when: str, strangers: bool = False) -> None:
        self.text = text
        self.severity = severity
        self.when = when
        self.strangers = strangers
        """Outsiders or overload can cause it at will: counted always, written once a second at most."""
