"""SQS by hand: signatures as AWS computes them, answers as it gives them, and whatever else may come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.sigv4 import AwsKey, canonical_request, signed, string_to_sign
from adapters.sqs import MESSAGE_ID, SqsQueue, sqs_queue
from daemon.domain.exchange import Request, Response
from daemon.domain.outcomes import Failure
from daemon.domain.queues import Message
from tests import specs
from tests.adapters.contract import converse
from tests.sqs_twin import KEY_ID, SECRET, URL, proves

NOON_US = 1_785_931_200_000_000
"""2026-08-05T12:00:00Z"""
QUEUE = sqs_queue(URL, AwsKey(KEY_ID, SECRET))


def vector() -> dict[str, Any]:
    found: dict[str, Any] = specs.load("amazon/vectors.composed.json")["sqs_sigv4"]
    return found


def answered(queue_call: Any, status: int, body: Any, headers: dict[str, str] | None = None) -> tuple[Any, Request]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    value, (request,) = converse(queue_call, iter([Response(status, headers or {}, raw)]))
    return value, request


# --- signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["", "TOKEN"])
def test_a_receive_is_signed_to_the_byte_as_in_the_vector(session: str) -> None:
    known = vector()
    wanted = known["with_session_token"] if session else known
    key = AwsKey(known["access_key"], known["secret_key"], session)
    request = next(sqs_queue(URL, key).receive())
    assert request.body.decode() == known["body"]
    assert dict(request.headers) == known["headers_before_signing"]
    dated = {**request.headers, "x-amz-date": known["amz_date"]}
    canonical, _ = canonical_request(request, {**dated, **({"x-amz-security-token": session} if session else {})})
    assert canonical == wanted["canonical_request"]
    scope = f"{known['amz_date'][:8]}/{known['region']}/{known['service']}/aws4_request"
    if not session:
        assert string_to_sign(canonical, known["amz_date"], scope) == known["string_to_sign"]
    done = signed(request, key, known["region"], known["service"], NOON_US)
    assert done.headers["x-amz-date"] == known["amz_date"]
    assert done.secret_headers["authorization"].endswith(f"Signature={wanted['signature']}")
    if not session:
        assert done.secret_headers["authorization"] == known["authorization"]
    assert done.url == known["url"]


@given(body=st.binary(max_size=200), now_s=st.integers(0, 4_000_000_000), secret=st.text("aZ09/+", min_size=1))
def test_whatever_is_signed_verifies_and_nothing_else_does(body: bytes, now_s: int, secret: str) -> None:
    headers = {"content-type": "a b", "x-amz-target": "t"}
    request = Request("POST", "https://sqs.eu-west-1.amazonaws.com/", headers, body)
    done = signed(request, AwsKey(KEY_ID, secret), "eu-west-1", "sqs", now_s * 1_000_000)
    assert proves(done, secret)
    assert not proves(done, secret + "x")
    assert not proves(evolve(done, body=body + b"x"), secret)


def test_a_key_never_shows() -> None:
    key = AwsKey(KEY_ID, SECRET, "TOKEN-1")
    queue = sqs_queue(URL, key)
    request = next(queue.receive())
    assert request.sign is not None
    shown = f"{key!r}{queue!r}{request!r}{request.sign(request, NOON_US, 'n')!r}"
    assert not any(secret in shown for secret in (KEY_ID, SECRET, "TOKEN-1"))


# --- the queue ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "region", "arn"),
    [
        (URL, "", "arn:aws:sqs:us-east-1:111122223333:spapi"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q", "", "arn:aws-cn:sqs:cn-north-1:111122223333:q"),
        ("http://127.0.0.1:5000/111122223333/q", "us-west-2", "arn:aws:sqs:us-west-2:111122223333:q"),
    ],
)
def test_a_queues_address_is_read_from_its_url(url: str, region: str, arn: str) -> None:
    queue = sqs_queue(url, AwsKey("k", "s"), region)
    assert (queue.address, queue.url) == (arn, url)


@pytest.mark.parametrize(
    "url",
    [
        "", "sqs", "https://sqs.us-east-1.amazonaws.com/", "https://sqs.us-east-1.amazonaws.com/1/q", f"{URL}?x=1",
        "https://evil.example/111122223333/q", "ftp://sqs.us-east-1.amazonaws.com/111122223333/q", f"{URL}.fifo",
        "arn:aws:sqs:us-east-1:111122223333:spapi",
    ],
)  # fmt: skip
def test_what_is_no_queue_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match="queue_url"):
        sqs_queue(url, AwsKey("k", "s"))


def test_an_empty_poll_has_no_messages() -> None:
    value, request = answered(QUEUE.receive(), 200, {})
    assert value == ()
    assert request.timeout_s > json.loads(request.body)["WaitTimeSeconds"]


def test_messages_are_read_each_by_itself() -> None:
    good = {"MessageId": "m", "ReceiptHandle": "r", "Body": "é", "Attributes": {"ApproximateReceiveCount": "3"}}
    odd = ["x", {"MessageId": "m2"}, {**good, "ReceiptHandle": ""}, {**good, "ReceiptHandle": "r" * 2000}]
    value, _ = answered(QUEUE.receive(), 200, {"Messages": [*odd, good]})
    assert value == (Message("m", "r", "é".encode(), {MESSAGE_ID: "m"}, 3),)


def test_a_body_that_is_no_text_is_still_there_to_be_kept_and_deleted() -> None:
    said = {
        "Messages": [
            {"MessageId": "m", "ReceiptHandle": "r", "Body": {"a": 1}},
            {"MessageId": "n", "ReceiptHandle": "s"},
        ]
    }
    value, _ = answered(QUEUE.receive(), 200, said)
    assert [each.body for each in value] == [b'{"a": 1}', b""]


def test_a_delete_names_what_stays() -> None:
    messages = [Message(f"m{number}", f"r{number}", b"") for number in range(3)]
    said = {
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "2", "SenderFault": True, "Code": "ReceiptHandleIsInvalid"}],
    }
    value, request = answered(QUEUE.delete(messages), 200, said)
    assert value == ("m2",)
    sent = json.loads(request.body)
    assert [entry["ReceiptHandle"] for entry in sent["Entries"]] == ["r0", "r1", "r2"]
    assert request.headers["x-amz-target"] == "AmazonSQS.DeleteMessageBatch"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "RequestThrottled", "throttled"), (400, "KmsThrottled", "throttled"), (400, "OverLimit", "throttled"),
        (503, "ServiceUnavailable", "transient"), (500, "InternalFailure", "transient"),
        (400, "QueueDoesNotExist", "permanent"), (403, "InvalidSecurity", "permanent"),
        (400, "InvalidAddress", "permanent"), (400, "KmsAccessDenied", "permanent"),
        (400, "UnsupportedOperation", "permanent"), (403, "SignatureDoesNotMatch", "permanent"),
    ],
)  # fmt: skip
def test_errors_are_told_apart_as_in_the_table(status: int, error: str, kind: str) -> None:
    for call in (QUEUE.receive(), QUEUE.delete([Message("m", "r", b"")])):
        value, _ = answered(call, status, {"__type": f"com.amazonaws.sqs#{error}", "message": "why"})
        assert isinstance(value, Failure)
        assert value.outcome.kind == kind
        assert error in value.reason


def test_an_error_that_only_a_header_names_is_known_too() -> None:
    headers = {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}
    value, _ = answered(QUEUE.receive(), 400, b"<html>", headers)
    assert value.outcome.kind == "permanent"
    assert "NonExistentQueue" in value.reason


@given(
    body=st.one_of(
        st.binary(max_size=80), st.text(max_size=40).map(lambda text: json.dumps({"Messages": text}).encode())
    ),
    status=st.sampled_from([200, 204, 301, 400, 403, 429, 500, 503]),
)
def test_whatever_a_queue_answers_is_a_value(body: bytes, status: int) -> None:
    queue: SqsQueue = QUEUE
    for call in (queue.receive(), queue.delete([Message("m", "r", b"")])):
        value, _ = answered(call, status, body)
        assert isinstance(value, tuple | Failure)
