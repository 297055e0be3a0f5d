"""The scene of one incident: storefronts as real HTTP servers on loopback, the system between them as a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from attrs import define, field, frozen

from adapters.storefront import Storefront
from adapters.storefront.faults import ApiFaults, Faults, Garble, WebhookFaults
from adapters.storefront.script import Lateness, Rule
from daemon.domain.exchange import Request, Response
from daemon.ingress.listeners import tcp_listeners
from daemon.outbound.http import AddressPolicy, HttpClient, open_http_client
from daemon.ports import wall_us
from daemon.theatre.admin_socket import AdminRefusedError
from daemon.theatre.evidence import Evidence, Fact
from daemon.theatre.stage import LOOPBACK, CallFailedError, secret_of, storefront
from daemon.theatre.storefront_server import serve_storefront, webhook_policy
from daemon.theatre.systems import LOOK_S, StageTold, StoreTold, System, Timing

__all__ = ["ApiFaults", "Lateness", "Rule", "Scene", "Setting", "WebhookFaults", "on_scene"]

SHOPPERS_MAX: Final = 32
SETTLE_S: Final = 15.0
"""So long may the system take to put things right before the judge looks."""
CALM_S: Final = 0.3
"""After everything is right, so long is listened for an afterclap."""

MakeSystem = Callable[[StageTold, Path, HttpClient], System]


class NotJudgedError(Exception):
    """This system gives the incident no place to happen; the reason."""


@frozen
class Setting:
    """Who is on stage. stock: units by SKU, the same at every storefront · plain: storefronts that cannot compare
    and set · kits: component SKU to units, by kit SKU"""

    stock: Mapping[str, int]
    stores: tuple[str, ...] = ("market", "boutique")
    plain: tuple[str, ...] = ()
    timing: Timing = field(factory=Timing)
    kits: Mapping[str, Mapping[str, int]] = field(factory=dict)


@define(eq=False)
class Scene:
    """What an incident's play can do and see. Storefronts by name, in the order of the setting."""

    setting: Setting
    stores: dict[str, Storefront]
    system: System
    state_dir: Path
    webhook_urls: dict[str, str]
    _urls: dict[str, str]
    _http: HttpClient
    noted: dict[str, Any] = field(factory=dict)
    facts: list[Fact] = field(factory=list)
    inside: dict[str, Any] = field(factory=dict)

    # -- shoppers and staff of the storefronts --

    async def order(self, store: str, *lines: tuple[str, int]) -> str:
        """Buy (SKU, units); the order's id. Raises `CallFailedError` where the storefront refuses."""
        order = await self.try_order(store, *lines)
        if not order:
            raise CallFailedError(f"{store} refused an order of {lines}: it shows too few")
        return order

    async def try_order(self, store: str, *lines: tuple[str, int]) -> str:
        """The same; "" where the storefront shows too few."""
        wanted = {"lines": [{"sku": sku, "quantity": units} for sku, units in lines]}
        url, headers = self._urls[store] + "/orders", {"content-type": "application/json"}
        answer = await self.send(Request("POST", url, headers, msgspec.json.encode(wanted)))
        if answer.status not in (201, 409):
            raise CallFailedError(f"{store} refused an order: {answer.body.decode(errors='replace')}")
        return str(msgspec.json.decode(answer.body)["id"]) if answer.status == 201 else ""

    async def act(self, store: str, order: str, action: str, **more: Any) -> None:
        """Cancel, refund or fulfil an order."""
        await self._post(store, f"/orders/{order}/{action}", more)

    async def edit(self, store: str, sku: str, units: int) -> None:
        """Type a number over the one on show, in the storefront's own admin."""
        await self._post(store, "/edits", {"sku": sku, "quantity": units})

    async def misbehave(
        self, store: str, *script: Rule, webhook: WebhookFaults | None = None, api: ApiFaults | None = None,
        feed_lag_s: float = 0.0, garbled: Mapping[str, Garble] | None = None,
    ) -> None:  # fmt: skip
        """Set the storefront's faults anew; listings are named by their SKU."""
        shelf = self.stores[store].shop.by_sku
        named = [
            msgspec.structs.replace(each, listing=shelf[each.listing].id if each.listing else "") for each in script
        ]
        faults = Faults(
            webhook or WebhookFaults(), api or ApiFaults(), script=named, feed_lag_s=feed_lag_s,
            garbled={shelf[sku].id: word for sku, word in (garbled or {}).items()}, plain=store in self.setting.plain,
        )  # fmt: skip
        await self._post(store, "/faults", faults)

    async def behave(self, *stores: str) -> None:
        """No faults any more; no names: everywhere."""
        for store in stores or self.stores:
            await self.misbehave(store)

    async def _post(self, store: str, path: str, body: object) -> Any:
        url, headers = self._urls[store] + path, {"content-type": "application/json"}
        answer = await self.send(Request("POST", url, headers, msgspec.json.encode(body)))
        if answer.status // 100 != 2:
            raise CallFailedError(f"{store} refused {path}: {answer.body.decode(errors='replace')}")
        return msgspec.json.decode(answer.body)

    async def send(self, request: Request) -> Response:
        """Any request to the servers on stage. Raises `CallFailedError` without an answer."""
        answer = await self._http.send(request)
        if not isinstance(answer, Response):
            raise CallFailedError(f"{request.method} {request.url}: {answer}")
        return answer

    # -- the system --

    async def adjust(self, sku: str, units: int) -> None:
        """Tell the system that units came or went. Raises `NotJudgedError` where it cannot be told."""
        if not await self.system.adjust(sku, units):
            raise NotJudgedError("it cannot be told of a delivery (POST /facts)")
        self.facts.append(Fact(wall_us(), sku, units))

    async def kill(self) -> None:
        """SIGKILL."""
        await self.system.process.kill()

    async def look(self, name: str, *segments: str, **query: object) -> None:
        """Keep what the system says of itself at `segments` as the document `name`, where it has an inside."""
        if self.system.admin is not None:
            try:
                self.inside[name] = await self.system.admin.get(*segments, **query)
            except (OSError, AdminRefusedError) as error:
                self.inside[name] = {"error": str(error)}

    # -- watching --

    def note(self, name: str) -> int:
        """Remember this moment; returns it."""
        self.noted[name] = wall_us()
        return int(self.noted[name])

    def shown(self, sku: str) -> dict[str, int]:
        """What each storefront shows right now."""
        return {name: each.shop.by_sku[sku].quantity for name, each in self.stores.items() if sku in each.shop.by_sku}

    def left(self, sku: str) -> int:
        """What is left of it right now, by the storefronts' own account and what people told."""
        stores = [each for each in self.stores.values() if sku in each.shop.by_sku]
        moved = sum(each.shop.given_back[sku] - each.shop.sold[sku] for each in stores)
        told = sum(fact.units for fact in self.facts if fact.sku == sku)
        return stores[0].ledger.initial[stores[0].shop.by_sku[sku].id] + moved + told

    def right(self, *skus: str) -> bool:
        """Does every storefront show what is left of these SKUs (default: of all)?"""
        return all(set(self.shown(sku).values()) == {max(0, self.left(sku))} for sku in skus or self.setting.stock)

    async def until(self, condition: Callable[[], bool], within_s: float = SETTLE_S) -> bool:
        """Wait for something that no event announces; False where it did not come about in time."""
        with trio.move_on_after(within_s):
            while not condition():  # noqa: ASYNC110 - storefronts announce nothing to bystanders
                await trio.sleep(LOOK_S)
            return True
        return False

    async def until_right(self, *skus: str, within_s: float = SETTLE_S) -> bool:
        """Wait until every storefront shows what is left, and a moment longer: an afterclap is seen as well."""
        came = await self.until(lambda: self.right(*skus), within_s)
        if came:
            await trio.sleep(CALM_S)
        return came

    async def until_heard(self, store: str, within_s: float = SETTLE_S) -> bool:
        """Wait until every message of the storefront that left it has been answered 2xx, or has been given up."""
        waiting = ("waiting", "in_flight")
        return await self.until(
            lambda: all(each.state not in waiting for each in self.stores[store].outbox.records), within_s
        )

    async def evidence(self) -> Evidence:
        """All there is to judge by, as it is now."""
        ledgers = {}
        for name, url in self._urls.items():
            answer = await self.send(Request("GET", f"{url}/ledger"))
            ledgers[name] = msgspec.json.decode(answer.body)
        inside = None
        if self.system.admin is not None:
            await self.look("status", "status")
            await self.look("dead_letters", "dead-letters")
            inside = self.inside | {"log": self.system.log()}
        return Evidence(ledgers, self.facts, self.noted, inside)


