"""Amazon SQS over plain HTTPS: its JSON protocol, its errors, its batches (amazon.md §2.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from attrs import field, frozen

from adapters.sigv4 import AwsKey, signed
from daemon.domain.access import Meter
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.queues import Message

BATCH_MAX = 10
WAIT_S = 20
HOLD_S = 60
ATTRIBUTES = ["ApproximateReceiveCount", "SentTimestamp"]
MESSAGE_ID = "x-sqs-message-id"
"""The header under which a message's own id is told to `parse`."""
RECEIPT_MAX = 1_024
"""Longer receipts are none (the longest that SQS documents)."""

_HOST = re.compile(r"sqs(?:-fips)?\.([a-z0-9-]{1,32})\.amazonaws\.com(?:\.cn)?")
_PATH = re.compile(r"/([0-9]{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)")
_THROTTLES = frozenset(("RequestThrottled", "ThrottlingException", "KmsThrottled", "OverLimit"))

_METER = Meter(20.0, 20)
"""SQS itself sets no such limit; this one bounds what a queue that answers at once can make us do."""

T = TypeVar("T")


class _Error(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""


class _Received(msgspec.Struct):
    """An empty poll is `{}`. Each message is read by itself: one that cannot be read must not hide the others."""

    messages: list[msgspec.Raw] = msgspec.field(name="Messages", default_factory=list)


class _Hull(msgspec.Struct, rename="pascal"):
    message_id: str
    receipt_handle: str
    body: msgspec.Raw = msgspec.Raw(b'""')
    attributes: dict[str, str] = {}  # msgspec gives each its own copy


class _Failed(msgspec.Struct):
    id: str = msgspec.field(name="Id")


class _Deleted(msgspec.Struct):
    failed: list[_Failed] = msgspec.field(name="Failed", default_factory=list)


@frozen
class SqsQueue:
    """One Standard queue. `url`: as AWS shows it; the region is read from it unless it is given.

    What is sent there is nobody's signature: that only the platform may send is the queue policy's affair (§2.3).
    """

    url: str
    key: AwsKey = field(repr=False)
    region: str
    address: str
    hold_s: float = HOLD_S
    batch_max: int = BATCH_MAX
    meter: Meter = _METER

    def receive(self) -> Exchange[tuple[Message, ...] | Failure]:
        """Up to ten messages, waited for up to 20 s; the HTTP answer may take longer than that (§2.2)."""
        wanted = {
            "QueueUrl": self.url, "MaxNumberOfMessages": BATCH_MAX, "WaitTimeSeconds": WAIT_S,
            "VisibilityTimeout": HOLD_S, "MessageSystemAttributeNames": ATTRIBUTES,
        }  # fmt: skip
        response = yield self._request("ReceiveMessage", wanted, WAIT_S + 10.0)
        if failure := _refused(response):
            return failure
        found = _decoded(response.body, _Received)
        if found is None:
            return _garbled()
        return tuple(message for raw in found.messages[:BATCH_MAX] if (message := _message(raw)) is not None)

    def delete(self, messages: Sequence[Message]) -> Exchange[tuple[str, ...] | Failure]:
        """The answer is 200 even where some stay (§2.2): a receipt that is not the newest any more, for one."""
        entries = [{"Id": str(place), "ReceiptHandle": each.receipt} for place, each in enumerate(messages)]
        response = yield self._request("DeleteMessageBatch", {"QueueUrl": self.url, "Entries": entries}, 15.0)
        if failure := _refused(response):
            return failure
        found = _decoded(response.body, _Deleted)
        if found is None:
            return _garbled()
        failed = {each.id for each in found.failed}
        return tuple(each.message_id for place, each in enumerate(messages) if str(place) in failed)

    def _request(self, action: str, body: object, timeout_s: float) -> Request:
        where = urlsplit(self.url)
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
        return Request(
            "POST", f"{where.scheme}://{where.netloc}/", headers, msgspec.json.encode(body), timeout_s=timeout_s,
            sign=partial(_sign, key=self.key, region=self.region),
        )  # fmt: skip


def sqs_queue(url: str, key: AwsKey, region: str = "") -> SqsQueue:
    """The queue at `url`, `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`. Raises `ValueError` with a sentence."""
    where = urlsplit(url)
    path = _PATH.fullmatch(where.path)
    known = _HOST.fullmatch(where.netloc)
    if path is None or where.query or where.scheme not in ("https", "http") or (known is None and not region):
        raise ValueError(
            "queue_url must be the queue's own URL, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME (elsewhere name "
            "queue_region, too)"
        )
    if path[2].endswith(".fifo"):
        raise ValueError("queue_url names a FIFO queue, which the platform does not write to: make a Standard one")
    region = region or (known[1] if known else "")
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    return SqsQueue(url, key, region, f"arn:{partition}:sqs:{region}:{path[1]}:{path[2]}")


def _sign(request: Request, now_us: int, nonce: str, *, key: AwsKey, region: str) -> Request:
    del nonce
    return signed(request, key, region, "sqs", now_us)


def _decoded(body: bytes, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _message(raw: msgspec.Raw) -> Message | None:
    """None for what cannot even be deleted. A body that is no text is given on as it stands: nobody understands it,
    so it is kept, and deleted."""
    hull = _decoded(bytes(raw), _Hull)
    if hull is None or not 0 < len(hull.receipt_handle) <= RECEIPT_MAX:
        return None
    text = _decoded(bytes(hull.body), str)
    body = bytes(hull.body) if text is None else text.encode()
    times = hull.attributes.get("ApproximateReceiveCount", "")
    count = int(times) if times.isascii() and times.isdigit() and len(times) < 10 else 0
    return Message(hull.message_id, hull.receipt_handle, body, {MESSAGE_ID: hull.message_id}, count)


def _garbled() -> Failure:
    return Failure(Outcome("transient", "200, but the body is not what SQS answers"))


def _refused(response: Response) -> Failure | None:
    """The error table of §2.2; None for a 200."""
    if response.status == 200:
        return None
    error = _decoded(response.body, _Error) or _Error()
    name = error.type.rpartition("#")[2] or response.headers.get("x-amzn-query-error", "").partition(";")[0]
    said = f"{name}: {error.message}" if error.message else name
    reason = "".join(letter if letter.isprintable() else " " for letter in f"{response.status} {said}")[:300].strip()
    if name in _THROTTLES or response.status == 429:
        return Failure(Outcome("throttled", reason))
    if response.status >= 500 or not name:
        return Failure(Outcome("transient", reason))
    return Failure(Outcome("permanent", f"{reason}: check queue_url, the AWS key and what it may do there"))
