"""Storefronts without a system: a test does by hand what a good or a bad system would, and asks the judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapters.storefront import Storefront
from daemon.theatre.evidence import Evidence, Fact, Verdict
from daemon.theatre.fault_theatre import judge
from daemon.theatre.incidents import INCIDENTS
from daemon.theatre.incidents.acceptance import ACCEPTANCE

START_US = 1_795_413_600_000_000
SECOND_US = 1_000_000
BY_NAME = {incident.name: incident for incident in (*ACCEPTANCE, *INCIDENTS)}


class Puppets:
    """The storefronts of one incident's setting, on a clock that moves by `wait`."""

    def __init__(self, name: str) -> None:
        self.incident = BY_NAME[name]
        setting = self.incident.setting
        self.stores = {
            store: Storefront(store, list(setting.stock), setting.stock, "secret", 1) for store in setting.stores
        }
        for store in self.stores:
            self.misbehave(store)
        self.now_us = START_US
        self.facts: list[Fact] = []
        self.noted: dict[str, Any] = {}
        self.inside: dict[str, Any] | None = None

    def wait(self, seconds: float) -> None:
        self.now_us += int(seconds * SECOND_US)
        for store in self.stores.values():
            store.run_due(self.now_us)

    def note(self, *names: str, **figures: Any) -> None:
        self.noted |= dict.fromkeys(names, self.now_us) | figures

    def call(self, store: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        self.now_us += 1_000
        reply = self.stores[store].handle(
            method, path, b"" if body is None else json.dumps(body).encode(), self.now_us
        )
        return reply.status, json.loads(reply.body) if reply.body else None

    def sell(self, store: str, *lines: tuple[str, int]) -> str:
        wanted = {"lines": [{"sku": sku, "quantity": units} for sku, units in lines]}
        status, order = self.call(store, "POST", "/orders", wanted)
        assert status == 201, order
        return str(order["id"])

    def act(self, store: str, order: str, action: str, units: int = 0) -> None:
        lines = {"lines": [{"id": "1", "quantity": units}]} if units else {}
        assert self.call(store, "POST", f"/orders/{order}/{action}", lines)[0] == 200

    def edit(self, store: str, sku: str, units: int) -> None:
        assert self.call(store, "POST", "/edits", {"sku": sku, "quantity": units})[0] == 200

    def misbehave(self, store: str, *script: Mapping[str, Any], **faults: Any) -> None:
        rules = [dict(each) for each in script]
        for rule in rules:
            if rule.get("listing"):
                rule["listing"] = self.stores[store].shop.by_sku[rule["listing"]].id
        plain = store in self.incident.setting.plain
        body = json.dumps({"script": rules, "plain": plain, **faults}).encode()
        assert self.stores[store].handle("POST", "/faults", body, START_US).status == 200

    def put(self, store: str, levels: Mapping[str, int], expected: int | None = None, key: str = "") -> int:
        """One push; the status of its answer."""
        shelf = self.stores[store].shop.by_sku
        more = {} if expected is None else {"if_quantity": expected}
        items = [{"listing": shelf[sku].id, "quantity": level, **more} for sku, level in levels.items()]
        return self.call(store, "PUT", "/levels", {"items": items, "idempotency_key": key})[0]

    def push(self, sku: str, level: int, *stores: str) -> None:
        """Put the level at these storefronts, or at all."""
        for store in stores or self.stores:
            self.put(store, {sku: level})

    def hear(self, store: str, status: int | None = 200) -> None:
        """Answer every webhook that is due."""
        for hook in self.stores[store].due_webhooks(self.now_us):
            self.stores[store].delivered(hook.sending, status, self.now_us)

    def deliver(self, sku: str, units: int) -> None:
        """A delivery that the system is told of."""
        self.now_us += 1_000
        self.facts.append(Fact(self.now_us, sku, units))

    def verdict(self) -> Verdict:
        ledgers = {
            name: json.loads(store.handle("GET", "/ledger", b"", self.now_us).body)
            for name, store in self.stores.items()
        }
        found = Verdict()
        judge(self.incident, Evidence(ledgers, self.facts, self.noted, self.inside), found)
        return found

    def held(self) -> None:
        """The judge has nothing to object to, and said what happened."""
        found = self.verdict()
        assert found.problems == []
        assert found.told

    def failed(self, because: str) -> None:
        """The judge objects, for this reason."""
        problems = self.verdict().problems
        assert any(because in problem for problem in problems), problems
