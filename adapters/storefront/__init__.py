"""The storefront simulator's core: a shop as a pure state machine. No I/O, no clock, no hidden randomness."""

from __future__ import annotations

from adapters.storefront.front import Storefront
from adapters.storefront.outbox import Hook
from adapters.storefront.reply import StoreReply

__all__ = ["Hook", "StoreReply", "Storefront"]
