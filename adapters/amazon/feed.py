"""Many levels at once: a JSON_LISTINGS_FEED, from its upload to its report (amazon.md §5.2)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec
from attrs import evolve

from adapters.amazon.account import Seller, segment
from adapters.amazon.items import Item, some
from adapters.amazon.push import follow_shown, not_ours, patches, product_type, shown_job, unsendable
from adapters.amazon.refusals import garbled, refused
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Method, Request, Response
from daemon.domain.outcomes import Failure, Outcome

FILE_HOSTS = (".amazonaws.com", ".cloudfront.net")
"""Where Amazon keeps documents: the models' examples name the second; the first is from memory. Nothing of ours but
the document goes there, without any token (§5.2)."""
CONTENT_TYPE = "application/json; charset=UTF-8"
MESSAGES_MAX = 25_000
REPORT_MAX = 16 << 20
FEED = "feed:"

_RUNNING = ("IN_QUEUE", "IN_PROGRESS")


class _Document(msgspec.Struct, rename="camel"):
    url: str
    feed_document_id: str = ""
    compression_algorithm: str | None = None


class _Created(msgspec.Struct, rename="camel"):
    feed_id: str


class _Feed(msgspec.Struct, rename="camel"):
    processing_status: str
    result_feed_document_id: str | None = None


class _Issue(msgspec.Struct, rename="camel"):
    message_id: int = 0
    severity: str = ""
    code: str = ""
    message: str = ""
    sku: str = ""


class _Report(msgspec.Struct):
    issues: list[_Issue] = []  # msgspec gives each its own copy


def submit(seller: Seller, batch: Sequence[Push]) -> Exchange[Sequence[Outcome]]:
    """Hand in one feed. Every listing is read first, as before a PATCH: only the merchant's own are written (§7)."""
    found = yield from some(seller, [each.listing for each in batch if not unsendable(each)])
    if isinstance(found, Failure):
        return [found.outcome] * len(batch)
    bad = {each.listing: why for each in batch if (why := unsendable(each) or not_ours(found.get(each.listing)))}
    good = [each for each in batch if each.listing not in bad]
    outcome = (yield from _hand_in(seller, good, found)) if good else Outcome("permanent", "nothing to send")
    return [bad.get(each.listing, outcome) for each in batch]


def _hand_in(seller: Seller, good: Sequence[Push], items: Mapping[str, Item]) -> Exchange[Outcome]:
    """Until `createFeed` was sent, nothing of it can be applied: what fails before is surely not done."""
    made = yield seller.write(
        "POST", "/feeds/2021-06-30/documents", {"contentType": CONTENT_TYPE}, "createFeedDocument"
    )  # fmt: skip
    if outcome := refused(made, write=False, meter="createFeedDocument"):
        return outcome
    document = _document(made)
    if document is None or not document.feed_document_id:
        return garbled(made)
    kept = yield _file("PUT", document.url, _content(seller, good, items))
    if outcome := refused(kept, write=False, meter="files"):
        # Never "permanent": its address lives for minutes alone (§5.2).
        return evolve(outcome, kind="throttled" if outcome.kind == "throttled" else "transient")
    wanted = {
        "feedType": "JSON_LISTINGS_FEED", "marketplaceIds": [seller.marketplace],
        "inputFeedDocumentId": document.feed_document_id,
    }  # fmt: skip
    created = yield seller.write("POST", "/feeds/2021-06-30/feeds", wanted, "createFeed")
    if outcome := refused(created, write=True, meter="createFeed"):
        return outcome
    try:
        feed = decode(created.body, _Created).feed_id
    except UnreadableError:
        return garbled(created, write=True)
    if not (feed.isascii() and feed.isalnum() and len(feed) <= 60):
        return garbled(created, write=True)
    return Outcome("accepted", job=FEED + feed)


def _content(seller: Seller, good: Sequence[Push], items: Mapping[str, Item]) -> bytes:
    """A message's number is its place among those that were sent, from 1 on."""
    messages = [
        {
            "messageId": place, "sku": each.listing, "operationType": "PATCH",
            "productType": product_type(items[each.listing], seller), "patches": patches(each.level),
        }
        for place, each in enumerate(good, 1)
    ]  # fmt: skip
    header = {"sellerId": seller.seller_id, "version": "2.0", "issueLocale": "en_US"}
    return msgspec.json.encode({"header": header, "messages": messages})


