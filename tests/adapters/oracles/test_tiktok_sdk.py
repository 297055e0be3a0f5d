"""An unofficial library for TikTok Shop, generated from the platform's own pages, signs every request as we do and
verifies every webhook that we verify."""

from __future__ import annotations

import hmac
import random
from urllib.parse import parse_qsl, urlsplit

import pytest

from adapters.tiktok_shop.inbound import scheme
from adapters.tiktok_shop.shop import Shop
from daemon.domain.channel import Delivery
from daemon.domain.exchange import Request
from daemon.domain.instants import SECOND_US
from daemon.ingress.signature import check
from tests.adapters.oracles import cases
from tests.adapters.oracles.libraries import library

CASES = 400
BASE = "https://open-api.tiktokglobalshop.com"
AUTH = "https://auth.tiktok-shops.com"
PATHS = (
    "/order/202309/orders/search", "/order/202507/orders", "/product/202502/products/search",
    "/product/202309/products/1729382476852921560/inventory/update", "/event/202309/webhooks",
)  # fmt: skip


def theirs(request: Request, secret: str) -> str:
    """What the library makes of the request as it goes out, before its `sign`."""
    parts = urlsplit(request.url)
    return str(
        library("tiktok_shop_api.signing").Signer.sign(
            path=parts.path, query=parse_qsl(parts.query, keep_blank_values=True),
            content_type=request.headers["content-type"], body=request.body, app_secret=secret,
        )
    )  # fmt: skip


def signed(rng: random.Random, shop: Shop) -> Request:
    query = [(f"{rng.choice('aAzZ_')}{place}", cases.text(rng, 12)) for place in range(rng.randrange(6))]
    path, cipher = rng.choice(PATHS), rng.choice(["", "ROW_cipher==", cases.text(rng, 20)])
    match rng.randrange(3):
        case 0:
            request = shop.get(path, cipher, query)
        case 1:
            request = shop.post(path, cipher, cases.value(rng), query)
        case _:
            request = shop.put(path, cipher, cases.value(rng))
    assert request.sign is not None
    return request.sign(request, rng.randrange(1_700_000_000, 1_900_000_000) * SECOND_US, "")


def test_every_request_is_signed_as_the_library_signs_it() -> None:
    rng = random.Random(9)
    for _ in range(CASES):
        secret = rng.randbytes(20).hex()
        request = signed(rng, Shop(BASE, AUTH, f"app{rng.randrange(1_000)}", secret, "refresh"))
        assert request.secret_query["sign"] == theirs(request, secret)
        assert request.secret_query["sign"] != theirs(request, secret + "0")


@pytest.mark.parametrize("field", ["access_token", "sign"])
def test_neither_signs_the_token_nor_the_signature(field: str) -> None:
    rng = random.Random(10)
    request = signed(rng, Shop(BASE, AUTH, "app", "secret", "refresh"))
    with_it = f"{request.url}&{field}=anything"
    parts = urlsplit(with_it)
    query = parse_qsl(parts.query, keep_blank_values=True)
    signer = library("tiktok_shop_api.signing").Signer
    said = signer.sign(path=parts.path, query=query, content_type="", body=request.body, app_secret="secret")
    assert said == request.secret_query["sign"]


def test_of_every_webhook_the_library_and_we_say_the_same() -> None:
    rng = random.Random(11)
    webhooks = library("tiktok_shop_api.webhooks").Webhooks
    for body in [b"", *cases.bodies(rng, CASES)]:
        key, secret = f"app{rng.randrange(1_000)}", rng.randbytes(20).hex()
        right = hmac.digest(secret.encode(), key.encode() + body, "sha256")
        wrong_body = cases.altered(rng, body) if body else b"x"
        for kind, spoken, sent in (
            ("nothing", right.hex(), body),
            ("body", right.hex(), wrong_body),
            ("signature", cases.flipped(rng, right).hex(), body),
            ("upper case", right.hex().upper(), body),
            ("no signature", "", body),
        ):
            said = webhooks.verify(app_key=key, app_secret=secret, raw_body=sent, signature=spoken)
            ours = check(scheme(key), [secret], Delivery({"authorization": spoken}, sent), 0) == "ok"
            assert said is ours is (kind == "nothing"), (kind, spoken, sent)
