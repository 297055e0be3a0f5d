"""What a channel's twin must be able to do to be played: answer calls, sell, change orders, and fail as it fails."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode, urlsplit

import trio
from attrs import define

from adapters import PLATFORMS
from daemon.config_channels import ChannelConfig
from daemon.credentials import Secret, SecretRef
from daemon.domain.exchange import Reply, Request, Response
from daemon.domain.policy import Policy
from daemon.domain.sweep import SweepRules

NAME = "shop"
"""What the channel is called in the configuration."""
PUBLIC_URL = "https://sync.example.com"

WEEK_S = 7 * 86_400.0
"""Worlds are shorter."""

Sort = Literal["token", "orders", "stock", "write", "hooks", "job", "queue"]
"""What a call is for: a token, the order feed or one order, levels, a write of levels, subscriptions, what became of
a feed, a queue."""
Post = Callable[[str, bytes, Mapping[str, str]], Any]
"""Gives a webhook to the post: (URL, body, headers)."""


@define(eq=False)
class Sale:
    """An order of one line at the channel. `taken` and `shipped` are its units by the channel's own rules, as the
    sheet states them."""

    key: Any
    names: tuple[str, ...]
    """What answers that tell of it have in them, one or the other."""
    sku: str
    units: int
    at_s: float
    back: int = 0
    shipped: int = 0
    closed: bool = False
    """Nothing becomes of it any more."""

    @property
    def taken(self) -> int:
        return self.units - self.back


@define(eq=False)
class Surroundings:
    """What a stage is given: the clock (s since 1970), chance, and the post for its webhooks."""

    now_s: Callable[[], float]
    rng: random.Random
    nursery: trio.Nursery
    post: Post
    send: Callable[[str, bytes, dict[str, str]], Awaitable[int]]
    """As `post`, for twins that wait for the answer's status."""
    happened: Callable[[str], None]
    """Told a fault of the twin's own, by its kind, each time that it befalls something."""
    every: bool = False
    """Must each kind of fault be possible in this world?"""


