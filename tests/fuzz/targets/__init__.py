"""Every target, by name."""

from __future__ import annotations

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    admin,
    answers,
    channels,
    commands,
    configs,
    etsy,
    http,
    receiving,
    sheets,
    shopify,
    signatures,
    storage,
    tiktok,
    values,
    vendure,
    webhooks,
)

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for module in (
        values,
        signatures,
        http,
        webhooks,
        receiving,
        channels,
        shopify,
        tiktok,
        etsy,
        vendure,
        answers,
        configs,
        storage,
        admin,
        commands,
        sheets,
    )
    for target in module.TARGETS
}
