"""The shape of every answer of the admin socket, for its OpenAPI description.

The answers themselves are plain dictionaries, made in `views`, `health`, `explain`, `facts` and `commands`. These
structures hold every key of them and no other: the tests decode each real answer into its shape, strictly.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from daemon.domain.slot import SlotState
from daemon.domain.trust import Trust
from daemon.storage.alarms import Condition
from daemon.storage.dead_letters import DeadKind

Units = int | None
"""Pieces of stock; null while nobody has counted."""
Moment = str | None
"""RFC 3339 in UTC; null for never."""


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer or a part of one."""


class ErrorDetail(Shape, frozen=True):
    """`code` is a word for programs and never changes its meaning; the sentences may."""

    code: str
    message: str
    hint: str


class Error(Shape, frozen=True):
    """A refusal: what is wrong, and what to do next."""

    error: ErrorDetail


# --- SKUs ----------------------------------------------------------------------------------------------------


class SkuRow(Shape, frozen=True):
    """One SKU of a list, with the most pressing state of its listings."""

    sku: str
    available: Units
    on_hand: Units
    held: Units
    debt: Units
    listings: int
    state: SlotState | None


class SkuPage(Shape, frozen=True):
    """`next`: the cursor of the following page."""

    skus: list[SkuRow]
    next: str | None


class ListingState(Shape, frozen=True):
    """What a listing should show, and what we believe it shows."""

    channel: str
    listing: str
    desired: Units
    belief: Units
    generation: int
    state: SlotState
    last_push_at: Moment
    last_error: str | None
    dead_letter: int | None


class Frozen(Shape, frozen=True):
    """Who froze the SKU, and why."""

    by: str
    reason: str | None


class Ingredient(Shape, frozen=True):
    """A component of a kit, and how many of it are in one kit."""

    sku: str
    units: int


class Component(Shape, frozen=True):
    """A component as its kit knows it. `makes`: kits it is enough for; `limits`: it sets the kit's number; `doubt`:
    why fewer may be available."""

    sku: str
    units: int
    available: Units
    makes: Units
    limits: bool
    doubt: str | None


class SkuState(Shape, frozen=True):
    """A SKU with its listings. `versions`: per channel the newest version of any order it knows. `components` of a
    kit, null for any other SKU; `kits`: those that it is a component of. A kit has no `on_hand`. Of a moment of the
    past: `at`, and the newest event of all that was there."""

    sku: str
    available: Units
    on_hand: Units
    held: Units
    debt: Units
    components: list[Component] | None
    kits: list[str]
    ambiguous: int
    frozen: Frozen | None
    quarantined: str | None
    versions: dict[str, str]
    listings: list[ListingState]
    at: str | UnsetType = UNSET
    after_event: int | UnsetType = UNSET


class EventCause(Shape, frozen=True):
    """What made an event happen."""

    delivery: int | None
    order: str | None
    line: str | None
    by: str


class LogEvent(Shape, frozen=True):
    """One event of the log. `before` and `after`: available units around it. `kit`: sold through, or as, this kit.
    `ambiguous`: on which side of a count it falls nobody can say, so the lower number holds."""

    seq: int
    at: Moment
    sku: str
    kind: str
    channel: str | None
    cause: EventCause
    before: Units
    after: Units
    note: str
    ambiguous: bool | UnsetType = UNSET
    version: int | UnsetType = UNSET
    listing: str | UnsetType = UNSET
    generation: int | UnsetType = UNSET
    level: int | UnsetType | None = UNSET
    believed: int | UnsetType | None = UNSET
    kit: str | UnsetType = UNSET
    component: str | UnsetType = UNSET
    component_available: int | UnsetType | None = UNSET
    components: list[Ingredient] | UnsetType = UNSET


class History(Shape, frozen=True):
    """Newest first. `next`: the `before` of the following page. `whole_since`: what was before is compacted, and only
    the newest of it is kept; null where nothing is."""

    sku: str
    history: list[LogEvent]
    next: int | None
    whole_since: Moment


class Anchor(Shape, frozen=True):
    """The count in force at one location."""

    location: str | None
    quantity: int
    kind: Literal["on_hand", "available"]
    at: str
    source: str
    reference: str | None
    settled: int


class OpenOrder(Shape, frozen=True):
    """An order line with units that are sold and still on the shelf. `kit`: the one they were sold through."""

    channel: str
    order: str
    line: str
    held: int
    taken: int
    since: str
    kit: str | None


class ListingReasons(Shape, frozen=True):
    """Why a listing shows what it shows."""

    channel: str
    listing: str
    shows: Units
    should_show: Units
    wish_now: Units
    rules: list[str]
    state: SlotState
    why: list[str]
    generation: int
    attempts: int
    next_try_at: Moment
    read_back_at: Moment
    last_push_at: Moment
    last_error: str | None
    dead_letter: int | None
    drift: DriftFound | None
    events: list[LogEvent]