class Stage:
    """One platform. Subclasses say what the platform's own is; each builds its twin in `__init__`.

    stock: units of each SKU that it shows at first · kinds: the faults that it can have beside those of every HTTP
    call · retries_s: a webhook that was not taken comes again after so long, each · contents: its webhooks hold the
    order itself
    """

    platform: str
    base_url = ""
    options: ClassVar[Mapping[str, str]] = MappingProxyType({})
    secrets: ClassVar[Mapping[str, str]] = MappingProxyType({})
    hook_secrets: tuple[str, ...] = ()
    inner: Mapping[str, Any] = MappingProxyType({})
    """Traits that no configuration sets, but a world does: feeds that begin at three listings. Empty: no feeds."""
    kinds: tuple[str, ...] = ()
    retries_s: tuple[float, ...] = ()
    contents = False
    applies_later = False
    """Does a write show only some time after it was taken in?"""
    window_s = 60.0
    """No write raises a listing over a sale that is older than this and unheard of: see `crossing.Raise`."""
    turn_s = 15.0
    """So long each kind of fault has its turn at a time, where every kind has one; the slower what happens here, the
    longer."""
    rests = False
    """There, does something of everything come each time, so that all is raised together? Else when it is nearly
    gone."""
    told_in_s = 0.0
    """The order feed may honestly be so late (the adapter's `feed_lag_s`)."""
    loses_tokens = True
    """May the answer to a token request be lost? Not where each refresh token is good once: a person would have to
    consent again, as they would at the platform."""

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        self.stock, self.around = dict(stock), around
        self.compared = True
        """Is every listing read now and then, whatever happens? Else what is wrong stays wrong."""
        self.sales: list[Sale] = []

    # -- what a subclass says --

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        """What the twin answers: status, body (bytes, or what becomes JSON; None: nothing), headers. At once: no time
        passes but while it waits for a webhook's answer."""
        raise NotImplementedError

    def sort(self, request: Request) -> Sort:
        raise NotImplementedError

    def shown(self, sku: str) -> int:
        """What shoppers can buy there now."""
        raise NotImplementedError

    def buy(self, sku: str, units: int) -> Sale:
        """An order of so many units; only of what it shows."""
        raise NotImplementedError

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        """What may become of an order next. Each brings `back` and `shipped` up to date."""
        raise NotImplementedError

    def asked(self, request: Request) -> Mapping[str, int]:
        """By SKU, what a write asks its listing to show shoppers."""
        raise NotImplementedError

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """As the platform says "too fast": come again after so long."""
        raise NotImplementedError

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        """(object, attribute): all that a read of it is answered from."""
        raise NotImplementedError

    def wrong(self, sku: str, available: int) -> str:
        """What is not right once all is at rest; empty where all is. `available`: the truth."""
        shown = self.shown(sku)
        return "" if shown == max(0, available) else f"{self.platform} shows {shown}"

    # -- what it may leave as it is --

    def settle(self) -> None:
        """Do what is due by now, so that nothing is done to a copy."""

    def expire(self) -> bool:
        """No access token is good any more. Is there any such thing?"""
        return False

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """Some items of a write are refused in an answer that says yes to others. None: not with this one."""
        return None

    def clear_up(self) -> None:
        """No fault of the twin's own any more."""

    def unrest(self, name: str) -> bool:
        """A fault of the twin's own begins (one of `kinds` that is no call's fate). Did it? Each time that it befalls
        something, `Surroundings.happened` is told."""
        return False

    async def answer_queue(self, request: Request) -> Reply:
        """A call to a queue, where it has one."""
        raise NotImplementedError

    # -- what all have --

    def config(self) -> ChannelConfig:
        def inline(value: str) -> SecretRef:
            return SecretRef("inline", inline=Secret(value))

        return ChannelConfig(
            NAME, self.platform, self.base_url or PLATFORMS[self.platform].default_base_url,
            tuple(map(inline, self.hook_secrets)), Policy(), allow_private=True,
            sweep=SweepRules(sweep_s=900.0 if self.compared else WEEK_S),
            overrides={"catalogue_interval_s": 3_600.0 if self.compared else WEEK_S}, options=dict(self.options),
            secrets={name: inline(value) for name, value in self.secrets.items()},
        )  # fmt: skip

    async def answer(self, request: Request) -> Response:
        """The answer as our HTTP client hands it on."""
        return self.said(*(await self.respond(request)))

    def said(self, status: int, content: Any, extra: Mapping[str, str]) -> Response:
        body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        now_s = self.around.now_s()
        headers = {"date": formatdate(now_s, usegmt=True)} | {name.lower(): value for name, value in extra.items()}
        return Response(status, headers, body, round(now_s * 1e6), round(now_s * 1e6))

    def snapshot(self, what: Literal["orders", "stock"]) -> list[Any]:
        """What is there now, to be shown later."""
        self.settle()
        return [copy.deepcopy(getattr(owner, name)) for owner, name in self.copies(what)]

    def differs(self, what: Literal["orders", "stock"], old: Sequence[Any]) -> bool:
        self.settle()
        return any(getattr(owner, name) != was for (owner, name), was in zip(self.copies(what), old, strict=True))

    @contextmanager
    def showing(self, what: Literal["orders", "stock"], old: Sequence[Any]) -> Iterator[None]:
        """Reads are answered from an old copy meanwhile."""
        self.settle()
        now = [getattr(owner, name) for owner, name in self.copies(what)]
        try:
            for (owner, name), was in zip(self.copies(what), old, strict=True):
                setattr(owner, name, was)
            yield
        finally:
            for (owner, name), was in zip(self.copies(what), now, strict=True):
                setattr(owner, name, was)

    def taken(self, sku: str) -> int:
        return sum(sale.taken for sale in self.sales if sale.sku == sku)

    def shipped(self, sku: str) -> int:
        """Units of orders that have left the shelf."""
        return sum(min(sale.shipped, sale.taken) for sale in self.sales if sale.sku == sku)

    def sold(self, key: Any, sku: str, units: int, *names: str) -> Sale:
        """Note a sale."""
        sale = Sale(key, names or (str(key),), sku, units, self.around.now_s())
        self.sales.append(sale)
        return sale


def wire(request: Request) -> tuple[str, dict[str, str]]:
    """Path and query, and all headers by their lower names."""
    parts = urlsplit(request.url)
    query = "&".join(filter(None, (parts.query, urlencode(request.secret_query))))
    headers = {name.lower(): value for name, value in {**request.headers, **request.secret_headers}.items()}
    return f"{parts.path}?{query}" if query else parts.path, headers


def json_of(request: Request) -> Any:
    return json.loads(request.body)
