"""Who has a place at a server: so many clients in all, so many of one peer, and who gives way when all are taken."""

from __future__ import annotations

from collections import deque
from ipaddress import IPv6Address, ip_address
from typing import Final, Generic, Protocol, TypeVar

from daemon.ingress.http_types import Limits

GIVE_WAY_AFTER_S: Final = 0.5
"""Whoever has been waited for so long may lose the place to a newcomer."""
LOOK_ROUND_S: Final = 0.05
"""How often at most all places are looked over for those who may give way."""
_IPV6_SITE_BITS: Final = 64


class Client(Protocol):
    """Somebody who has a place."""

    def awaited_since(self) -> float | None:
        """Since when the server waits for this client (Trio's clock); None while the client waits for the server."""
        ...

    @property
    def served(self) -> int:
        """Requests it was answered so far."""
        ...

    def give_way(self) -> None:
        """Leave at once, without a word. Must not block or raise."""
        ...


C = TypeVar("C", bound=Client)


class Places(Generic[C]):
    """The places of one server. When all are taken, a client that keeps us waiting loses its place to a newcomer:
    first those that never finished a request, the longest awaited first. So a crowd that connects and dawdles
    cannot shut out those that come, ask and go.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._peer_of: dict[C, str] = {}  # a dict for its order: no decision may depend on hashes
        self._of_peer: dict[str, int] = {}
        self._dawdlers: deque[C] = deque()
        self._look_again_at = 0.0
        self.gave_way = 0

    @property
    def clients(self) -> dict[C, str]:
        """All who have a place, in the order they came."""
        return self._peer_of

    def objection(self, peer: str, now: float) -> str:
        """Why a client of this address cannot have a place `now` (Trio's clock); empty where it can. May free one."""
        own_max = self._limits.max_connections_per_peer
        if own_max and peer and self._of_peer.get(site_of(peer), 0) >= own_max:
            return "too many connections from your address"
        if len(self._peer_of) < self._limits.max_connections or self._make_room(now):
            return ""
        return "too many connections"

    def take(self, client: C, peer: str) -> None:
        """Give a place, whatever `objection` would say."""
        site = site_of(peer) if peer and self._limits.max_connections_per_peer else ""
        self._peer_of[client] = site
        if site:
            self._of_peer[site] = self._of_peer.get(site, 0) + 1

    def leave(self, client: C) -> None:
        """The place is free again."""
        site = self._peer_of.pop(client)
        if site:
            self._of_peer[site] -= 1
            if not self._of_peer[site]:
                del self._of_peer[site]

    def _make_room(self, now: float) -> bool:
        if not self._dawdlers and now >= self._look_again_at:
            self._look_again_at = now + LOOK_ROUND_S
            self._dawdlers = deque(self._found(now - GIVE_WAY_AFTER_S))
        while self._dawdlers:
            client = self._dawdlers.popleft()
            since = client.awaited_since() if client in self._peer_of else None
            if since is not None and since <= now - GIVE_WAY_AFTER_S:
                self.gave_way += 1
                client.give_way()
                return True
        return False

    def _found(self, before: float) -> list[C]:
        since = {client: client.awaited_since() for client in self._peer_of}
        found = [(client.served > 0, at, client) for client, at in since.items() if at is not None and at <= before]
        return [client for *_, client in sorted(found, key=lambda each: each[:2])]


def site_of(peer: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 that an IPv6 address is from (one customer has it all)."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{int(address) >> _IPV6_SITE_BITS:x}/64"
    return str(address)