class Explanation(Shape, frozen=True):
    """Numbers, rules and events of a SKU, and the sentences that join them."""

    sku: str
    available: Units
    on_hand: Units
    held: Units
    debt: Units
    components: list[Component] | None
    kits: list[str]
    stock: list[str]
    anchors: list[Anchor]
    open_orders: list[OpenOrder]
    open_orders_count: int
    listings: list[ListingReasons]
    at: str | UnsetType = UNSET
    after_event: int | UnsetType = UNSET


# --- the daemon and its channels -----------------------------------------------------------------------------


class LagFigures(Shape, frozen=True):
    """Milliseconds over the recent past; null before the first measurement."""

    p50: float | None
    p95: float | None
    p99: float | None
    count: int


class ClockOffset(Shape, frozen=True):
    """How far the channel's clock runs ahead of ours, in milliseconds."""

    at_least: float
    at_most: float


class CaptureFigures(Shape, frozen=True):
    """Versions of orders that webhooks told, or not in time; `ratio` null where there was nothing to tell."""

    told: int
    missed: int
    ratio: float | None


class TopicCapture(Shape, frozen=True):
    """A webhook topic that tells of orders, held against the order feed."""

    topic: str
    hour: CaptureFigures
    day: CaptureFigures


ModeWord = Literal["live", "shadow", "rollback"]


class ChannelState(Shape, frozen=True):
    """One channel. `mode_by`: the person who said so, null where it is the configuration's word."""

    name: str
    platform: str
    state: Literal["live", "shadow", "paused", "down", "throttled"]
    breaker: Literal["closed", "open", "half_open"]
    push_lag_ms: LagFigures
    webhook_lag_ms: LagFigures
    commit_lag_ms: LagFigures
    visible_lag_ms: LagFigures
    write_window_ms: LagFigures | None
    pending: int
    in_flight: int
    dead: int
    orders_seen_until: Moment
    clock_offset_ms: ClockOffset
    last_error: str | None
    pushes: int
    polls: int
    webhooks: int
    acknowledgements: Trust
    acknowledgements_since: Moment
    webhooks_silent_since: Moment
    webhook_capture: list[TopicCapture]
    mode: ModeWord
    mode_by: str | None
    mode_since: Moment
    mode_in_file: Literal["live", "shadow"]
    swept: int
    sweep_rounds: int


class ChannelList(Shape, frozen=True):
    """Every configured channel."""

    channels: list[ChannelState]


class OutboxFigures(Shape, frozen=True):
    """Listings that need work."""

    pending: int
    in_flight: int
    dead: int


class StorageFigures(Shape, frozen=True):
    """`trouble`: why nothing new can be accepted. `history_since`: what was before is compacted."""

    map_bytes: int
    used_bytes: int
    commits: int
    pending_rows: int
    readers: int
    history_since: Moment
    trouble: str | None


class AlarmState(Shape, frozen=True):
    """An open alarm: a condition that wants a person. `count`: how often it was found since it began."""

    condition: Condition
    channel: str | None
    subject: str | None
    text: str
    since: Moment
    last: Moment
    count: int
    what_to_do: str


class AlarmTargetState(Shape, frozen=True):
    """Who is told when an alarm begins and ends: what waits to be told, what was taken and what is never told, since
    the start; since when it fails, and why."""

    target: Literal["webhook", "command"]
    waiting: int
    told: int
    lost: int
    failing_since: Moment | None
    last_error: str | None


class AuditFigures(Shape, frozen=True):
    """The round of the self-audit under way: SKUs done, of how many, since when; rounds before it; and the SKUs whose
    books are not what the log makes of them, with why."""

    audited: int
    skus: int
    since: Moment
    rounds: int
    differing: dict[str, str]


class Status(Shape, frozen=True):
    """How the daemon is."""

    ready: bool
    not_ready: str | None
    since: Moment
    now: Moment
    alarms: list[AlarmState]
    alarm_targets: list[AlarmTargetState]
    events: int
    acked: int
    duplicates: int
    rejected: int
    counters: dict[str, int]
    actors: int
    queued: int
    crashes: int
    quarantined: dict[str, str]
    audit: AuditFigures
    outbox: OutboxFigures
    dead_letters: int
    channels: dict[str, ChannelState]
    storage: StorageFigures


class Subscription(Shape, frozen=True):
    """A webhook as the channel shows it."""

    topic: str
    url: str
    state: Literal["active", "paused", "disabled"]
    id: str


class Subscriptions(Shape, frozen=True):
    """`missing`: wanted topics without an active webhook."""

    channel: str
    wanted: list[str]
    missing: list[str]
    webhooks: list[Subscription]


class Registered(Shape, frozen=True):
    """What was put right."""

    channel: str
    done: list[str]


class Reconciled(Shape, frozen=True):
    """What a comparison with the live channel found."""

    channel: str
    listings: int
    linked: int
    mismatched: int
    error: None


# --- drift ---------------------------------------------------------------------------------------------------


class DriftCause(Shape, frozen=True):
    """What may be behind a drift. `score`: 0 to 1, to rank it; `order`: the one concerned."""

    cause: str
    score: float
    because: str
    order: str | None


