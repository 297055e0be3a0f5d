"""Platforms that the sandbox is not by itself: one without compare-and-set, and one that takes webhook subscriptions
over its API and may silently switch them off."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

import adapters.sandbox
from daemon.domain.channel import Adapter, Push, Setup
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Outcome

PUBLIC_URL = "https://onhand.test"


class BlindAdapter(adapters.sandbox.SandboxAdapter):
    """The sandbox as a platform that knows no compare-and-set."""

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        return super().push([Push(push.listing, push.level, None, push.generation) for push in batch], key)


def blind(setup: Setup) -> BlindAdapter:
    """Build the blind one."""
    made = adapters.sandbox.PLATFORM.build(setup)
    assert isinstance(made, adapters.sandbox.SandboxAdapter)
    return BlindAdapter(made.base_url, evolve(made.traits, compare_and_set=False))


def subscribing(setup: Setup) -> Adapter:
    """Build the one that takes subscriptions."""
    return adapters.sandbox.PLATFORM.build(evolve(setup, options={**setup.options, "subscriptions": "true"}))
