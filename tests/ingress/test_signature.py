"""Signatures: exact, constant for strangers, several live secrets, a window where the scheme has a stamp."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox import SCHEME as SANDBOX
from daemon.domain.channel import Delivery
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import SignatureScheme
from daemon.ingress.signature import check, header_map

NOW_US = 1_763_900_000 * SECOND_US
BODY = b'{"id":1}'


def signed(secret: str, body: bytes = BODY, stamp: int = NOW_US // SECOND_US) -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).digest()
    return {"x-sandbox-signature": base64.b64encode(digest).decode(), "x-sandbox-timestamp": str(stamp)}


def test_a_signature_by_any_live_secret_is_good() -> None:
    assert check(SANDBOX, ["new", "old"], Delivery(signed("old"), BODY), NOW_US) == "ok"
    assert check(SANDBOX, ["new"], Delivery(signed("old"), BODY), NOW_US) == "wrong"
    assert check(SANDBOX, [], Delivery(signed("old"), BODY), NOW_US) == "wrong"


def _without(headers: dict[str, str]) -> dict[str, str]:
    return {"x-sandbox-timestamp": headers["x-sandbox-timestamp"]}


def _with(**changes: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: headers | {name.replace("_", "-"): value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (_without, "missing"),
        (_with(x_sandbox_signature=""), "missing"),
        (_with(x_sandbox_signature="!!!!"), "wrong"),
        (_with(x_sandbox_signature="ä" * 44), "wrong"),
        (_with(x_sandbox_signature="A" * 5_000), "wrong"),
        (_with(x_sandbox_timestamp="1763900001"), "wrong"),
        (_with(x_sandbox_timestamp=""), "wrong"),
    ],
)
def test_what_is_not_signed_as_it_should_be_is_refused(change: Callable[[Any], Any], finding: str) -> None:
    assert check(SANDBOX, ["s"], Delivery(change(signed("s")), BODY), NOW_US) == finding


def test_a_doubled_signature_header_matches_nothing() -> None:
    good = signed("s")
    headers = header_map([("x-sandbox-signature", good["x-sandbox-signature"])] * 2 + list(good.items())[1:])
    assert check(SANDBOX, ["s"], Delivery(headers, BODY), NOW_US) == "wrong"


@pytest.mark.parametrize("off_s", [-301, 301, 10**9])
def test_a_stamp_outside_the_window_is_stale_even_if_well_signed(off_s: int) -> None:
    stamp = NOW_US // SECOND_US + off_s
    assert check(SANDBOX, ["s"], Delivery(signed("s", stamp=stamp), BODY), NOW_US) == "stale"


@pytest.mark.parametrize("stamp", ["nan", "1e9", "-5", "½", "9" * 30, "2026-11-23T06:00:00", "١٧٦٣٩٠٠٠٠٠"])
def test_a_stamp_that_is_no_moment_is_stale_though_well_signed(stamp: str) -> None:
    message = stamp.encode("latin-1", "replace") + b"." + BODY
    digest = hmac.new(b"s", message, hashlib.sha256).digest()
    headers = {"x-sandbox-signature": base64.b64encode(digest).decode(), "x-sandbox-timestamp": stamp}
    assert check(SANDBOX, ["s"], Delivery(headers, BODY), NOW_US) == "stale"


def test_hex_signatures_with_a_prefix_are_read_strictly() -> None:
    scheme = SignatureScheme(header="x-sig", encoding="hex", prefix="sha256=")
    digest = hmac.new(b"s", BODY, hashlib.sha256).hexdigest()
    assert check(scheme, ["s"], Delivery({"x-sig": f"sha256={digest}"}, BODY), NOW_US) == "ok"
    assert check(scheme, ["s"], Delivery({"x-sig": digest}, BODY), NOW_US) == "wrong"
    assert check(scheme, ["s"], Delivery({"x-sig": f"sha256={digest[:-1]}"}, BODY), NOW_US) == "wrong"


@given(st.binary(max_size=64), st.integers(0, 10_000), st.integers(0, 255))
def test_one_changed_byte_of_the_body_breaks_the_signature(body: bytes, place: int, value: int) -> None:
    headers = signed("s", body)
    assert check(SANDBOX, ["s"], Delivery(headers, body), NOW_US) == "ok"
    if body and body[place % len(body)] != value:
        changed = bytearray(body)
        changed[place % len(body)] = value
        assert check(SANDBOX, ["s"], Delivery(headers, bytes(changed)), NOW_US) == "wrong"


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60), max_size=4), st.binary(max_size=30))
def test_no_header_whatever_raises(headers: dict[str, str], body: bytes) -> None:
    assert check(SANDBOX, ["s"], Delivery(headers, body), NOW_US) != "ok"
