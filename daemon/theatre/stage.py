"""The stage: storefronts as real HTTP servers on loopback, and a real daemon between them, in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from attrs import define, evolve

from adapters import PLATFORMS
from adapters.storefront import Storefront
from adapters.storefront.faults import Faults
from daemon.app.daemon import Daemon, serve
from daemon.app.main import real_ports
from daemon.config import Config, read_config
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.events import Event, Severity
from daemon.ingress.listeners import tcp_listeners, unix_listener
from daemon.notify import Notifier
from daemon.outbound.http import AddressPolicy, HttpClient, open_http_client
from daemon.ports import wall_us
from daemon.telemetry import Telemetry
from daemon.theatre.admin_socket import AdminSocket
from daemon.theatre.storefront_server import serve_storefront, webhook_policy
from daemon.theatre.truth import Book, read_book

LOOPBACK: Final = "127.0.0.1"
SHOPPERS_MAX: Final = 32
"""Calls of shoppers under way at the same time."""
START_S: Final = 20.0
LOOK_S: Final = 0.02
"""Between two looks at whether something has come about."""
TIMEOUT_S: Final = 2.0
REQUEST_LIFE_S: Final = 8.5
POLL_S: Final = 2.0
"""The daemon's patience with a storefront, the longest life of a request there (its late writes come within 8 s),
and how often it reads the orders itself: shorter than in a shop, so that an hour's trouble fits into a minute."""
FLAWLESS: Final = Faults()


class CallFailedError(Exception):
    """A storefront did not answer a shopper, or answered what no shopper should see."""


