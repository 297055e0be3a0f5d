"""The Standard Webhooks form held against the standard's own library: what one signs, the other verifies, and
whatever is done to a delivery on its way, both say the same of it."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.bigcommerce.inbound import SIGNATURE as BIGCOMMERCE
from adapters.etsy.inbound import SCHEME as ETSY
from daemon.domain.channel import Delivery
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import SignatureScheme
from daemon.ingress.receiver import Answer
from daemon.ingress.signature import check
from tests.adapters.oracles import libraries
from tests.adapters.test_every_channel_webhooks import room
from tests.adapters.webhook_shops import SHOPS, standard

WINDOW_S = 300
"""Theirs; ours at BigCommerce is wider on purpose (see `REPLAY_S` there)."""


def library() -> Any:
    """The standard's own library."""
    return libraries.library("standardwebhooks")


@pytest.fixture(scope="module", autouse=True)
def there() -> None:
    """Without the library nothing here says anything."""
    library()


def key_of(platform: str, secret: str) -> bytes:
    """BigCommerce's secret is a key as it is written, the others' are as the standard writes them."""
    return secret.encode() if platform == "bigcommerce" else base64.b64decode(secret.removeprefix("whsec_"))


def theirs(key: bytes, delivery: Delivery) -> bool:
    """Does the library verify it, by its own clock?"""
    module = library()
    try:
        module.Webhook(key).verify(delivery.body, dict(delivery.headers), json_parse=False)
    except module.WebhookVerificationError:
        return False
    return True


def ours(scheme: SignatureScheme, key: bytes, delivery: Delivery) -> bool:
    secret = base64.b64encode(key).decode() if scheme.secret_key("AAAA") == b"\0\0\0" else key.decode("ascii")
    return check(scheme, [secret], delivery, int(time.time() * SECOND_US)) == "ok"


@pytest.mark.parametrize("platform", ["bigcommerce", "etsy", "vendure"])
async def test_what_the_library_signs_gets_in_and_what_a_shop_signs_the_library_verifies(
    platform: str, tmp_path: Path
) -> None:
    webhook = library().Webhook(key_of(platform, SHOPS[platform]().secret))
    async with room(tmp_path, platform) as r:
        genuine = r.delivery(r.shop.sell(1))
        assert theirs(key_of(platform, r.shop.secret), genuine)
        assert not theirs(key_of(platform, r.shop.stranger), genuine)
        at = datetime.now(UTC)
        headers = {
            **genuine.headers, "webhook-id": "msg_theirs", "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": webhook.sign("msg_theirs", at, genuine.body.decode()),
        }  # fmt: skip
        await r.refused(evolve(genuine, headers={**headers, "webhook-id": "msg_other"}))
        assert await r.receive(evolve(genuine, headers=headers)) is Answer.ACCEPTED


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40).map(str.encode)
KINDS = ("good", "another key", "another body", "a bit flipped", "v2", "v1a", "empty")


def signature(kind: str, key: bytes, body: bytes, at: int) -> str:
    good = standard(key, body, 1, at)["webhook-signature"]
    digest = base64.b64decode(good.removeprefix("v1,"))
    return {
        "good": good,
        "another key": standard(key + b"x", body, 1, at)["webhook-signature"],
        "another body": standard(key, body + b" ", 1, at)["webhook-signature"],
        "a bit flipped": f"v1,{base64.b64encode(bytes([digest[0] ^ 1]) + digest[1:]).decode()}",
        "v2": good.replace("v1,", "v2,"),
        "v1a": good.replace("v1,", "v1a,"),
        "empty": "v1,",
    }[kind]


@pytest.mark.parametrize("scheme", [evolve(BIGCOMMERCE, tolerance_s=WINDOW_S), ETSY], ids=["bigcommerce", "etsy"])
@settings(max_examples=150, deadline=None)
@given(
    key=KEYS, body=st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5),
    off_s=st.sampled_from([0, WINDOW_S - 20, WINDOW_S + 20, 20 - WINDOW_S, -WINDOW_S - 20]),
    without=st.sampled_from(["", "", "", "", "webhook-id", "webhook-timestamp", "webhook-signature"]),
    stamp=st.sampled_from(["", "", "", "", "x", "1e9x", " "]),
)  # fmt: skip
@example(key=b"k", body=b"{}", kinds=["good"], off_s=0, without="", stamp="")
@example(key=b"k", body=b"{}", kinds=["good"], off_s=WINDOW_S + 20, without="", stamp="")
@example(key=b"k", body=b"{}", kinds=["good"], off_s=-WINDOW_S - 20, without="", stamp="")
@example(key=b"k", body=b"{}", kinds=["another key", "v2", "v1a", "good"], off_s=0, without="", stamp="")
@example(key=b"k", body=b"{}", kinds=["v2"], off_s=0, without="", stamp="")
@example(key=b"k", body=b"{}", kinds=["v1a"], off_s=0, without="", stamp="")
def test_whatever_comes_the_library_and_we_say_the_same(
    scheme: SignatureScheme, key: bytes, body: bytes, kinds: list[str], off_s: int, without: str, stamp: str
) -> None:
    at = int(time.time()) + off_s
    headers = standard(key, body, 1, at)
    headers["webhook-signature"] = " ".join(signature(kind, key, body, at) for kind in kinds)
    if stamp:
        headers["webhook-timestamp"] = stamp
    headers.pop(without, None)
    delivery = Delivery(headers, body)
    said = ours(scheme, key, delivery)
    assert said == theirs(key, delivery)
    assert said == ("good" in kinds and abs(off_s) < WINDOW_S and not without and not stamp)
