"""Counts from a file against the books: what each would change, and telling them; and the books as such lines."""

from __future__ import annotations

from typing import Final, Literal

import trio
from attrs import evolve, field, frozen

from daemon.actors.actor import Part
from daemon.admin.answers import ApiError, Json
from daemon.admin.facts import SOURCE, Facts, because
from daemon.admin.inside import Inside
from daemon.admin.requests import CountLine, Import
from daemon.admin.views import is_told
from daemon.admin.words import VERDICTS, rfc3339, when
from daemon.domain.count_sheet import counted_span
from daemon.domain.instants import Instant, Span, exactly
from daemon.domain.observations import StockCount
from daemon.domain.sku import Sku
from daemon.domain.stock import Stock, dump, load
from daemon.storage.codec import Cause, Record

State = Literal["new", "first", "changed", "same", "applied", "superseded", "wrong"]
MOVING: Final = ("new", "first", "changed")
TOLD: Final = (*MOVING, "same")
"""What is told when a file is applied: also a count that finds what the books have is a fact, and the next import of
the same file must know it."""
SAID_MAX: Final = 20
"""Wrong lines named in one refusal."""


@frozen
class Difference:
    """One line against the books. Numbers are units, None while nobody counted; `count` is None where wrong."""

    line: CountLine
    state: State
    count: StockCount | None = None
    now: int | None = None
    then: int | None = None
    available_now: int | None = None
    available_then: int | None = None
    applied_us: int = 0
    note: str = ""
    repeated: tuple[str, ...] = ()
    problem: str = ""

    def view(self) -> Json:
        """The line as the socket shows it."""
        line = self.line
        return {
            "line": line.line, "sku": line.sku, "location": line.location, "kind": line.kind,
            "counted": line.quantity, "state": self.state, "now": self.now, "then": self.then,
            "change": None if self.then is None else self.then - (self.now or 0),
            "available_now": self.available_now, "available_then": self.available_then,
            "applied_at": when(self.applied_us), "note": self.note or None, "repeated": list(self.repeated),
            "problem": self.problem or None,
        }  # fmt: skip


@frozen
class Imports:
    """Files are told page by page; every page is told whole or not at all."""

    inside: Inside
    facts: Facts
    _turn: trio.Lock = field(factory=trio.Lock)
    """One page is applied at a time: two imports of one file must not both find its lines untold."""

    async def take(self, asked: Import, by: str) -> Json:
        """What each line would change; with `apply` they are told, unless one of them is wrong."""
        if not asked.apply:
            return _answer(asked, await self._compare(asked), 0)
        async with self._turn:
            found = await self._compare(asked)
            if wrong := [each for each in found if each.state == "wrong"]:
                said = "; ".join(f"line {each.line.line}: {each.problem}" for each in wrong[:SAID_MAX])
                raise ApiError(
                    409, "wrong_lines", f"nothing of this page was applied: {said}", "mend these lines, import again"
                )
            return _answer(asked, *await self._tell(found, by))

    # -- comparing --

    async def _compare(self, asked: Import) -> list[Difference]:
        found = []
        seen: set[tuple[str, str]] = set()
        for line in asked.rows:
            place = (line.sku, line.location)
            if place in seen:
                found.append(
                    _wrong(line, "its SKU and location stand in this page already: keep one of the two lines")
                )
                continue
            seen.add(place)
            found.append(await self._known(self._against_books(line, asked.file), asked))
            await trio.lowlevel.checkpoint()
        return found

    def _against_books(self, line: CountLine, file: str) -> Difference:
        now_us = self.inside.store.wall_us()
        try:
            sku = self.facts.on_the_shelf(line.sku)
        except ApiError as error:
            return _wrong(line, f"{error.message}: {error.hint}")
        at = _moment(line.counted_at, now_us)
        if isinstance(at, str):
            return _wrong(line, at)
        count = StockCount(
            SOURCE, sku, line.quantity, line.kind, at=at, location=line.location, reference=_reference(line, file)
        )
        state = self.inside.registry.peek(sku) or Sku(sku)
        copy = load(dump(state.stock))
        verdict = copy.apply(count).verdict
        if verdict == "late":
            return _wrong(
                line, "counted_at is older than what has been settled: count again, and leave counted_at empty"
            )
        difference = Difference(
            line, _word(state, copy, line, superseded=verdict == "superseded"), count,
            state.stock.stands_at(line.location, line.kind), copy.stands_at(line.location, line.kind),
            state.available, copy.available,
        )  # fmt: skip
        if difference.state in MOVING and (reason := self.inside.registry.quarantined.get(sku, "")):
            return _wrong(line, f"nothing can be applied to {sku!r}: {reason}: see `onhand dead-letters`")
        return evolve(difference, note=_note(state, difference), repeated=tuple(repeated(state)))

    async def _known(self, found: Difference, asked: Import) -> Difference:
        """The same, unless this line of this file was told before. What shows no difference is looked for only where
        it would be told."""
        if found.state not in (("changed", "same") if asked.apply else ("changed",)):
            return found
        mark = _mark(asked.file, found.line.line)

        def meant(record: Record) -> bool:
            message = record.message
            return isinstance(message, StockCount) and message.source == SOURCE and message.reference.endswith(mark)

        record = await self.facts.earlier(found.line.sku, meant)
        if record is None:
            return found
        return evolve(
            found, state="applied", then=found.now, available_then=found.available_now, applied_us=record.at_us,
            note=f"this line was told at {rfc3339(record.at_us)}: to tell of a new count, change the line",
        )  # fmt: skip

    # -- telling --

    async def _tell(self, found: list[Difference], by: str) -> tuple[list[Difference], int]:
        # A SKU in quarantine takes nothing; that nothing was to change there is no reason to refuse the others.
        telling = [
            (each, each.count)
            for each in found
            if each.count is not None
            and each.state in TOLD
            and (each.state in MOVING or each.count.sku not in self.inside.registry.quarantined)
        ]
        now = exactly(self.inside.store.wall_us())
        parts = []
        for each, count in telling:
            self.facts.welcome(count.sku)
            parts.append(Part(count.sku, count if each.line.counted_at else evolve(count, at=now), Cause(by)))
        if not parts:
            return found, 0
        if reason := self.inside.registry.refuses([part.sku for part in parts]):
            raise ApiError(503, "overloaded", reason, "nothing of this page was applied; try again in a few seconds")
        unit = await self.inside.registry.deliver(parts)
        became = {each.line.line: verdict for (each, _), verdict in zip(telling, unit.verdicts, strict=True)}
        after = [_became(each, became.get(each.line.line, "")) for each in found]
        return after, sum(verdict not in ("superseded", "late", "poison", "known") for verdict in unit.verdicts)


