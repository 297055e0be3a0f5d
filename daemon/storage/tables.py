"""The LMDB tables, their keys and what a row holds. This page is the data format.

Acknowledging transactions write only tables whose keys grow (random keys cost ten times as much there); the
tables marked "behind" are written after the fact and repeated from the log's tail at start, so they may lag
but never lie: every row carries the sequence number up to which it is true.

table        key                        value (msgpack, sealed)
meta         name                       format, genesis, head, checkpoint (see `environment`), policies, kits, paused,
                                        clocks, transaction, restored (there until what the backup could not know is
                                        known again), "webhooks of " channel ({topic: when it told something}),
                                        "mode " channel (modes.Modes), "priors " channel (priors.Taken),
                                        "alarm targets" ({target: digest of what it is}), floor
                                        (floor.Floor), audit (how far the self-audit is: app.audit)
log          seq                        one event (codec.Record)
chain        seq                        digest of the hash chain after that event, every CHAIN_EVERY events
deliveries   delivery number            (channel, topic, dedup digest, received_us, kept body zlib-compressed)
dead         id                         a dead letter (dead_letters.DeadLetter)
cursors      channel                    (cursor_us on the channel's clock, our time of the last finished poll)
refetch      channel NUL order          our time when it was asked for
skus         sku            behind      (seq, stock.dump, freeze or None, [slot.dump_slot ...], kit or None,
                                        events since the newest mark, newest event of the log)
marks        sku NUL seq                how the SKU was at that event, zlib-compressed (`actors.marks`), every
                                        MARK_EVERY events of it: folding the log up to any moment begins there
bases        sku                        the same as of the floor of the log, and its event: (seq, its own newest
                                        event, mark). What the compacted events made of the SKU; folding it anew
                                        begins there
stuck        sku                        why a SKU is not worked on (conditions.Stuck), where it is so
links        channel NUL listing behind sku, and where a person said so: NUL and who (links.Linked)
orders       channel NUL order behind   ([[line, sku, listing, recipe if any] ...], [[version, read_us, instant] ...])
history      name NUL seq   behind      empty: which events concern a SKU, or a condition (`codec.indexed_as`)
dedup        digest         behind      delivery number
open         sku            behind      empty: SKUs with a listing that needs work
alarms       condition NUL channel NUL subject       an open alarm (alarms.Alarm)
tellings     number                     what an alarm target is still to be told (tellings.Telling)
drifts       number                     a drift: (at_us, channel, listing, sku, shown, expected, first_us,
                                        first_shown, done, [(cause, score, because, order) ...]) (drifts.Drift)
drift_days   channel NUL day            drifts of that day (2025-06-30, UTC) by cause
priors       channel NUL page           before the channel went live: [[listing, sku, level it showed] ...]
shadows      channel NUL listing behind what is learned in shadow (shadows.Shadows); of the channel: listing empty
"""

from __future__ import annotations

import zlib

META = "meta"
LOG = "log"
CHAIN = "chain"
DELIVERIES = "deliveries"
DEAD = "dead"
CURSORS = "cursors"
REFETCH = "refetch"
SKUS = "skus"
LINKS = "links"
ORDERS = "orders"
HISTORY = "history"
DEDUP = "dedup"
OPEN = "open"
ALARMS = "alarms"
DRIFTS = "drifts"
DRIFT_DAYS = "drift_days"
PRIORS = "priors"
SHADOWS = "shadows"
MARKS = "marks"
STUCK = "stuck"
TELLINGS = "tellings"
BASES = "bases"

TABLES = (
    META, LOG, CHAIN, DELIVERIES, DEAD, CURSORS, REFETCH, SKUS, LINKS, ORDERS, HISTORY, DEDUP, OPEN,
    ALARMS, DRIFTS, DRIFT_DAYS, PRIORS, SHADOWS, MARKS, STUCK, TELLINGS, BASES,
)  # fmt: skip

BEHIND = frozenset({SKUS, LINKS, ORDERS, HISTORY, DEDUP, OPEN, SHADOWS})

RESTORED = b"restored"
"""The row of META that says that this state is a copy whose original went on: see `daemon.app.aftermath`."""

CHAIN_EVERY = 256
"""Events between two stored links of the hash chain."""


PAIR_BYTES_MAX = 500
CUT_BYTES = 492


def pair(left: str, right: str) -> bytes:
    """The key of (channel, name): NUL cannot be part of a channel's name.

    A name too long for an LMDB key (511 bytes) is cut and told apart by its length and checksum.
    """
    key = f"{left}\0{right}".encode("utf-8", "surrogatepass")
    if len(key) <= PAIR_BYTES_MAX:
        return key
    return key[:480] + zlib.crc32(key).to_bytes(4, "big") + len(key).to_bytes(8, "big")


def unpair(key: bytes) -> tuple[str, str] | None:
    """The inverse of `pair`; None for a key that may have been cut."""
    if len(key) == CUT_BYTES:
        return None
    left, _, right = key.decode("utf-8", "surrogatepass").partition("\0")
    return left, right
