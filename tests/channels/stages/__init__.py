"""Each native channel as a stage, by the name of its adapter. A new one is a module here and a name below."""

from __future__ import annotations

from typing import Final

from tests.channels.stage import Stage
from tests.channels.stages.amazon import Amazon
from tests.channels.stages.bigcommerce import BigCommerce
from tests.channels.stages.ebay import Ebay
from tests.channels.stages.etsy import Etsy
from tests.channels.stages.shopify import Shopify
from tests.channels.stages.tiktok_shop import TiktokShop
from tests.channels.stages.vendure import Vendure
from tests.channels.stages.walmart import Walmart
from tests.channels.stages.woocommerce import WooCommerce

STAGES: Final[dict[str, type[Stage]]] = {
    stage.platform: stage
    for stage in (Amazon, BigCommerce, Ebay, Etsy, Shopify, TiktokShop, Vendure, Walmart, WooCommerce)
}  # fmt: skip