def _answer(asked: Import, found: list[Difference], told: int) -> Json:
    return {"file": asked.file, "applied": asked.apply, "told": told, "rows": [each.view() for each in found]}


def _wrong(line: CountLine, problem: str) -> Difference:
    return Difference(line, "wrong", problem=problem)


def _became(found: Difference, verdict: str) -> Difference:
    """Something else came between comparing and telling."""
    match verdict:
        case "superseded":
            return evolve(found, state="superseded", then=found.now, available_then=found.available_now)
        case "late" | "poison":
            return evolve(found, state="wrong", problem=f"{VERDICTS[verdict]}: see `onhand dead-letters`")
    return found


def _mark(file: str, line: int) -> str:
    return f"[csv {file}:{line}]"


def _reference(line: CountLine, file: str) -> str:
    """What the history shows of the count: the file's own words, and the mark by which this line is known again."""
    return f"{because(line.reference, line.note)} {_mark(file, line.line)}".strip()


def _moment(text: str, now_us: int) -> Instant | str:
    """When it was counted, or what is wrong with it. A count of this very minute ends now."""
    if not text:
        return exactly(now_us)
    span = counted_span(text)
    if span is None:
        return (
            "counted_at is no moment with its time zone: write it like 2026-01-31T14:05Z, or leave it empty for now"
        )
    if span.lo > now_us:
        return "counted_at lies in the future: correct it, or leave it empty for now"
    return Instant(Span(span.lo, min(span.hi, now_us)))


def _word(state: Sku, copy: Stock, line: CountLine, *, superseded: bool) -> State:
    if superseded:
        return "superseded"
    now = state.stock.stands_at(line.location, line.kind)
    if now is None:
        return "first" if is_told(state) else "new"
    unmoved = copy.stands_at(line.location, line.kind) == now and copy.available == state.available
    return "same" if unmoved else "changed"


def _note(state: Sku, found: Difference) -> str:
    if found.state == "superseded":
        return VERDICTS["superseded"]
    others = sorted(state.stock.anchors) if found.state == "first" else []
    places = ", ".join(repr(where) if where else "no location" for where in others)
    return f"also counted at {places}: the counts of all locations are added up" if places else ""


# --- the books as lines -------------------------------------------------------------------------------------------


def exported(inside: Inside, sku: str) -> list[Json]:
    """One line a location: what lies on the shelf there, as a count would have to say it to change nothing. A kit
    has none; what nobody counted, or what the books have below zero, is for a person to count."""
    state = inside.registry.peek(sku)
    if state is None or state.kit is not None or sku in inside.registry.kits:
        return []
    counts = [
        _exported(state, where, state.stock.stands_at(where, "on_hand")) for where in sorted(state.stock.anchors)
    ]
    return counts or [_exported(state, "", None, "nobody has counted it yet")]


def _exported(state: Sku, where: str, quantity: int | None, remark: str = "") -> Json:
    if quantity is not None and quantity < 0:
        quantity, remark = None, f"the books have {quantity} here: count it"
    return {
        "sku": state.sku, "location": where, "kind": "on_hand", "quantity": quantity, "remark": remark or None,
        "listings": [{"channel": channel, "listing": listing} for channel, listing in sorted(state.slots)],
        "repeated": repeated(state),
    }  # fmt: skip


def repeated(state: Sku) -> list[str]:
    """Channels where several listings share the SKU."""
    channels = [channel for channel, _ in state.slots]
    return sorted({channel for channel in channels if channels.count(channel) > 1})
