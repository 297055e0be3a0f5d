"""Bytes from the disk: a damaged row is named as damaged, and everything whole comes back as it was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, get_args

from daemon.actors.actor import Part, dump_actor, load_actor
from daemon.actors.letters import content_of, part_of
from daemon.admin.answers import dump_line
from daemon.admin.letters import content_view
from daemon.admin.views import entry
from daemon.cli.tables import event_line
from daemon.domain.instants import Instant, Span
from daemon.domain.kits import Assemble, ComponentLevel
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.sku import Confirmed, Doubted, Failed, Freeze, Hold, ReadBack, Revive, Sent, Settle
from daemon.domain.slot import Held
from daemon.storage.codec import (
    Cause,
    DamagedError,
    EmptyOrder,
    Record,
    dump_record,
    load_record,
    number,
    pack,
    seal,
    unpack,
    unseal,
)
from daemon.storage.dead_letters import NEXT_ACTION, DeadLetter
from tests.fuzz.target import Cut, Target


def seals(data: bytes) -> None:
    """A sealed row that lost, gained or changed a byte, or changed places with another, is never read."""
    cut = Cut(data)
    key, place, mask, way = cut.field(), cut.number(), cut.byte() or 1, cut.byte() % 4
    payload = cut.rest()
    value = seal(key, payload)
    assert unseal(key, value, "log") == payload
    if way in (1, 2) and value.startswith(b"\xff" * 4):
        return  # a CRC that stands at zero sees no zeros come or go; the file itself knows how long a row is
    match way:
        case 0:
            other = bytearray(value)
            other[place % len(other)] ^= mask
            wrong = key, bytes(other)
        case 1:
            wrong = key, value[: place % len(value)]
        case 2:
            wrong = key, value + bytes([mask])
        case _:
            moved = bytearray(key or b"\0")
            moved[place % len(moved)] ^= mask
            wrong = bytes(moved), value
    assert _refused(wrong[0], wrong[1])
    try:
        unseal(key, payload, "log")
    except DamagedError:
        pass


def _refused(key: bytes, value: bytes) -> bool:
    try:
        unseal(key, value, "log")
    except DamagedError as error:
        assert "\n" not in str(error)
        return True
    return False


def records(data: bytes) -> None:
    """Any payload is a record, or damaged; a record is written and read again as the same one."""
    try:
        plain = unpack(data)
    except DamagedError:
        plain = None
    else:
        assert unpack(pack(plain)) == plain or plain != plain or b"\xca" in data or b"\xcb" in data
    try:
        found = load_record(7, data)
    except DamagedError as error:
        assert "\n" not in str(error)[:40]
    else:
        written = dump_record(found)  # compared as bytes: a list in a text's place comes back as another kind of list
        assert dump_record(load_record(7, written)) == written
    for kind in NEXT_ACTION:
        shown = content_view(DeadLetter(1, kind, 0, "c", "s", "cause", "subject", data))
        assert shown
        json.loads(dump_line(shown))
    try:
        state = load_actor("A", data)
    except DamagedError:
        return
    dump_actor(state)


_TEXTS: Final = ("", "shop", "site", "A", "1001")


def _record(cut: Cut) -> Record:
    """A record that could be written: texts are any UTF-8, numbers within their bounds."""
    one, two, name = cut.pick(_TEXTS), _text(cut), _text(cut)
    units, at = cut.number(), _instant(cut)
    at_us = cut.number() << 34
    message = cut.pick(_MESSAGES)(cut, one, two, name, units, at, at_us)
    cause = Cause(cut.pick(("webhook", "poll", "admin")), one, units, two, name)
    note = cut.pick(("", "conflict", "late", "ambiguous", "linked"))
    return Record(1 + units, at_us, "S", message, cause, cut.pick((None, -3, units)), cut.pick((None, 0)), note)


def _line(cut: Cut, one: str, two: str, name: str, units: int, at: Instant, at_us: int) -> OrderLine:
    return OrderLine(
        one,
        two,
        name,
        "S",
        units,
        cut.byte(),
        cut.byte(),
        cut.byte(),
        version=units << 40,
        read_us=at_us,
        at=at,
        placed=_instant(cut) if cut.flag() else None,
        takes_at_placement=cut.flag(),
        listing=two,
        location=name,
    )


def _counted(cut: Cut, one: str, two: str, name: str, units: int, at: Instant, at_us: int) -> StockCount:
    kind = cut.pick(("available", "on_hand"))
    return StockCount(one, "S", units - 30_000, kind, at=at, location=two, reference=name)


_MESSAGES: Final[tuple[Callable[..., Any], ...]] = (
    _line,
    _counted,
    lambda cut, one, two, name, units, at, _: Adjustment(
        one, two, "S", units - 30_000, at=at, location=name, reason=two
    ),
    lambda cut, one, two, name, units, at, us: LevelReport(one, two, cut.pick((None, 0, units)), at, "S", us, name),
    lambda cut, one, two, name, units, at, us: Sent(one, two, units, cut.byte(), cut.pick((None, 5))),
    lambda cut, one, two, name, units, at, us: Confirmed(one, two, units, cut.byte(), at),
    lambda cut, one, two, name, units, at, us: Failed(one, two, units, name, us, cut.byte()),
    lambda cut, one, two, name, units, at, us: Doubted(one, two, units, name, us, us + units),
    lambda cut, one, two, name, units, at, us: ReadBack(one, two, cut.pick((None, units)), at),
    lambda cut, one, two, name, units, at, us: Freeze(cut.flag(), two, name),
    lambda cut, one, two, name, units, at, us: Settle(us),
    lambda cut, one, two, name, units, at, us: Revive(one, two, cut.flag()),
    lambda cut, one, two, name, units, at, us: Hold(one, two, cut.pick(get_args(Held))),
    lambda cut, one, two, name, units, at, us: EmptyOrder(one, two, units, us, at),
    lambda cut, one, two, name, units, at, us: Assemble(((two, 1 + units), (name, 2))[: cut.byte() % 3]),
    lambda cut, one, two, name, units, at, us: ComponentLevel(two, cut.pick((None, -3, units)), us >> 34, name),
)


def _text(cut: Cut) -> str:
    return cut.field().decode("utf-8", "replace")


def _instant(cut: Cut) -> Instant:
    lo = cut.number() << 36
    return Instant(Span(lo, lo + cut.byte()), Span(lo, lo + 999_999) if cut.flag() else None)


def event_lines(data: bytes) -> None:
    """A record comes back as it was; as a line of the event stream it is one line, one object, and can be shown."""
    record = _record(Cut(data))
    payload = dump_record(record)
    assert load_record(record.seq, payload) == record
    if not isinstance(record.message, EmptyOrder):
        part = Part(record.sku, record.message, record.cause)
        assert part_of(content_of(part)) == part
    line = dump_line(entry(record))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    event = json.loads(line)
    assert (event["seq"], event["sku"], event["before"], event["after"]) == (
        record.seq,
        record.sku,
        record.before,
        record.after,
    )
    assert event["cause"]["by"] == record.cause.by
    shown = event_line(event)
    assert not {letter for letter in shown if ord(letter) < 32 or ord(letter) == 127}, repr(shown)


def _seeds() -> list[bytes]:
    made = [
        bytes([kind % 5, 3]) + b"L-1" + b"\x02xy" + bytes([0, 9]) + bytes(8) + bytes([kind]) + bytes(range(20))
        for kind in range(15)
    ]
    return [*made, bytes([1, 6]) + "\u2028\x1b[1".encode() + bytes(30)]


def _payloads() -> list[bytes]:
    whole = [dump_record(_record(Cut(seed))) for seed in _seeds()]
    return [
        *whole,
        b"\x97" + b"\xc0" * 7,
        pack((0, "S", {}, (), None, None, "")),
        b"\x91" * 2_000,
        b"\xa1\xff",
        pack((3, (0, (), (), (), ()), None, ())),
        number(7),
    ]


TARGETS: Final = (
    Target(
        "seals",
        seals,
        "sealed rows, damaged",
        512,
        (b"\x00\x00\x00\x00",),
        lambda: (b"\2ab\0\1\1\0payload", b"\0\0\0\0\1", b"\1k\xff\xff\x80\2p", b"\4long\0\3\x40\3payload"),
    ),
    Target(
        "records",
        records,
        "stored values that were never written by us",
        1_024,
        (
            b"\x97",
            b"\x93",
            b"\xc0",
            b"\xc2",
            b"\xcf",
            b"\xd3",
            b"\xa0",
            b"\x80",
            b"\x81",
            b"\xca",
            b"\xd6\xff",
            b"\xc4\1",
        ),
        _payloads,
    ),
    Target(
        "event_lines",
        event_lines,
        "records to the disk and back, and as lines of the event stream",
        256,
        (b"\xe2\x80\xa8", b"\n", b"\r", b'"', b"\\", b"\x1b["),
        _seeds,
    ),
)
