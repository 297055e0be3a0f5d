"""A hostile channel's answers, as each adapter reads them in a conversation."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from adapters.ebay.payloads import is_line_key
from daemon.domain.channel import Adapter, Push, Webhook
from daemon.domain.exchange import Request, Response
from daemon.domain.outcomes import Failure
from daemon.domain.queues import Message
from tests.fuzz import judges
from tests.fuzz.target import Cut, Target, line
from tests.fuzz.targets.webhooks import (
    HASH_ADAPTER,
    MART_ADAPTER,
    QUEUE_ADAPTER,
    SANDBOX_ADAPTER,
    SELLER_ADAPTER,
    STORE_ADAPTER,
    WORDS,
)

CALLS: Final = ("orders", "order", "listings", "levels", "push", "webhooks", "register", "again")
STATUSES: Final = (200, 201, 204, 301, 304, 400, 401, 404, 408, 409, 413, 422, 425, 429, 500, 501, 503, 599)
HEADERS: Final = ("retry-after", "date", "location", "x-wp-totalpages", "content-type")
STEPS_MAX: Final = 80
ANSWERS_MAX: Final = 6
NOW_US: Final = 1_795_413_600_000_000


def _answers(cut: Cut) -> list[Response]:
    """Up to `ANSWERS_MAX` responses; the last one has the rest of the bytes."""
    found = []
    for place in range(1 + cut.byte() % ANSWERS_MAX):
        status = cut.pick(STATUSES)
        headers = {cut.pick(HEADERS): cut.latin() for _ in range(cut.byte() % 3)}
        size = cut.number() % 2_048
        body = cut.exactly(size)
        found.append(Response(status, headers, body, NOW_US, NOW_US + 1_000))
        del place
    last = found[-1]
    return [*found[:-1], Response(last.status, last.headers, last.body + cut.rest(), NOW_US, NOW_US + 1_000)]


def _name(cut: Cut) -> str:
    """A name as an adapter may be asked with: it came out of one, or out of the store, and can be encoded."""
    return cut.text().encode("utf-8", "replace").decode()


def _start(adapter: Adapter, cut: Cut) -> tuple[str, Generator[Request, Response, Any], int]:
    call, name = cut.pick(CALLS), _name(cut)
    listings = [name, _name(cut), "12", "12/34", "L-1"][: 1 + cut.byte() % 5]
    hook = Webhook("order.updated", "https://us.example/webhooks/site", "paused", name)
    match call:
        case "orders":
            return call, adapter.orders(cut.number() * 60_000_000_000 * (1 + cut.byte()), name), 0
        case "order":
            return call, adapter.order(name), 0
        case "listings":
            return call, adapter.listings(name), 0
        case "levels":
            return call, adapter.levels(listings), 0
        case "push":
            pushes = [Push(each, cut.number(), cut.byte() or None, 1) for each in listings]
            batch = cut.pick(adapter.batches(pushes))
            return call, adapter.push(batch, "key-1"), len(batch)
        case "webhooks":
            return call, adapter.webhooks(), 0
        case _:
            topic = next(reversed(adapter.wanted_topics()), "order.updated")
            return call, adapter.register(topic, hook.url, hook if call == "again" else None), 0


def _converse(adapter: Adapter, base_url: str, data: bytes) -> tuple[str, Any]:
    cut = Cut(data)
    call, talk, wanted = _start(adapter, cut)
    answers = _answers(cut)
    try:
        asked = next(talk)
        for step in range(STEPS_MAX):
            if asked.sign is not None:
                asked = asked.sign(asked, NOW_US, "0123456789abcdef")
            judges.request(asked, base_url)
            asked = talk.send(answers[min(step, len(answers) - 1)])
    except StopIteration as end:
        judges.answered(end.value)
        if call == "push":
            assert len(end.value) == wanted
        return call, end.value
    else:
        talk.close()
        return call, None


def sandbox_answers(data: bytes) -> None:
    """Whatever the storefront answers becomes a value; a quantity that cannot be read is unknown."""
    _converse(SANDBOX_ADAPTER, "http://127.0.0.1:9101/shop", data)


def woocommerce_answers(data: bytes) -> None:
    """The same for a WooCommerce store, over TLS and (with OAuth) without."""
    call, value = _converse(STORE_ADAPTER, "https://shop.example", data)
    if call in ("orders", "listings"):
        seen = getattr(value, "orders", ()) or getattr(value, "levels", ())
        for each in seen:
            judges.woocommerce_ids(each)


def bigcommerce_answers(data: bytes) -> None:
    """The same for a BigCommerce store; its listings are such as a push can name."""
    call, value = _converse(HASH_ADAPTER, "https://api.example", data)
    seen = (getattr(value, "orders", ()) or getattr(value, "levels", ())) if call in ("orders", "listings") else ()
    for each in seen:
        judges.bigcommerce_ids(each)


def ebay_answers(data: bytes) -> None:
    """The same for eBay; each line is an order of its own, called ITEM-LINE."""
    call, value = _converse(SELLER_ADAPTER, "https://api.example", data)
    for order in getattr(value, "orders", ()) if call == "orders" else ():
        (told,) = order.lines
        assert is_line_key(order.order)
        assert order.order.endswith(f"-{told.line}")


def amazon_answers(data: bytes) -> None:
    """The same for Amazon, for a feed that is followed, and for its queue; what it fulfils itself is never listed."""
    call, value = _converse(QUEUE_ADAPTER, "https://sp.example", data)
    for order in getattr(value, "orders", ()) if call == "orders" else ():
        assert all(0 <= each.fulfilled <= each.ordered for each in order.lines)
    cut = Cut(data)
    queue = QUEUE_ADAPTER.queue
    assert queue is not None
    batch = [Push("SHIRT-M-RED", 9, 1, 1), Push("MUG", 40, None, 1)]
    messages = [Message("m", "r", b"")]
    talks: list[Generator[Request, Response, Any]] = [
        QUEUE_ADAPTER.push(batch, "k"), QUEUE_ADAPTER.follow(batch, cut.text() or "feed:1"), queue.receive(),
        queue.delete(messages),
    ]  # fmt: skip
    answers = _answers(cut)
    for talk in talks:
        try:
            asked = next(talk)
            for step in range(STEPS_MAX):
                where = urlsplit(asked.url)
                assert where.scheme == "https"
                assert where.netloc == "sp.example" or where.netloc.endswith((".amazonaws.com", ".cloudfront.net"))
                asked = talk.send(answers[min(step, len(answers) - 1)])
        except StopIteration as end:
            if talk in talks[:2]:
                judges.answered(end.value)
                assert len(end.value) == len(batch)
            else:
                assert isinstance(end.value, (tuple, Failure))


def walmart_answers(data: bytes) -> None:
    """The same for Walmart, and for a feed that is followed; what is held is never more than what is taken."""
    call, value = _converse(MART_ADAPTER, "https://mart.example", data)
    for seen in getattr(value, "orders", ()) if call == "orders" else ():
        for each in seen.lines:
            assert 0 <= each.fulfilled <= each.ordered - each.cancelled
    cut = Cut(data)
    batch = [Push("SHIRT-M-RED", 9, None, 1), Push("MUG", 40, None, 1)]
    talk = MART_ADAPTER.follow(batch, cut.text() or "F@1")
    answers = _answers(cut)
    try:
        asked = next(talk)
        for step in range(STEPS_MAX):
            judges.request(asked, "https://mart.example")
            asked = talk.send(answers[min(step, len(answers) - 1)])
    except StopIteration as end:
        judges.answered(end.value)
        assert len(end.value) == len(batch)


def _seeds(platform: str) -> Iterable[bytes]:
    for folder in ("reads", "pushes"):
        for case in judges.recorded(platform, folder):
            steps = case.get("steps", [])
            call = case.get("call", "push")
            if call not in CALLS:
                continue  # the asking for a token is no call of the port
            argument = next((each for each in case.get("args", []) if isinstance(each, str)), "")
            listing = case["batch"][0]["listing"] if case.get("batch") else argument
            head = bytes([CALLS.index(call)]) + line(listing.encode()[:200]) + line(listing.encode()[:200]) + b"\0"
            head += b"\0" * {"orders": 3, "push": 4}.get(call, 0)
            yield head + _wire(steps)


def _wire(steps: list[dict[str, Any]]) -> bytes:
    wire = bytes([max(0, len(steps) - 1)])
    for step in steps:
        answer = step.get("response") or {"status": 200, "headers": {}, "body": ""}
        body = answer.get("body", "")
        raw = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()[:2_047]
        status = answer["status"] if answer["status"] in STATUSES else 500
        headers = [
            (name.lower(), value) for name, value in answer.get("headers", {}).items() if name.lower() in HEADERS
        ]
        wire += bytes([STATUSES.index(status), len(headers[:2])])
        for name, value in headers[:2]:
            wire += bytes([HEADERS.index(name)]) + line(str(value)[:200])
        wire += len(raw).to_bytes(2, "big") + raw
    return wire


MORE_WORDS: Final = (
    *WORDS,
    b'"items":[',
    b'"results":[',
    b'"orders":[',
    b'"next":',
    b'"result":"ok"',
    b'"result":"conflict"',
    b'"error":{',
    b'"code":"',
    b'"applied":false',
    b'"update":[',
    b'"message":"',
    b'"data":{"status":',
    b"invalid_id",
    b'"delivery_url":',
    b'"status":"active"',
    b"Mon, 23 Nov 2026 06:00:00 GMT",
    b"woocommerce_rest_",
)

BIGCOMMERCE_WORDS: Final = (
    b'"consignments":{"shipping":[{"line_items":[',
    b'"resource":"/orders/1/products"',
    b'"date_modified":"Fri, 20 Nov 2026 14:15:30 +0000"',
    b'"status_id":4',
    b'"identity":{"variant_id":34,"product_id":12}',
    b'"locations":[{"location_id":1,"available_to_sell":',
    b'"settings":{"safety_stock":',
    b'"transaction_id":"',
    b'"refund_order_stock_adjustment":true',
    b'"update_stock_behavior":"order_placed"',
    b"variant_id: [34] is tracked by product",
    b'"pagination":{"total_pages":',
)

EBAY_WORDS: Final = (
    b'"lineItems":[{"lineItemId":"7","legacyItemId":"5","quantity":2}]',
    b'"lastModifiedDate":"2026-08-05T12:00:05.250Z"',
    b'"cancelStatus":{"cancelState":"CANCELED"}',
    b'"inventoryItems":[{"sku":"A","availability":{"shipToLocationAvailability":{"quantity":',
    b'"responses":[{"statusCode":200,"sku":"12"}]',
    b'"offers":[{"offerId":"1","status":"PUBLISHED","availableQuantity":',
    b'"errors":[{"errorId":30850,"category":"REQUEST"}]',
    b'<GetOrdersResponse xmlns="urn:ebay:apis:eBLBaseComponents"><Ack>Success</Ack><OrderArray>',
    b"<Order><OrderStatus>Active</OrderStatus><TransactionArray><Transaction>",
    b"<TransactionID>7</TransactionID><Item><ItemID>5</ItemID></Item><QuantityPurchased>2</QuantityPurchased>",
    b"<LastModifiedTime>2026-08-05T12:00:05.250Z</LastModifiedTime>",
)

AMAZON_WORDS: Final = (
    b'{"orders":[{"orderId":"1-2-3","createdTime":"2026-08-05T12:00:01Z","lastUpdatedTime":"2026-08-05T12:31:00Z"',
    b'"fulfillment":{"fulfillmentStatus":"UNSHIPPED","fulfilledBy":"MERCHANT"}',
    b'"orderItems":[{"orderItemId":"1","quantityOrdered":2,"product":{"sellerSku":"A"}}]',
    b'"pagination":{"nextToken":"t"}',
    b'{"numberOfResults":1,"items":[{"sku":"A","fulfillmentAvailability":[{"fulfillmentChannelCode":"DEFAULT"',
    b'"summaries":[{"marketplaceId":"ATVPDKIKX0DER","productType":"SHIRT","createdDate":"2026-01-01T00:00:00Z"}]',
    b'{"sku":"A","status":"ACCEPTED","submissionId":"s"}',
    b'{"processingStatus":"DONE","resultFeedDocumentId":"d"}',
    b'{"feedDocumentId":"d","url":"https://x.s3.amazonaws.com/d"}',
    b'{"errors":[{"code":"QuotaExceeded","message":"m"}]}',
    b'{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"{}"}]}',
    b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"m"}',
)

WALMART_WORDS: Final = (
    b'{"list":{"meta":{"nextCursor":"?',
    b'"elements":{"order":[{"purchaseOrderId":"1","orderLines":{"orderLine":[',
    b'"orderLineStatuses":{"orderLineStatus":[{"status":"Acknowledged","statusQuantity":{"amount":"1"}}]}',
    b'"orderLineQuantity":{"unitOfMeasurement":"EACH","amount":"2"}',
    b'"statusDate":1785931198000',
    b'"elements":{"inventories":[{"sku":"A","nodes":[{"inputQty":{"amount":9}',
    b'"reservedQty":{"unit":"EACH","amount":2}',
    b'"feedStatus":"PROCESSED","itemDetails":{"itemIngestionStatus":[{"sku":"MUG","ingestionStatus":"SUCCESS"',
    b'{"errors":[{"code":"CONTENT_NOT_FOUND","category":"DATA"}]}',
    b'{"feedId":"F@1"}',
)

TARGETS: Final = (
    Target(
        "sandbox_answers",
        sandbox_answers,
        "a hostile storefront's answers",
        4_096,
        MORE_WORDS,
        lambda: list(_seeds("sandbox")),
    ),
    Target(
        "woocommerce_answers",
        woocommerce_answers,
        "a hostile WooCommerce store's answers",
        4_096,
        MORE_WORDS,
        lambda: list(_seeds("woocommerce")),
    ),
    Target(
        "bigcommerce_answers",
        bigcommerce_answers,
        "a hostile BigCommerce store's answers",
        4_096,
        (*MORE_WORDS, *BIGCOMMERCE_WORDS),
        lambda: list(_seeds("bigcommerce")),
    ),
    Target(
        "ebay_answers",
        ebay_answers,
        "a hostile eBay's answers",
        4_096,
        (*MORE_WORDS, *EBAY_WORDS),
        lambda: list(_seeds("ebay")),
    ),
    Target(
        "amazon_answers",
        amazon_answers,
        "Amazon's and its queue's answers, made hostile",
        4_096,
        (*MORE_WORDS, *AMAZON_WORDS),
        lambda: list(_seeds("amazon")),
    ),
    Target(
        "walmart_answers",
        walmart_answers,
        "Walmart's answers, made hostile",
        4_096,
        (*MORE_WORDS, *WALMART_WORDS),
        lambda: list(_seeds("walmart")),
    ),
)
