"""What the public port does for platforms with a handshake, without a signature, or with a public key."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import trio
from attrs import define, field

from daemon.domain.channel import Delivery, Rarely, Traits
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import Challenge, KeyedSignature, Notice, PublicKeyScheme, Scheme, SignatureScheme
from daemon.ingress.http_types import Headers, HttpRequest, HttpResponse, RequestHead
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.receiver import Answer, Intake, Receiver
from daemon.ingress.webhooks import PublicHandler

URL = "https://sync.example.com/webhooks/shop"


@define
class Shop(Rarely):
    """As much of an adapter as the door needs. To parse anything would be an error here."""

    scheme: Scheme = field(factory=lambda: SignatureScheme("sig"))
    challenge: Challenge | None = None
    traits: Traits = field(factory=Traits)

    def greet(self, delivery: Delivery) -> bool:
        return False


@define
class Seen:
    """What the receiver's watcher was told."""

    answers: list[Answer] = field(factory=list)
    refusals: list[str] = field(factory=list)

    def received(self, channel: str, answer: Answer, **_: Any) -> None:
        self.answers.append(answer)

    def refused(self, channel: str, finding: str) -> None:
        self.refusals.append(finding)


def door(shop: Shop, seen: Seen | None = None, url: str = URL, **intake: Any) -> tuple[PublicHandler, list[str]]:
    """A door of one channel; its receiver has no store: a delivery that came so far would be an error."""
    looks: list[str] = []
    nothing: Any = None
    receiver = Receiver(nothing, nothing, nothing, nothing, seen or Seen(), lambda: 0)  # type: ignore[arg-type]  # it hears no more
    made = Intake("shop", shop, lambda now_us: ["s1"], nothing, lambda: looks.append("look"), url=url, **intake)  # type: ignore[arg-type]  # see Shop
    return PublicHandler(receiver, {"shop": made}, lambda: "", lambda: 0), looks


def head(method: str, path: str = "/webhooks/shop", query: str = "") -> RequestHead:
    return RequestHead(method, path, path, query, Headers())


async def ask(handler: PublicHandler, method: str, query: str = "", *headers: tuple[str, str]) -> HttpResponse:
    admitted = handler.admit(head(method, query=query))
    if isinstance(admitted, HttpResponse):
        return admitted
    return await handler.respond(
        HttpRequest(method, "/webhooks/shop", "/webhooks/shop", query, Headers(headers), b'{"id":1}')
    )


CHALLENGE = Challenge("challenge_code", "challengeResponse", "token-1")


async def test_a_challenge_is_answered_whenever_it_comes() -> None:
    handler, looks = door(Shop(challenge=CHALLENGE))
    for _ in range(2):
        answer = await ask(handler, "GET", "challenge_code=abc")
        assert (answer.status, answer.content_type) == (200, "application/json")
        digest = hashlib.sha256(f"abctoken-1{URL}".encode()).hexdigest()
        assert json.loads(answer.body) == {"challengeResponse": digest}
    assert looks == []


@pytest.mark.parametrize("query", ["", "challenge_code=", "challenge_code=a&challenge_code=a"])
async def test_a_get_without_a_challenge_is_told_so(query: str) -> None:
    handler, _ = door(Shop(challenge=CHALLENGE))
    answer = await ask(handler, "GET", query)
    assert (answer.status, answer.body) == (400, b"the parameter challenge_code is missing\n")


async def test_without_a_public_address_there_is_no_proof() -> None:
    handler, _ = door(Shop(challenge=CHALLENGE), url="")
    assert (await ask(handler, "GET", "challenge_code=abc")).status == 503


@pytest.mark.parametrize(
    ("shop", "allowed"), [(Shop(), "POST"), (Shop(challenge=CHALLENGE), "GET, POST")], ids=["plain", "challenged"]
)
async def test_other_methods_are_refused_before_a_body_is_read(shop: Shop, allowed: str) -> None:
    handler, _ = door(shop)
    answer = handler.admit(head("PUT"))
    assert isinstance(answer, HttpResponse)
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, allowed)
    if shop.challenge is None:
        assert isinstance(handler.admit(head("GET")), HttpResponse)
    else:
        assert handler.admit(head("GET")) == 0


async def test_a_notice_makes_us_look_and_leaves_nothing_behind() -> None:
    seen = Seen()
    handler, looks = door(Shop(scheme=Notice()), seen)
    assert (await ask(handler, "POST", "key=s1")).status == 200
    assert looks == ["look"]
    assert (await ask(handler, "POST", "key=s2")).status == 401
    assert (await ask(handler, "POST")).status == 401
    assert looks == ["look"]
    assert (seen.answers, seen.refusals) == ([Answer.ACCEPTED], ["wrong", "missing"])


@pytest.mark.parametrize(("empty", "body"), [(True, b""), (False, b"accepted\n")])
async def test_a_platform_that_wants_an_empty_answer_gets_one(empty: bool, body: bytes) -> None:
    handler, _ = door(Shop(scheme=Notice(), traits=Traits(empty_answers=empty)))
    assert (await ask(handler, "POST", "key=s1")).body == body
    assert (await ask(handler, "POST")).body == b"refused\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Failure(Outcome("transient", "503")), 503), (None, 401)],
    ids=["not to be had", "no such key"],
)
async def test_a_key_that_cannot_be_had_is_answered_503_and_never_accepted(answer: Any, status: int) -> None:
    async def asked(_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return answer

    scheme = PublicKeyScheme("x-sig", lambda text: KeyedSignature("k", b"s"), lambda key: iter(()))  # type: ignore[arg-type, return-value]  # not held
    seen = Seen()
    handler, looks = door(Shop(scheme=scheme), seen, public_keys=PublicKeys(scheme, asked))
    found = await ask(handler, "POST", "", ("x-sig", "anything"))
    assert found.status == status
    assert (dict(found.headers).get("Retry-After") == "5") == (status == 503)
    assert looks == []
