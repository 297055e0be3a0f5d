"""Deliveries that nobody should believe: forged, cut short, altered, replayed, for channels that do not exist."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

import trio

from adapters.storefront import Hook
from daemon.domain.instants import SECOND_US
from daemon.storage.environment import Head
from tests.simulation.fronts import STAMP, WINDOW_S
from tests.simulation.invariants import broken

if TYPE_CHECKING:
    from tests.simulation.fronts import Front
    from tests.simulation.world import World

SIGNATURE = "x-sandbox-signature"
KINDS = ("forged", "altered", "cut short", "cut off", "unsigned", "replayed too late", "for no channel")
REFUSED = {"cut off": (None, 400, 408), "for no channel": (404,)}
"""The answers to each kind; 401 to all others. Cut off: its sender hangs up within the body."""


class Strangers:
    """Knock at the daemon's door with what looks like the storefronts' own deliveries."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("strangers")
        self.number = 0

    async def run(self) -> None:
        """Now and then, for ever."""
        while True:
            await trio.sleep(self.rng.expovariate(1 / 200.0))
            await self.knock(self.rng.choice(self.world.front_list))

    async def knock(self, front: Front) -> None:
        """One delivery, which must be refused."""
        if not front.recent:
            return
        kind, hook = self.rng.choice(KINDS), self.rng.choice(list(front.recent))
        if kind == "replayed too late" and not self._too_late(hook):
            kind = "forged"
        life = self.world.life
        channel, headers, body, sent = self._mistreated(kind, front, hook)
        status = await front.post(channel, headers, body, sent=sent)
        allowed = REFUSED.get(kind, (401,))
        if life is None or life is not self.world.life or not life.up or front.cut_off:
            return
        self.world.fault(f"delivery {kind}")
        # A daemon that starts, stops or cannot write says so before it looks; one that dies says nothing.
        if status not in (*allowed, None, 503):
            self.world.fail(broken("I12", f"{front.name}: a delivery {kind} was answered {status}"))

    def _too_late(self, hook: Hook) -> bool:
        return self.world.wall_us() // SECOND_US - int(hook.headers[STAMP]) > WINDOW_S + 1

    def _mistreated(self, kind: str, front: Front, hook: Hook) -> tuple[str, dict[str, str], bytes, int | None]:
        """(channel, headers, body, bytes of it that are sent)"""
        headers, body = dict(hook.headers), hook.body
        headers[STAMP] = str(self.world.wall_us() // SECOND_US)
        match kind:
            case "replayed too late":
                return front.name, hook.headers, hook.body, None
            case "for no channel":
                return f"{front.name}-2", hook.headers, hook.body, None
            case "unsigned":
                del headers[SIGNATURE]
            case "forged":
                # A fresh name and a fresh order: what it says would be news, if anybody believed it.
                self.number += 1
                headers["x-sandbox-delivery"] = f"X-{self.number}"
                body = body.replace(b'"id":"O-', b'"id":"X-')
                body = body.replace(b'"sku":"', b'"sku":"X').replace(b'"listing":"', b'"listing":"X')
                digest = hmac.digest(b"a guess", f"{headers[STAMP]}.".encode() + body, "sha256")
                headers[SIGNATURE] = base64.b64encode(digest).decode()
            case "altered":
                headers[STAMP] = hook.headers[STAMP]
                body = body.replace(b'"quantity":', b'"quantity":9').replace(b'"ordered":', b'"ordered":9')
            case "cut short":
                headers[STAMP] = hook.headers[STAMP]
                body = body[: self.rng.randrange(len(body))]
            case "cut off":
                return front.name, hook.headers, body, self.rng.randrange(len(body))
        return front.name, headers, body, None

    async def siege(self) -> None:
        """While all is at rest: many of them, and not a byte of the log may change by it."""
        life = self.world.life
        if life is None or life.daemon is None:
            return
        store = life.daemon.parts.store
        before = _ends(store.head)
        for front in self.world.front_list:
            for _ in range(3):
                await self.knock(front)
        if life is self.world.life and life.up and _ends(store.head) != before:
            self.world.fail(broken("I12", f"the log was {before} and is {_ends(store.head)}"))


def _ends(head: Head) -> tuple[int, bytes, int, int]:
    return (head.seq, head.chain, head.delivery, head.dead)