@asynccontextmanager
async def on_scene(setting: Setting, folder: Path, make_system: MakeSystem) -> AsyncIterator[Scene]:
    """Open the scene in an empty folder: the system runs and knows every listing. Raises `SystemFailedError`."""
    stores = {name: storefront(name, setting.stock, seed) for seed, name in enumerate(setting.stores)}
    listeners = {name: await tcp_listeners(LOOPBACK, 0) for name in stores}
    urls = {name: f"http://{LOOPBACK}:{_port(found)}" for name, found in listeners.items()}
    listen = f"{LOOPBACK}:{await _free_port()}"
    state = folder / "state"
    told = StageTold(
        listen, str(state),
        tuple(StoreTold(name, urls[name], secret_of(name), name not in setting.plain) for name in stores),
        tuple(setting.stock), setting.timing, kits=setting.kits,
    )  # fmt: skip
    hooks = {name: f"http://{listen}/webhooks/{name}" for name in stores}
    hosts = frozenset({listen, *(url.removeprefix("http://") for url in urls.values())})
    http = _client(AddressPolicy(hosts, allow_plain=True, allow_private=True))
    clients = [http]
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery:
        for name, store in stores.items():
            store.set_faults(Faults(plain=name in setting.plain))
            clients.append(_client(webhook_policy(hooks[name])))
            serving = partial(
                serve_storefront, store, listeners[name], hooks[name], clients[-1], wall_us, on_error=errors.append
            )
            await nursery.start(serving)
        system = make_system(told, folder, http)
        try:
            await system.start()
            yield Scene(setting, stores, system, state, hooks, urls, http)
        finally:
            with trio.move_on_after(10, shield=True):
                await system.process.kill()
                for client in clients:
                    await client.aclose()
        nursery.cancel_scope.cancel()
    if errors:
        raise CallFailedError(f"a storefront failed to answer a call: {errors[0]!r}")


def _port(listeners: Sequence[trio.SocketListener]) -> int:
    port: int = listeners[0].socket.getsockname()[1]
    return port


async def _free_port() -> int:
    """A port that nobody listens on at the moment; the system must have the same one in every life."""
    probe = await tcp_listeners(LOOPBACK, 0)
    port = _port(probe)
    for each in probe:
        await each.aclose()
    return port


def _client(policy: AddressPolicy) -> HttpClient:
    return open_http_client("httpx", policy=policy, max_connections=SHOPPERS_MAX, clock_us=wall_us)
