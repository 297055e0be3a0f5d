"""The public port: `POST /webhooks/{channel}` and `GET /healthz`, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from attrs import define

from daemon.domain.channel import Delivery
from daemon.ingress.http_types import HttpRequest, HttpResponse, RequestHead
from daemon.ingress.receiver import Answer, Intake, Receiver
from daemon.ingress.signature import header_map

RETRY_AFTER = (("Retry-After", "5"),)
PREFIX = "/webhooks/"


@define
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
        if not head.path.startswith(PREFIX) or self._channel(head.path) is None:
            return HttpResponse(404, b"there is nothing here\n")
        if head.method != "POST":
            return _not_allowed("POST")
        return self.max_body_bytes

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer an admitted request."""
        if request.path == "/healthz":
            reason = "stopping" if self.stopping else self.not_ready()
            return HttpResponse(503, f"{reason}\n".encode(), RETRY_AFTER) if reason else HttpResponse(200, b"ready\n")
        intake = self._channel(request.path)
        assert intake is not None
        delivery = Delivery(header_map(request.headers), request.body, request.query, self.wall_us())
        answer = await self.receiver.receive(intake, delivery)
        status, text = answer.value
        return HttpResponse(status, f"{text}\n".encode(), RETRY_AFTER if answer is Answer.BUSY else ())

    def _channel(self, path: str) -> Intake | None:
        return self.intakes.get(unquote(path[len(PREFIX) :]))


def _not_allowed(allowed: str) -> HttpResponse:
    return HttpResponse(405, b"method not allowed\n", (("Allow", allowed),))
