"""The log: one list of names, fields that say the cause, no secret, no buyer, one line whatever comes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from daemon.credentials import Secret
from daemon.redaction import HIDDEN, MAX_CHARS, Redactor
from daemon.telemetry import Event, Severity, Telemetry

NOW_US = 1_795_000_000_123_456


class Log:
    """A telemetry whose lines are kept."""

    def __init__(self, *, level: Severity = Severity.DEBUG, terminal: bool = False) -> None:
        self.now_us = NOW_US
        self.lines: list[str] = []
        self.tel = Telemetry(
            wall_us=lambda: self.now_us, write_line=self.lines.append, level=level, terminal=terminal
        )

    @property
    def last(self) -> dict[str, Any]:
        found = json.loads(self.lines[-1])
        assert isinstance(found, dict)
        return found


# --- the list -----------------------------------------------------------------------------------------------


def test_every_name_is_written_once_and_in_one_style() -> None:
    names = [event.text for event in Event]
    assert len(set(names)) == len(names) == len(Event.__members__)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", name) for name in names)
    assert all(event.when and not event.when.endswith(".") for event in Event)


SILENCING = {"daemon/outbound/httpx_wire.py"}
"""Imports logging to keep a library quiet."""


def test_nobody_else_writes_to_the_log() -> None:
    root = Path(__file__).parent.parent
    for file in sorted([*root.glob("daemon/**/*.py"), *root.glob("adapters/**/*.py")]):
        path = file.relative_to(root).as_posix()
        loggers = re.findall(r"^\s*(?:import|from) (structlog|logging)\b", file.read_text(), re.MULTILINE)
        if path != "daemon/telemetry.py" and path not in SILENCING:
            assert not loggers, f"{path} logs past daemon.telemetry"


def test_the_type_of_a_name_is_the_list() -> None:
    """So mypy refuses any other; see `test_a_free_text_is_no_event` for what happens where nobody ran it."""
    assert get_type_hints(Telemetry.event)["event"] is Event
    assert get_type_hints(Telemetry.count)["event"] is Event


def test_a_free_text_is_no_event() -> None:
    with pytest.raises(KeyError):
        Log().tel.event("something happened")  # type: ignore[arg-type]  # that is the point


# --- a line -------------------------------------------------------------------------------------------------


def test_a_line_is_json_with_its_cause() -> None:
    log = Log()
    log.tel.event(Event.PUSH_CONFIRMED, generation=41, level=7, sku="TEE", channel="shop", listing="12/34")
    (line,) = log.lines
    assert line == (
        '{"at": "2026-11-18T11:06:40.123456Z", "severity": "info", "event": "push.confirmed", '
        '"channel": "shop", "sku": "TEE", "listing": "12/34", "generation": 41, "level": 7}'
    )


def test_the_stamp_is_the_injected_clocks() -> None:
    log = Log()
    for now_us in (0, 1, NOW_US, 4_102_444_800_000_000):
        log.now_us = now_us
        log.tel.event(Event.READY)
        assert datetime.fromisoformat(log.last["at"]).timestamp() == pytest.approx(now_us / 1e6, abs=1e-6)
        assert datetime.fromisoformat(log.last["at"]).tzinfo == UTC


def test_a_field_cannot_pose_as_the_head_of_a_line() -> None:
    log = Log()
    log.tel.event(Event.READY, at="never", severity="debug")
    assert (log.last["at"][:4], log.last["severity"], log.last["event"]) == ("2026", "info", "daemon.ready")


def test_an_error_says_what_and_where_but_no_values() -> None:
    log = Log()
    local = "hunter2"
    try:
        raise ValueError("broken\nbadly")
    except ValueError as error:
        log.tel.event(Event.SKU_CRASHED, sku="A", error=error)
    assert log.last["error"] == "ValueError: broken\\nbadly"
    assert re.fullmatch(r"test_telemetry\.py:\d+ test_an_error_says.*", log.last["raised_in"][-1])
    assert local not in log.lines[0]


def test_a_person_gets_colours_and_still_one_line() -> None:
    log = Log(terminal=True)
    log.tel.event(Event.PUSH_DEAD, channel="shop", sku="a\x1b[2Jb\n", error="no such listing")
    (line,) = log.lines
    plain = re.sub(r"\x1b\[\d+m", "", line)
    assert plain.startswith("2026-11-18T11:06:40.123456Z [error  ] push.dead")
    assert plain.endswith("channel=shop sku=a\\u001b[2Jb\\n error=no such listing")


def test_nothing_below_the_level_is_written_but_all_is_counted() -> None:
    log = Log(level=Severity.INFO)
    log.tel.event(Event.DELIVERY_ACCEPTED)
    log.tel.event(Event.READY)
    log.tel.count(Event.DELIVERY_DUPLICATE, 5)
    assert len(log.lines) == 1
    counts = log.tel.counters.statistics()
    assert counts["delivery.accepted"] == log.tel.counters[Event.DELIVERY_ACCEPTED] == 1
    assert counts["delivery.duplicate"] == 5
    assert counts["push.dead"] == 0
    assert (counts["lines_written"], counts["lines_lost"]) == (1, 0)


def test_strangers_cannot_flood_the_log() -> None:
    log = Log()
    for _ in range(1_000):
        log.tel.event(Event.DELIVERY_REJECTED)
        log.now_us += 999
    assert len(log.lines) == 1
    log.now_us += 1_000
    log.tel.event(Event.DELIVERY_REJECTED)
    assert len(log.lines) == 2
    assert log.last["unwritten_before"] == 999
    assert log.tel.counters[Event.DELIVERY_REJECTED] == 1_001


def test_a_clock_set_back_does_not_silence_anything() -> None:
    log = Log()
    log.tel.event(Event.DELIVERY_REJECTED)
    log.now_us -= 3_600_000_000
    log.tel.event(Event.DELIVERY_REJECTED)
    assert len(log.lines) == 2


@pytest.mark.parametrize("failure", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_reader_that_is_gone_stops_nothing(failure: Exception) -> None:
    def write_line(line: str) -> None:
        raise failure

    tel = Telemetry(wall_us=lambda: NOW_US, write_line=write_line)
    tel.event(Event.READY)
    assert (tel.counters.lines_lost, tel.counters.lines_written) == (1, 0)


def test_nobodys_global_structlog_settings_change_a_line() -> None:
    def spoil(*_: object) -> str:
        return "spoilt"

    structlog.configure(processors=[spoil])
    try:
        log = Log()
        log.tel.event(Event.READY)
        assert log.last["event"] == "daemon.ready"
    finally:
        structlog.reset_defaults()


def test_two_telemetries_share_nothing() -> None:
    one, other = Log(), Log()
    one.tel.protect(Secret("hunter2"))
    one.tel.event(Event.READY, note="hunter2")
    other.tel.event(Event.READY, note="hunter2")
    assert (one.last["note"], other.last["note"]) == (HIDDEN, "hunter2")
    assert one.tel.counters[Event.READY] == 1


# --- what a line may say ------------------------------------------------------------------------------------

CANARY = "kQ7/zz+canary=="


def _raise(text: str) -> Exception:
    return ValueError(f"channel answered {text}")


@pytest.mark.parametrize(
    "wrap",
    [
        str,
        lambda text: f"before{text}after",
        lambda text: [text, {"deep": text}],
        lambda text: {text: 1},
        lambda text: (text,) * 3,
        _raise,
        lambda text: f"https://x.example/?q={re.sub('[/+=]', lambda m: f'%{ord(m.group()):02X}', text)}&b=1",
        lambda text: "x" * (MAX_CHARS - 5) + text,
        lambda text: text.encode(),
        lambda text: Secret(text),
        lambda text: {"a": {"b": {"c": {"d": text}}}},
        lambda text: type("Order", (), {"__repr__": lambda self: text})(),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_registered_secret_never_shows_wherever_it_turns_up(wrap: Callable[[str], object], terminal: bool) -> None:
    log = Log(terminal=terminal)
    log.tel.protect(Secret(CANARY))
    log.tel.event(Event.PUSH_FAILED, note=wrap(CANARY), error=_raise(CANARY))
    assert "canary" not in log.lines[0]


def test_each_line_of_a_long_key_is_hidden_by_itself() -> None:
    redactor = Redactor()
    redactor.protect("-----BEGIN KEY-----\nMIIEcanary\nabcdcanary\n-----END KEY-----")
    assert "canary" not in redactor.text("loaded MIIEcanary then abcdcanary")


def test_of_two_secrets_one_in_the_other_nothing_is_left_standing() -> None:
    redactor = Redactor()
    redactor.protect("hunter")
    redactor.protect("hunter2-long")
    assert redactor.text("a hunter2-long b hunter c") == f"a {HIDDEN} b {HIDDEN} c"


def test_a_value_too_short_to_be_a_secret_does_not_blank_out_the_log() -> None:
    redactor = Redactor()
    redactor.protect("a")
    redactor.protect("")
    assert redactor.text("channel paused") == "channel paused"


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "X-Shopify-Hmac-Sha256", "webhook-signature", "access_token", "api_key",
        "client_secret", "Cookie", "customer", "buyer_name", "email", "phone", "billing", "shipping_address",
        "first_name", "postcode",
    ],
)  # fmt: skip
def test_fields_that_tell_of_secrets_or_buyers_are_hidden_at_any_depth(name: str) -> None:
    log = Log()
    log.tel.event(Event.DELIVERY_PUZZLE, **{name: "canary"}, inside={"deeper": [{name: {"x": "canary"}}]})
    assert "canary" not in log.lines[0]
    assert log.last[name] == HIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "sent Authorization: Basic Y2FuYXJ5OmNhbmFyeQ==",
        "bearer Y2FuYXJ5OmNhbmFyeQ==",
        "GET /x?consumer_key=Y2FuYXJ5&a=b",
        "GET /x?oauth_signature=Y2FuYXJ5",
        '{"access_token": "Y2FuYXJ5"}',
        "no customer Y2FuYXJ5@shop.example.com",
    ],
)
def test_what_looks_like_a_secret_or_a_buyer_in_free_text_is_hidden(text: str) -> None:
    shown = Redactor().text(text)
    assert "Y2FuYXJ5" not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (-(2**70), "<a huge number>"),
        pytest.param(10**5_000, "<a huge number>", id="more digits than Python prints"),
        (0.5, 0.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (b"abc", "<3 bytes>"),
        (Severity.INFO, "INFO"),
        ({1, 2}, "<set>"),
        ("ÄÖ € 面", "ÄÖ € 面"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\u0000"),
        ("\u202egnp.exe\u2028\ud800", "\\u202egnp.exe\\u2028\\ud800"),
        (list(range(25)), [*range(20), "… (5 more)"]),
    ],
)
def test_every_kind_of_value_is_said_in_a_safe_way(value: object, shown: object) -> None:
    assert Redactor().value(value) == shown


def test_a_long_value_is_cut_and_says_so() -> None:
    assert Redactor().text("x" * 10_000) == "x" * MAX_CHARS + "… (10000 characters)"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(values, st.booleans())
def test_whatever_comes_is_one_line_that_a_machine_can_read(value: object, terminal: bool) -> None:
    log = Log(terminal=terminal)
    log.tel.event(Event.DELIVERY_PUZZLE, note=value)
    (line,) = log.lines
    assert len(line.splitlines()) == 1
    line.encode()
    if not terminal:
        assert not re.search("[\x00-\x1f\x7f]", line)
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_every_event_of_the_list_is_written_somewhere() -> None:
    root = Path(__file__).parent.parent / "daemon"
    written = "".join(path.read_text() for path in root.rglob("*.py") if path.name != "events.py")
    assert [event.name for event in Event if not re.search(rf"Event\.{event.name}\b", written)] == []
