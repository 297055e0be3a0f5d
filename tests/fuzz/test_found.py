"""What fuzzing found, each as the sentence that must hold now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io

import pytest

from adapters import PLATFORMS
from daemon.actors.actor import load_actor
from daemon.admin.answers import ApiError
from daemon.admin.requests import Count, read_body
from daemon.cli.client import AdminClient, NoDaemonError
from daemon.config import ConfigError, read_config
from daemon.domain.channel import Delivery
from daemon.domain.exchange import Response
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection
from daemon.ingress.signature import check
from daemon.outbound.address import AddressPolicy
from daemon.storage.codec import DamagedError, load_record, pack, unpack
from tests.fuzz.targets.webhooks import SANDBOX_ADAPTER, STORE_ADAPTER

SOUND = "channels: {outlet: {adapter: sandbox, base_url: 'http://127.0.0.1:1', webhook_secrets: [a]}}\n"
BOMB = b"[" * 200_000
LINE = b'{"id":1,"product_id":%d,"variation_id":%d,"meta_data":[{"key":"_reduced_stock","value":"2"}]}'
ORDER = b'{"id":1,"date_modified_gmt":"2026-11-20T14:15:30","line_items":[%b]}'


def of_store(body: bytes) -> Delivery:
    return Delivery({"x-wc-webhook-topic": "order.updated"}, body)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_one_signature_has_one_spelling(encoding: str) -> None:
    scheme = SignatureScheme("sig", encoding=encoding)  # type: ignore[arg-type]  # both are allowed
    digest = hmac.digest(b"s", b"body", hashlib.sha256)
    right = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    # The two bits of the last letter before "=" that stand for nothing.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = right.upper() if encoding == "hex" else right[:-2] + letters[letters.index(right[-2]) ^ 1] + "="
    assert other != right
    assert check(scheme, ["s"], Delivery({"sig": right}, b"body"), 0) == "ok"
    assert check(scheme, ["s"], Delivery({"sig": other}, b"body"), 0) == "wrong"


@pytest.mark.parametrize("url", ["http://[::1]4", "http://[::1]4:80/", "http://[::1]@:80", "https://[::1]x/"])
def test_a_port_cannot_hide_behind_a_bracket(url: str) -> None:
    assert AddressPolicy(frozenset({"::1", "::1:80"}), allow_plain=True, allow_private=True).refusal(url)


@pytest.mark.parametrize(
    "text",
    [
        '"\\UFFFFFFFF"',
        "%YAML 1." + "1" * 5_000 + "\n---\na: b",
        'state_dir: "a\\0b"\n' + SOUND,
        'state_dir: "\\uD800"\n' + SOUND,
        '"\\uDC00": x',
        "channels: {site: {adapter: sandbox, base_url: 'http://\u00e4.example', webhook_secrets: []}}",
    ],
)
def test_what_yaml_can_say_and_nobody_can_use_is_a_problem_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(text, {}, PLATFORMS)
    assert all(problem.sentence and "\n" not in problem.sentence for problem in caught.value.problems)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a":1,"a":1}', "twice"),
        (b'{"a":1,"\\u0061":2}', "twice"),
        (b'{"a":1,"a":"\\u0022"}', "twice"),
        (b'{"n":99999999999999999999,"n":1}', "twice"),
        (b'[{"x":{"b":[1,{"k":1,"k":2}]}}]', "twice"),
        (b'{"a":"\\"a\\":1,\\"a\\":2","b":"\\\\"}', ""),
        (b'{"a":"\\u0022","b":{"a":1}}', ""),
        (b'{"n":99999999999999999999}', ""),
        (b"[1e999]", "not JSON"),
        (b"NaN", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b"", "not JSON"),
        (BOMB, "deeply"),
    ],
)
def test_json_has_one_meaning_or_none(body: bytes, why: str) -> None:
    assert (why in objection(body)) if why else not objection(body)


@pytest.mark.parametrize("body", [b'{"listing":{"listing":"L","quantity":1,"quantity":9}}', b'{"x":' + BOMB, BOMB])
def test_a_sandbox_webhook_of_two_meanings_is_kept_as_a_puzzle(body: bytes) -> None:
    facts = SANDBOX_ADAPTER.parse(Delivery({"x-sandbox-topic": "level.changed"}, body))
    assert facts.puzzle
    assert not facts.levels
    again = SANDBOX_ADAPTER.parse(Delivery({}, facts.kept))
    assert again.puzzle
    assert not again.levels


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":1,"id":2,"date_modified_gmt":"2026-11-20T14:15:30","line_items":[]}',
        ORDER % (LINE % (10**20, 0)),
        ORDER % (LINE % (5, -5)),
        ORDER % (LINE % (5, 2**63)),
        b'{"x":' + BOMB,
    ],
)
def test_a_store_webhook_with_impossible_rows_or_two_meanings_is_a_puzzle(body: bytes) -> None:
    facts = STORE_ADAPTER.parse(of_store(body))
    assert facts.puzzle
    assert STORE_ADAPTER.parse(Delivery({}, facts.kept)).puzzle
    assert not facts.orders


def test_a_store_webhook_is_kept_so_that_it_tells_the_same_again() -> None:
    facts = STORE_ADAPTER.parse(of_store(ORDER % (LINE % (5, 7))))
    assert facts.orders[0].lines[0].listing == "5/7"
    assert STORE_ADAPTER.parse(Delivery({}, facts.kept)).orders == facts.orders


@pytest.mark.parametrize(
    "body", [b'{"sku":"A","quantity":1,"quantity":2}', b'{"sku":' + BOMB, BOMB, b'{"sku":"\xff"}']
)
def test_a_command_of_two_meanings_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_body(body, Count)
    assert (caught.value.status, caught.value.code) == (400, "bad_body")


@pytest.mark.parametrize("payload", [b"\xa1\xff", b"\x91" * 100_000, b"\xd6\xff", b"", b"\xc1"])
def test_a_stored_value_that_is_none_is_damaged(payload: bytes) -> None:
    with pytest.raises(DamagedError):
        unpack(payload)
    with pytest.raises(DamagedError):
        load_actor("A", payload)


@pytest.mark.parametrize("plain", [(0, "S", {}, (), None, None, ""), (0, "S", [99], (), None, None, ""), 5, [[]] * 7])
def test_a_stored_record_of_another_shape_is_damaged(plain: object) -> None:
    with pytest.raises(DamagedError):
        load_record(1, pack(plain))


@pytest.mark.parametrize(
    "plain", [(0, (), None, ()), (3, (0, (), (), [["c", "o", "l", [], None, 1, ""]], ()), None, ()), 5]
)
def test_a_stored_sku_of_another_shape_is_damaged(plain: object) -> None:
    with pytest.raises(DamagedError):
        load_actor("A", pack(plain))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
        b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\na00000000000000000\r\n{}",
    ],
)
def test_a_bomb_on_the_admin_socket_is_no_daemon(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:

    class Sock:
        def sendall(self, data: bytes) -> None: ...
        def close(self) -> None: ...
        def makefile(self, *_: object) -> io.BufferedReader:
            return io.BufferedReader(io.BytesIO(answer))  # type: ignore[arg-type]  # raw enough

    monkeypatch.setattr("daemon.cli.client._UnixConnection.connect", lambda self: setattr(self, "sock", Sock()))
    with pytest.raises(NoDaemonError, match="broke off"):
        list(AdminClient("/x").lines("events"))


@pytest.mark.parametrize(
    "location", ["//[", "https://[x", "https://user:secret@shop.example/", "", "//" + "x" * 9_000]
)
def test_a_redirect_to_nowhere_is_a_refusal_like_any_other(location: str) -> None:
    talk = STORE_ADAPTER.orders(0, "")
    next(talk)
    with pytest.raises(StopIteration) as ended:
        talk.send(Response(301, {"location": location}, b""))
    assert ended.value.value.outcome.kind == "permanent"
    assert "secret" not in ended.value.value.reason
    assert len(ended.value.value.reason) < 300
