"""Amazon's feeds of listings in the process: documents, jobs that are decided later and in their order, reports.

Composed from the sheet (amazon.md §5.2), not from the adapter.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

KIND = "application/json; charset=UTF-8"
FILES = "tortuga-prod-na.s3-external-1.amazonaws.com"
ADDRESS_S = 300.0
"""The address of a document lives so long."""
REFUSED, FATAL, CANCELLED, PHANTOM = "refused", "FATAL", "CANCELLED", "phantom"
"""What befell a feed: a message refused in its report, it ended so, a message reported done that was not."""

Answer = tuple[int, Any]


@define(eq=False)
class Document:
    """A file, and until when its address is good."""

    until_s: float
    content: bytes | None = None
    packed: bool = False


@define(eq=False)
class Feed:
    """A job."""

    messages: list[Any]
    due_s: float
    ending: str
    report: str = ""
    """Its report's document, once it is done."""
    ended: bool = False


@define(eq=False)
class Feeds:
    """One seller's feeds. Every moment is told (s)."""

    seller: str
    knows: Callable[[str], bool]
    rng: random.Random
    lag_s: float = 60.0
    """A feed is decided so long after it was made, and never before the one ahead of it."""
    refused: set[str] = field(factory=set)
    """SKUs whose messages fail."""
    endings: list[str] = field(factory=list)
    """How the next feeds end: FATAL or CANCELLED."""
    phantoms: int = 0
    """So many messages more are reported as accepted, and not done."""
    befell: Callable[[str], None] = lambda what: None
    documents: dict[str, Document] = field(factory=dict)
    jobs: dict[str, Feed] = field(factory=dict)

    # -- the API --

    def new_document(self, body: Mapping[str, Any], now_s: float) -> Answer:
        assert body == {"contentType": KIND}
        name = self._document(now_s)
        return 201, {"feedDocumentId": name, "url": self._address(name)}

    def new_feed(self, body: Mapping[str, Any], now_s: float) -> Answer:
        """202, or 400 for a document into which nothing was put."""
        assert body["feedType"] == "JSON_LISTINGS_FEED"
        messages = self.messages(body)
        if messages is None:
            error = {"code": "InvalidInput", "message": "the input document is empty", "details": ""}
            return 400, {"errors": [error]}
        numbers = [each["messageId"] for each in messages]
        assert len(set(numbers)) == len(numbers)
        name = f"9000{len(self.jobs) + 1}"
        ahead = max((each.due_s for each in self.jobs.values()), default=0.0)
        ending = self.endings.pop(0) if self.endings else "DONE"
        self.jobs[name] = Feed(messages, max(now_s + self.lag_s, ahead), ending)
        return 202, {"feedId": name}

    def messages(self, body: Mapping[str, Any]) -> list[Any] | None:
        """What the document of a feed holds, that is to be made or was."""
        document = self.documents[body["inputFeedDocumentId"]]
        if document.content is None:
            return None
        told = json.loads(document.content)
        assert (told["header"]["sellerId"], told["header"]["version"]) == (self.seller, "2.0")
        return list(told["messages"])

    def status(self, name: str, now_s: float) -> Answer:
        feed = self.jobs[name]
        state = feed.ending if feed.ended else "IN_QUEUE" if now_s < feed.due_s - self.lag_s / 2 else "IN_PROGRESS"
        shown = {"feedId": name, "feedType": "JSON_LISTINGS_FEED", "createdTime": "2026-08-05T12:00:00Z",
                 "processingStatus": state}  # fmt: skip
        return 200, shown | ({"resultFeedDocumentId": feed.report} if feed.report else {})

    def document(self, name: str, now_s: float) -> Answer:
        found = self.documents[name]
        found.until_s = now_s + ADDRESS_S
        more = {"compressionAlgorithm": "GZIP"} if found.packed else {}
        return 200, {"feedDocumentId": name, "url": self._address(name), **more}

    def file(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> tuple[int, bytes]:
        """A document itself, at a host of its own, without any token."""
        assert not {name.lower() for name in headers} & {"x-amz-access-token", "authorization"}
        document = self.documents[path.strip("/")]
        if now_s > document.until_s:
            return 403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        if method == "PUT":
            assert headers["content-type"] == KIND
            document.content = body
            return 200, b""
        assert document.content is not None
        return 200, document.content

    # -- what becomes of them --

    def process(self, now_s: float) -> list[tuple[float, str, int]]:
        """The feeds whose time has come: what they write, and when."""
        done: list[tuple[float, str, int]] = []
        for name, feed in self.jobs.items():
            if not feed.ended and feed.due_s <= now_s:
                feed.ended = True
                done += [(feed.due_s, sku, level) for sku, level in self._decide(name, feed, now_s)]
        return done

    def _decide(self, name: str, feed: Feed, now_s: float) -> list[tuple[str, int]]:
        if feed.ending != "DONE":
            self.befell(feed.ending)
            # Where it broke off nobody says: some of its messages may have been done.
            most = self.rng.randrange(len(feed.messages) + 1) if feed.ending == FATAL else 0
            return [written(each) for each in feed.messages[:most]]
        issues, good = [], []
        for each in feed.messages:
            warning = {"messageId": each["messageId"], "code": "90003", "severity": "WARNING", "message": "as it is"}
            if each["sku"] in self.refused or not self.knows(each["sku"]):
                self.befell(REFUSED)
                issues.append({**warning, "code": "90220", "severity": "ERROR", "message": "is required"})
                continue
            if self.rng.random() < 0.2:
                issues.append(warning)
            if self.phantoms:
                self.phantoms -= 1
                self.befell(PHANTOM)
            else:
                good.append(written(each))
        bad = sum(each["severity"] == "ERROR" for each in issues)
        count = len(feed.messages)
        report = {
            "header": {"sellerId": self.seller, "version": "2.0", "feedId": name}, "issues": issues,
            "summary": {"errors": bad, "warnings": len(issues) - bad, "messagesProcessed": count,
                        "messagesAccepted": count - bad, "messagesInvalid": bad},
        }  # fmt: skip
        feed.report = self._document(now_s, json.dumps(report).encode())
        return good

    def _document(self, now_s: float, content: bytes | None = None) -> str:
        name = f"amzn1.tortuga.4.na.{len(self.documents) + 1}"
        packed = content is not None and self.rng.random() < 0.5
        self.documents[name] = Document(now_s + ADDRESS_S, gzip.compress(content) if packed and content else content)
        self.documents[name].packed = packed
        return name

    def _address(self, name: str) -> str:
        return f"https://{FILES}/{name}?X-Amz-Signature=s"


def written(message: Mapping[str, Any]) -> tuple[str, int]:
    """The SKU and the level of a message: the one patch that there is."""
    assert message["operationType"] == "PATCH"
    ((patch,), (value,)) = message["patches"], message["patches"][0]["value"]
    assert (patch["op"], patch["path"]) == ("merge", "/attributes/fulfillment_availability")
    assert value["fulfillment_channel_code"] == "DEFAULT"
    return message["sku"], value["quantity"]
