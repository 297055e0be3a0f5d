"""One module per sales platform: bytes in, values out, no I/O."""

from __future__ import annotations

from typing import Final

from adapters import amazon, bigcommerce, ebay, etsy, sandbox, shopify, tiktok_shop, vendure, walmart, woocommerce
from daemon.domain.channel import Platform

PLATFORMS: Final[dict[str, Platform]] = {
    platform.name: platform
    for platform in (
        amazon.PLATFORM,
        bigcommerce.PLATFORM,
        ebay.PLATFORM,
        etsy.PLATFORM,
        sandbox.PLATFORM,
        shopify.PLATFORM,
        tiktok_shop.PLATFORM,
        vendure.PLATFORM,
        walmart.PLATFORM,
        woocommerce.PLATFORM,
    )
}
"""What a channel may name as its `adapter`."""
