"""Every GraphQL document that is sent to the admin API."""

from __future__ import annotations

from typing import Final

ORDERS_PER_PAGE: Final = 50
VARIANTS_PER_PAGE: Final = 100
LEVELS_AT_ONCE: Final = 100
LOCATIONS_MAX: Final = 100
"""A server refuses lists of more than it says, 1000 unless it was told otherwise."""

ORDER_FIELDS: Final = """id type orderPlacedAt updatedAt
    lines { id quantity orderPlacedQuantity productVariant { id sku } }
    fulfillments { state lines { orderLineId quantity } }
    modifications { lines { orderLineId quantity } }
    history(options: {take: 1, sort: {createdAt: DESC}, filter: {type: {notEq: "ORDER_NOTE"}}}) {
      totalItems items { createdAt }
    }"""


def _orders(name: str, field: str, of: str) -> str:
    # Sorted by one field alone: of several, a server takes the order of its schema, and there the id comes first.
    return f"""query {name}($after: DateTime!, $take: Int!, $skip: Int!) {{
  orders(options: {{filter: {{{of}}}, sort: {{{field}: ASC}}, take: $take, skip: $skip}}) {{
    items {{ {ORDER_FIELDS} }}
  }}
}}"""


ORDERS_PLACED: Final = _orders("OrdersPlaced", "orderPlacedAt", "orderPlacedAt: {after: $after}")
ORDERS_UPDATED: Final = _orders(
    "OrdersUpdated", "updatedAt", "updatedAt: {after: $after}, orderPlacedAt: {isNull: false}"
)

ORDER: Final = f"query Order($id: ID!) {{ order(id: $id) {{ {ORDER_FIELDS} }} }}"

_SHOP: Final = f"""globalSettings {{ trackInventory }}
  stockLocations(options: {{take: {LOCATIONS_MAX}}}) {{ items {{ id }} }}"""
_STOCK: Final = "id sku name trackInventory stockLevels { stockLocationId stockOnHand stockAllocated }"

VARIANTS: Final = f"""query Variants($take: Int!, $skip: Int!) {{
  {_SHOP}
  productVariants(options: {{sort: {{id: ASC}}, take: $take, skip: $skip}}) {{ totalItems items {{ {_STOCK} }} }}
}}"""

LEVELS: Final = f"""query Levels($ids: [String!]!, $take: Int!) {{
  {_SHOP}
  productVariants(options: {{filter: {{id: {{in: $ids}}}}, take: $take}}) {{ totalItems items {{ {_STOCK} }} }}
}}"""

SET_STOCK: Final = """mutation SetStock($input: [UpdateProductVariantInput!]!) {
  updateProductVariants(input: $input) { id stockLevels { stockLocationId stockOnHand stockAllocated } }
}"""

LOGIN: Final = """mutation Login($username: String!, $password: String!) {
  login(username: $username, password: $password) { __typename ... on ErrorResult { errorCode } }
}"""
