"""Every target, by name. A channel's CSV is not among them: nothing in the code reads CSV yet."""

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
    shopify,
    signatures,
    storage,
    tiktok,
    values,
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
        answers,
        configs,
        storage,
        admin,
        commands,
    )
    for target in module.TARGETS
}
