"""Our own ceiling: the daemon's listener with a handler that answers 200 without any work.

python -m tests.bench.noop PORT
"""

from __future__ import annotations

import sys
import time

import trio

from daemon.ingress.listeners import tcp_listeners
from daemon.ingress.server import HttpRequest, HttpResponse, HttpServer, RequestHead


class Nothing:
    """Takes every body and answers as an accepted webhook is answered."""

    def admit(self, head: RequestHead) -> HttpResponse | int:
        return 1 << 20

    async def respond(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b"accepted\n")


def complain(error: Exception) -> None:
    """Nothing may fail here."""
    raise error


async def main(port: int) -> None:
    """Serve until killed."""
    server = HttpServer(Nothing(), on_error=complain, wall_clock=time.time)
    await server.serve(await tcp_listeners("127.0.0.1", port))


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