def follow(seller: Seller, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
    """What became of a feed: its status, its report, then whether its levels show: a feed also reports success for a
    SKU that does not exist (§5.2)."""
    if not job.startswith(FEED):
        return (yield from follow_shown(seller, batch, job))
    waiting = [Outcome("accepted", job=job)] * len(batch)
    status = yield seller.get(f"/feeds/2021-06-30/feeds/{job.removeprefix(FEED)}", (), "getFeed")
    if refused(status, write=False):
        return waiting
    try:
        feed = decode(status.body, _Feed)
    except UnreadableError:
        return waiting
    if feed.processing_status in _RUNNING:
        return waiting
    if feed.processing_status != "DONE":
        # CANCELLED and FATAL: some of its messages may have been done.
        return [Outcome("unknown", f"the feed ended as {feed.processing_status[:40]}")] * len(batch)
    errors = (yield from _report(seller, feed.result_feed_document_id)) if feed.result_feed_document_id else None
    if isinstance(errors, Failure):
        return waiting  # it is there, and will be read
    if errors is None:
        return [Outcome("unknown", "the feed was processed, but its report cannot be read")] * len(batch)
    shown = yield from follow_shown(seller, batch, shown_job(job.removeprefix(FEED)))
    # All that one feed carried is followed together, so a message's number is its place here.
    told = [errors.get(each.listing) or errors.get(str(place)) for place, each in enumerate(batch, 1)]
    return [Outcome("permanent", why) if why else outcome for why, outcome in zip(told, shown, strict=True)]


def _report(seller: Seller, document_id: str) -> Exchange[dict[str, str] | Failure | None]:
    """The errors by SKU, or by the message's number where a SKU is not named; None where the report cannot be had,
    a failure where it cannot be had now."""
    if not (document_id.isascii() and document_id.isprintable() and 0 < len(document_id) <= 200):
        return None
    from_api = yield seller.get(f"/feeds/2021-06-30/documents/{segment(document_id)}", (), "getFeedDocument")
    outcome = refused(from_api, write=False)
    if outcome is not None:
        return None if outcome.kind == "permanent" else Failure(outcome)
    document = _document(from_api)
    if document is None:
        return None
    answer = yield _file("GET", document.url)
    outcome = refused(answer, write=False)
    if outcome is not None:
        return Failure(outcome)  # its address may have ended: the next look gets a new one
    body = answer.body
    if document.compression_algorithm == "GZIP" and body.startswith(b"\x1f\x8b"):
        body = _unpacked(body)
    try:
        issues = decode(body, _Report).issues
    except UnreadableError:
        return None
    errors: dict[str, str] = {}
    for issue in issues:
        if issue.severity == "ERROR":
            text = "".join(letter if letter.isprintable() else " " for letter in f"{issue.code}: {issue.message}")
            errors.setdefault(issue.sku or str(issue.message_id), text[:300])
    return errors


def _unpacked(body: bytes) -> bytes:
    """A gzip file, up to `REPORT_MAX` bytes of it; what is no such file is nothing."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, REPORT_MAX)
    except zlib.error:
        return b""


def _document(response: Response) -> _Document | None:
    """A document's address; None where it is none that we would follow."""
    try:
        found = decode(response.body, _Document)
        where = urlsplit(found.url)
        port = where.port
    except (UnreadableError, ValueError):
        return None
    plain = found.url.isascii() and found.url.isprintable() and not any(letter in found.url for letter in " #\\")
    ours = where.scheme == "https" and port is None and where.netloc.endswith(FILE_HOSTS) and "@" not in where.netloc
    return found if plain and ours and "/../" not in where.path else None


def _file(method: Method, url: str, body: bytes = b"") -> Request:
    """A document is put and fetched without any token of Amazon's (§5.2)."""
    headers = {"content-type": CONTENT_TYPE} if method == "PUT" else {}
    return Request(method, url, headers, body, meter="files", timeout_s=60.0)