class DriftFound(Shape, frozen=True):
    """A listing that showed what it should not. `first_*`: at the first look. `causes`: the likeliest first."""

    number: int
    at: Moment
    channel: str
    listing: str
    sku: str
    shown: int
    expected: int
    first_at: Moment
    first_shown: int
    done: Literal["resolved", "corrected", "adopted", "reported", "kept"]
    what_was_done: str
    cause: str
    causes: list[DriftCause]


class MassHeld(Shape, frozen=True):
    """A channel of which nothing is taken. `decided`: what a person said of it, while that is being done."""

    kind: Literal["zero", "change"]
    since: Moment
    listings: int
    linked: int
    sentence: str
    decided: Literal["adopt", "correct"] | None


class DriftOfChannel(Shape, frozen=True):
    """`totals`: drifts by cause; `days`: the same by day (UTC), the newest first."""

    channel: str
    rule: Literal["correct", "adopt", "report"]
    held: MassHeld | None
    totals: dict[str, int]
    days: dict[str, dict[str, int]]


class DriftPage(Shape, frozen=True):
    """Newest first. `next`: the `before` of the following page."""

    channels: list[DriftOfChannel]
    drifts: list[DriftFound]
    next: int | None


class MassDecided(Shape, frozen=True):
    """What a person decided of a channel that was held."""

    channel: str
    decided: Literal["accepted", "refused"]
    listings: int
    note: str


# --- dead letters --------------------------------------------------------------------------------------------


class Letter(Shape, frozen=True):
    """One dead letter, without its content."""

    id: int
    kind: DeadKind
    at: Moment
    channel: str | None
    sku: str | None
    subject: str
    topic: str | None
    delivery: int | None
    cause: str
    next_action: str


class LetterPage(Shape, frozen=True):
    """In the order they came. `next`: the `after` of the following page."""

    dead_letters: list[Letter]
    next: int | None


class Content(Shape, frozen=True):
    """What a letter holds, as a person can read it: always `text`, or `hex` where it is none."""

    text: str | UnsetType = UNSET
    hex: str | UnsetType = UNSET
    bytes: int | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    sku: str | UnsetType | None = UNSET
    order: str | UnsetType = UNSET
    line: str | UnsetType = UNSET


class OpenedLetter(Letter, frozen=True):
    """One dead letter with its content."""

    content: Content


class LetterResult(Shape, frozen=True):
    """What came of a retry or a discard."""

    id: int
    result: str
    still_there: bool


# --- facts and commands --------------------------------------------------------------------------------------


class Told(Shape, frozen=True):
    """What became of a fact. `seq`: its event, null where nothing was written."""

    sku: str
    verdict: str
    seq: int | None
    before: Units
    after: Units
    available: Units
    on_hand: Units
    held: Units
    debt: Units
    note: str | None


class Counted(Told, frozen=True):
    """What became of a count."""

    kind: Literal["on_hand", "available"]
    counted: int


class Adjusted(Told, frozen=True):
    """What became of an adjustment; `adjusted` is 0 where its reference was known already."""

    reference: str
    adjusted: int


CountState = Literal["new", "first", "changed", "same", "applied", "superseded", "wrong"]
"""new: nobody told of the SKU · first: nobody counted it there · applied: this line of this file was told before ·
superseded: a newer count is in force · wrong: `problem` says why it cannot be taken, and what to do."""


class CountDifference(Shape, frozen=True):
    """One line of a file against the books, by itself, as if it were told alone. `now` and `then` are of the line's
    kind, at its location · `repeated`: channels where several listings share the SKU."""

    line: int
    sku: str
    location: str
    kind: Literal["on_hand", "available"]
    counted: int
    state: CountState
    now: Units
    then: Units
    change: Units
    available_now: Units
    available_then: Units
    applied_at: Moment
    note: str | None
    repeated: list[str]
    problem: str | None


class Imported(Shape, frozen=True):
    """`told`: counts that this request wrote into the log."""

    file: str
    applied: bool
    told: int
    rows: list[CountDifference]


class ExportedCount(Shape, frozen=True):
    """What the books have of one SKU at one location; `quantity` is null where a person has to count."""

    sku: str
    location: str
    kind: Literal["on_hand", "available"]
    quantity: Units
    remark: str | None
    listings: list[ListedAt]
    repeated: list[str]


class ListedAt(Shape, frozen=True):
    """A listing of the SKU."""

    channel: str
    listing: str


class ExportPage(Shape, frozen=True):
    """`repeated`: channels where several listings share the SKU · `next`: the cursor of the following page."""

    counts: list[ExportedCount]
    next: str | None


class AskedListing(Shape, frozen=True):
    """A listing that is read now."""

    channel: str
    listing: str


class Asked(Shape, frozen=True):
    """The listings that are read now, and pushed where they differ."""

    sku: str
    asked: list[AskedListing]
    note: str


class Copied(Shape, frozen=True):
    """A finished backup."""

    directory: str
    bytes: int


class Rebuilt(Shape, frozen=True):
    """What folding the whole log anew found; `first_broken` 0: no event is broken."""

    ok: bool
    events: int
    skus: int
    different: list[str]
    first_broken: int
    repaired: bool
