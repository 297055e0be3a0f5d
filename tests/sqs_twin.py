"""A Standard queue in the process, on Trio's clock: at least once, in any order, and with the faults that SQS has."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field

from daemon.domain.exchange import NoAnswer, Reply, Request, Response

URL = "https://sqs.us-east-1.amazonaws.com/111122223333/spapi"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CLOCK_S = 1_785_931_200.0
"""The calendar when Trio's clock is at 0."""
ROUND_TRIP_S = 0.02

_PROOF = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/([0-9]{8}/[a-z0-9-]+/sqs/aws4_request), SignedHeaders=([a-z;-]+), "
    r"Signature=([0-9a-f]{64})"
)


def proves(request: Request, secret: str = SECRET) -> bool:
    """Is it signed by `secret`, as AWS checks it? Written anew from the sheet, for the judging alone."""
    sent = {**request.headers, **request.secret_headers, "host": urlsplit(request.url).netloc}
    found = _PROOF.fullmatch(sent.get("authorization", ""))
    if found is None:
        return False
    key_id, scope, names, signature = found.groups()
    block = "".join(f"{name}:{sent[name].strip()}\n" for name in names.split(";"))
    body = hashlib.sha256(request.body).hexdigest()
    canonical = hashlib.sha256(f"POST\n/\n\n{block}\n{names}\n{body}".encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{sent['x-amz-date']}\n{scope}\n{canonical}"):
        key = hmac.digest(key, part.encode(), "sha256")
    needed = {"content-type", "host", "x-amz-date", "x-amz-target"}
    return key_id == KEY_ID and needed <= set(names.split(";")) and hmac.compare_digest(key.hex(), signature)


@define(eq=False)
class Waiting:
    """A message in the queue."""

    message_id: str
    body: str
    visible_at: float = 0.0
    times: int = 0
    receipt: str = ""
    sent_ms: int = 0


@define(eq=False)
class SqsTwin:
    """The queue, as an HTTP client sees it. Chances are of each call or message."""

    rng: random.Random = field(factory=lambda: random.Random(1))
    duplicate: float = 0.0
    """A message that was given out is there twice."""
    undelete: float = 0.0
    """A delete is said to be done, and is not."""
    lose_answer: float = 0.0
    """What was asked is done, and no answer comes."""
    refuse: tuple[int, str] | None = None
    """Every call is answered with this status and error."""
    refuse_deletes: bool = False
    """The key may read, and not delete."""
    down: bool = False
    redrive: int = 0
    """After so many deliveries a message is put aside; 0: never."""
    deleting: Callable[[str], None] = lambda body: None
    """Told each body that is deleted."""
    befell: Callable[[str], None] = lambda what: None
    """Told which of its faults happened, by the name of its field."""
    waiting: list[Waiting] = field(factory=list)
    aside: list[str] = field(factory=list)
    """Put aside by the redrive policy."""
    calls: list[tuple[float, str]] = field(factory=list)
    given: int = 0
    deleted: list[str] = field(factory=list)
    stale: int = 0
    """Deletes with a receipt that is not the newest: they say that they were done."""
    _number: int = 0
    _news: trio.Event = field(factory=trio.Event)

    def put(self, body: str) -> str:
        """The platform tells something."""
        self._number += 1
        name = f"m-{self._number}"
        self.waiting.append(Waiting(name, body, sent_ms=round((CLOCK_S + trio.current_time()) * 1000)))
        self._news.set()
        return name

    async def send(self, request: Request) -> Reply:
        assert request.sign is None, "whoever sends it has it signed first"
        action = request.headers["x-amz-target"].removeprefix("AmazonSQS.")
        self.calls.append((trio.current_time(), action))
        await trio.sleep(ROUND_TRIP_S)
        if self.down:
            self.befell("down")
            return NoAnswer("connection refused", reached=False)
        if not proves(request):
            return self._said({"__type": "com.amazon.coral.service#SignatureDoesNotMatch", "message": "no"}, 403)
        if self.refuse is not None:
            status, error = self.refuse
            return self._said({"__type": f"com.amazonaws.sqs#{error}", "message": "told so"}, status)
        if self.refuse_deletes and action == "DeleteMessageBatch":
            error = {"__type": "com.amazon.coral.service#AccessDeniedException", "message": "not yours to delete"}
            return self._said(error, 400)
        body = json.loads(request.body)
        assert body["QueueUrl"] == URL
        if action == "ReceiveMessage":
            answer = await self._receive(body)
        else:
            assert action == "DeleteMessageBatch"
            answer = self._delete(body)
        if self.rng.random() < self.lose_answer:
            self.befell("lose_answer")
            return NoAnswer("the answer was lost", reached=True)
        await trio.sleep(ROUND_TRIP_S)
        return self._said(answer)

    async def aclose(self) -> None: ...

    def _said(self, body: Any, status: int = 200) -> Response:
        date = formatdate(CLOCK_S + trio.current_time(), usegmt=True)
        return Response(status, {"date": date}, json.dumps(body).encode())

    async def _receive(self, wanted: dict[str, Any]) -> dict[str, Any]:
        assert 1 <= wanted["MaxNumberOfMessages"] <= 10
        with trio.move_on_after(wanted["WaitTimeSeconds"]):
            while not self._visible():
                due = min((each.visible_at for each in self.waiting), default=float("inf"))
                with trio.move_on_at(due):
                    await self._news.wait()
                self._news = trio.Event()
        found = self._visible()
        self.rng.shuffle(found)
        found = found[: wanted["MaxNumberOfMessages"]]
        if not found:
            return {}
        return {"Messages": [self._give(each, wanted["VisibilityTimeout"]) for each in found]}

    def _visible(self) -> list[Waiting]:
        now = trio.current_time()
        for each in [each for each in self.waiting if each.visible_at <= now]:
            if self.redrive and each.times >= self.redrive:
                self.waiting.remove(each)
                self.aside.append(each.body)
        return [each for each in self.waiting if each.visible_at <= now]

    def _give(self, each: Waiting, visibility_s: float) -> dict[str, Any]:
        self.given += 1
        each.times += 1
        each.visible_at = trio.current_time() + visibility_s
        each.receipt = f"{each.message_id}/{each.times}"
        if self.rng.random() < self.duplicate:
            self.befell("duplicate")
            self.waiting.append(Waiting(each.message_id, each.body, trio.current_time() + self.rng.random() * 30))
        return {
            "MessageId": each.message_id, "ReceiptHandle": each.receipt, "Body": each.body,
            "MD5OfBody": hashlib.md5(each.body.encode()).hexdigest(),
            "Attributes": {"ApproximateReceiveCount": str(each.times), "SentTimestamp": str(each.sent_ms)},
        }  # fmt: skip

    def _delete(self, wanted: dict[str, Any]) -> dict[str, Any]:
        entries = wanted["Entries"]
        assert 1 <= len(entries) <= 10
        assert len({each["Id"] for each in entries}) == len(entries)
        done, failed = [], []
        for entry in entries:
            receipt = entry["ReceiptHandle"]
            name = receipt.partition("/")[0]
            if not name.startswith("m-"):
                failed.append({"Id": entry["Id"], "SenderFault": True, "Code": "ReceiptHandleIsInvalid"})
                continue
            done.append({"Id": entry["Id"]})
            found = next((each for each in self.waiting if each.receipt == receipt), None)
            if found is None:
                self.stale += 1
                continue
            self.deleting(found.body)
            if self.rng.random() < self.undelete:
                self.befell("undelete")
            else:
                self.waiting.remove(found)
                self.deleted.append(found.body)
        return {"Successful": done, **({"Failed": failed} if failed else {})}