@define(eq=False)
class Stage:
    """Storefronts by name, the daemon, and the ways in that shoppers and staff have."""

    stores: dict[str, Storefront]
    daemon: Daemon
    admin: AdminSocket
    webhook_urls: dict[str, str]
    _urls: dict[str, str]
    _http: HttpClient
    errors: list[dict[str, Any]]
    """What the daemon logged as an error, and what broke in a storefront."""

    # -- shoppers and staff --

    async def call(self, store: str, path: str, body: object = None, *, post: bool = True) -> Response:
        """One call of a shopper at a storefront, whatever its status. Raises `CallFailedError` without an answer."""
        payload = b"" if body is None else msgspec.json.encode(body)
        request = Request(
            "POST" if post else "GET", self._urls[store] + path, {"content-type": "application/json"}, payload
        )
        return await self.send(request)

    async def send(self, request: Request) -> Response:
        """Any request to the stage's own servers."""
        reply = await self._http.send(request)
        if not isinstance(reply, Response) or reply.status >= 500:
            raise CallFailedError(f"{request.method} {request.url}: {reply}")
        return reply

    async def order(self, store: str, lines: Sequence[tuple[str, int]]) -> str:
        """Buy (SKU, units); the order's id, or "" where the storefront shows too few."""
        wanted = {"lines": [{"sku": sku, "quantity": units} for sku, units in lines]}
        answer = await self.call(store, "/orders", wanted)
        return str(msgspec.json.decode(answer.body)["id"]) if answer.status == 201 else ""

    async def misbehave(self, faults: Mapping[str, Faults]) -> None:
        """Set the faults of some storefronts."""
        for store, wanted in faults.items():
            await self.call(store, "/faults", wanted)

    async def books(self) -> list[Book]:
        """Every storefront's ledger."""
        return [
            read_book(msgspec.json.decode((await self.call(name, "/ledger", post=False)).body))
            for name in self.stores
        ]

    # -- watching --

    def shown(self, sku: str) -> dict[str, int]:
        """What each storefront that lists the SKU shows right now."""
        return {
            name: store.shop.by_sku[sku].quantity for name, store in self.stores.items() if sku in store.shop.by_sku
        }

    def truth(self, sku: str) -> int:
        """What is left of it by the storefronts' own account, if nobody counted since; negative is owed."""
        selling = [store for store in self.stores.values() if sku in store.shop.by_sku]
        moved = sum(store.shop.given_back[sku] - store.shop.sold[sku] for store in selling)
        return selling[0].ledger.initial[selling[0].shop.by_sku[sku].id] + moved

    def converged(self) -> bool:
        """Does every storefront show the right number, does the daemon know it, and is nothing left to do?"""
        skus = {sku for store in self.stores.values() for sku in store.shop.by_sku}
        return not self.open_listings() and all(self._right(sku) for sku in skus)

    def _right(self, sku: str) -> bool:
        truth, state = self.truth(sku), self.daemon.parts.registry.peek(sku)
        known = state is not None and state.available == truth
        return known and set(self.shown(sku).values()) == {max(0, truth)}

    def open_listings(self) -> int:
        """Listings for which the daemon still has something to do."""
        outbox = self.daemon.parts.outbox.statistics()
        return outbox.pending + outbox.in_flight

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait for something that no event announces; False where it did not come about in time.

        What the daemon knew by then is durable on return: its socket shows events and dead letters only then.
        """
        came = False
        with trio.move_on_after(within_s):
            while not (came := condition()):  # noqa: ASYNC110 - storefronts announce nothing to bystanders
                await trio.sleep(LOOK_S)
        await self.daemon.parts.store.flush()
        return came

    def breakages(self) -> list[str]:
        """Errors that no trouble outside explains: anything but a push given up for good, and alarms."""
        return [
            f"{each['event']} {each.get('error', '')}".strip()
            for each in self.errors
            if each["event"] not in (Event.PUSH_DEAD.text, Event.ALARM_RAISED.text)
        ]


@asynccontextmanager
async def staged(
    stores: Sequence[Storefront], state: Path, kits: Mapping[str, Mapping[str, int]] | None = None
) -> AsyncIterator[Stage]:
    """Open the stage: it is ready when the daemon has counted and linked every listing.

    `state` is an empty directory for the daemon's state, `kits` as in config.yaml. Raises what `serve` raises.
    """
    public = await tcp_listeners(LOOPBACK, 0)
    port = public[0].socket.getsockname()[1]
    listeners = {store.name: await tcp_listeners(LOOPBACK, 0) for store in stores}
    ports = {name: found[0].socket.getsockname()[1] for name, found in listeners.items()}
    urls = {name: f"http://{LOOPBACK}:{each}" for name, each in ports.items()}
    hooks = {name: f"http://{LOOPBACK}:{port}/webhooks/{name}" for name in ports}
    hosts = frozenset(f"{LOOPBACK}:{each}" for each in [*ports.values(), port])
    errors: list[dict[str, Any]] = []
    http = _client(AddressPolicy(hosts, allow_plain=True, allow_private=True))
    clients = [http]
    async with trio.open_nursery() as nursery:
        for store in stores:
            hook_url = hooks[store.name]
            clients.append(_client(webhook_policy(hook_url)))
            serving = partial(
                serve_storefront, store, listeners[store.name], hook_url, clients[-1],
                wall_us, on_error=lambda error: errors.append({"event": "storefront", "error": repr(error)}),
            )  # fmt: skip
            await nursery.start(serving)
        config = read_config(_config_text(stores, urls, state, port, kits or {}), {}, PLATFORMS)
        daemon: Daemon = await nursery.start(_play, config, public, errors)
        by_name = {store.name: store for store in stores}
        stage = Stage(by_name, daemon, AdminSocket(config.admin_socket), hooks, urls, http, errors)
        with trio.fail_after(START_S):
            while not _ready(stage):  # noqa: ASYNC110 - what it waits for is not one event
                await trio.sleep(LOOK_S)
        try:
            yield stage
        finally:
            with trio.move_on_after(5, shield=True):
                daemon.stop()
                await daemon.ended.wait()
                for client in clients:
                    await client.aclose()
        nursery.cancel_scope.cancel()


def _ready(stage: Stage) -> bool:
    """Is every listing linked, and every SKU counted?"""
    skus = {sku for store in stage.stores.values() for sku in store.shop.by_sku}
    registry = stage.daemon.parts.registry
    states = [registry.peek(sku) for sku in sorted(skus)] if not stage.daemon.not_ready() else [None]
    return all(
        state is not None and state.available is not None and len(state.slots) == len(stage.shown(state.sku))
        for state in states
    )


async def _play(
    config: Config, public: Sequence[trio.SocketListener], errors: list[dict[str, Any]],
    *, task_status: trio.TaskStatus[Daemon] = trio.TASK_STATUS_IGNORED,
) -> None:  # fmt: skip
    """The daemon, with the sockets of the stage and without the surroundings of a service."""

    async def listen_public(host: str, port: int, /) -> Sequence[trio.SocketListener]:  # noqa: ARG001 - opened before
        await trio.lowlevel.checkpoint()
        return public

    async def listen_admin(path: str, /) -> Sequence[trio.abc.Listener[Any]]:
        await trio.lowlevel.checkpoint()
        return [unix_listener(path)]

    ports = evolve(real_ports(), environ={}, listen_public=listen_public, listen_admin=listen_admin)
    telemetry = Telemetry(
        wall_us=wall_us, write_line=lambda line: errors.append(msgspec.json.decode(line)), level=Severity.ERROR
    )
    await serve(config, PLATFORMS, ports, telemetry, Notifier({}), task_status=task_status)


def _config_text(
    stores: Sequence[Storefront], urls: Mapping[str, str], state: Path, port: int,
    kits: Mapping[str, Mapping[str, int]],
) -> str:  # fmt: skip
    """A configuration as a person would write it; JSON is YAML."""
    channels = {
        store.name: {
            "adapter": "sandbox", "base_url": urls[store.name], "webhook_secrets": [secret_of(store.name)],
            "timeout_s": TIMEOUT_S, "request_life_s": REQUEST_LIFE_S, "poll_interval_s": POLL_S,
        }
        for store in stores
    }  # fmt: skip
    document = {"state_dir": str(state), "listen": f"{LOOPBACK}:{port}", "channels": channels, "kits": kits}
    return json.dumps(document)


def secret_of(store: str) -> str:
    """What a storefront of the stage signs its webhooks with."""
    return f"secret-of-{store}"


def storefront(name: str, stock: Mapping[str, int], seed: int) -> Storefront:
    """A storefront that sells `stock`."""
    return Storefront(name, list(stock), stock, secret_of(name), seed, epoch=f"{wall_us() // SECOND_US:x}-")


def _client(policy: AddressPolicy) -> HttpClient:
    return open_http_client("httpx", policy=policy, max_connections=SHOPPERS_MAX, clock_us=wall_us)
