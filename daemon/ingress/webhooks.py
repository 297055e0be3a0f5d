"""The public port: `POST /webhooks/{channel}`, `GET` there where the platform's handshake needs it, and
`GET /healthz`; nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from attrs import define

from daemon.domain.channel import Delivery
from daemon.domain.signatures import Fetched
from daemon.ingress.http_types import HttpRequest, HttpResponse, RequestHead
from daemon.ingress.receiver import Answer, Intake, Receiver
from daemon.ingress.signature import answer_challenge, header_map

RETRY_AFTER = (("Retry-After", "5"),)
PREFIX = "/webhooks/"


@define(repr=False)
class PublicHandler:
    """Routes requests of the public port. `not_ready` says why the daemon is not ready, or nothing.

    While it is `stopping` it takes no new connections, but whoever has one is still served: the store is there to the
    end, and a webhook that was already on its way need not come a second time.
    """

    receiver: Receiver
    intakes: Mapping[str, Intake]
    not_ready: Callable[[], str]
    wall_us: Callable[[], int]
    max_body_bytes: int = 1 << 20
    stopping: bool = False

    def admit(self, head: RequestHead) -> HttpResponse | int:
        """Decided before any byte of a body is read."""
        if head.path == "/healthz":
            return 0 if head.method in ("GET", "HEAD") else _not_allowed("GET, HEAD")
        intake = self._channel(head.path) if head.path.startswith(PREFIX) else None
        if intake is None or isinstance(intake.adapter.scheme, Fetched):
            return HttpResponse(404, b"there is nothing here\n")
        challenged = intake.adapter.challenge is not None
        if head.method == "GET" and challenged:
            return 0
        if head.method != "POST":
            return _not_allowed("GET, POST" if challenged else "POST")
        return self.max_body_bytes

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer an admitted request."""
        if request.path == "/healthz":
            reason = "stopping" if self.stopping else self.not_ready()
            return HttpResponse(503, f"{reason}\n".encode(), RETRY_AFTER) if reason else HttpResponse(200, b"ready\n")
        intake = self._channel(request.path)
        assert intake is not None
        if request.method == "GET":
            return _proof(intake, request.query)
        delivery = Delivery(header_map(request.headers), request.body, request.query, self.wall_us())
        answer = await self.receiver.receive(intake, delivery)
        status, text = answer.value
        body = b"" if status == 200 and intake.adapter.traits.empty_answers else f"{text}\n".encode()
        return HttpResponse(status, body, RETRY_AFTER if answer is Answer.BUSY else ())

    def _channel(self, path: str) -> Intake | None:
        return self.intakes.get(unquote(path[len(PREFIX) :]))


def _proof(intake: Intake, query: str) -> HttpResponse:
    """The answer to a platform that makes sure that this endpoint is ours."""
    challenge = intake.adapter.challenge
    assert challenge is not None
    if not intake.url:
        return HttpResponse(503, b"public_url is not configured\n", RETRY_AFTER)
    answer = answer_challenge(challenge, query, intake.url)
    if answer is None:
        return HttpResponse(400, f"the parameter {challenge.parameter} is missing\n".encode())
    return HttpResponse(200, answer, content_type="application/json")


def _not_allowed(allowed: str) -> HttpResponse:
    return HttpResponse(405, b"method not allowed\n", (("Allow", allowed),))
