"""Every GraphQL document that is sent, and what each may cost at most (shopify.md §4, §5, §6).

Shopify charges an object 1 point, a list its `first` times what one entry costs, a mutation 10, and refuses a query
of more than 1000 points. How exactly nested lists are charged is not said, so each is sized for the dearest reading:
all of them multiplied. What a call really cost is given back, and learned from its answer.
"""

from __future__ import annotations

from typing import Final

COST_MAX: Final = 1_000.0

ORDERS_PER_PAGE: Final = 18
LINES_INLINE: Final = 10
REFUNDS_INLINE: Final = 2
ROWS_INLINE: Final = 4
LINES_PER_PAGE: Final = 100
REFUNDS_MAX: Final = 250
"""A list without a cursor: an order with as many refunds cannot be read to its end."""
REFUNDS_AT_ONCE: Final = 4
ROWS_PER_PAGE: Final = 100
VARIANTS_PER_PAGE: Final = 180
LEVELS_AT_ONCE: Final = 180
HOOKS_PER_PAGE: Final = 100

LINE_FIELDS: Final = "id sku quantity unfulfilledQuantity isGiftCard variant { id }"
ROW_FIELDS: Final = "quantity restockType lineItem { id }"
PAGE_INFO: Final = "pageInfo { hasNextPage endCursor }"

ORDERS: Final = f"""query Orders($first: Int!, $after: String, $query: String!) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    {PAGE_INFO}
    nodes {{
      id createdAt updatedAt
      lineItems(first: {LINES_INLINE}) {{ {PAGE_INFO} nodes {{ {LINE_FIELDS} }} }}
      refunds(first: {REFUNDS_INLINE}) {{
        id refundLineItems(first: {ROWS_INLINE}) {{ {PAGE_INFO} nodes {{ {ROW_FIELDS} }} }}
      }}
    }}
  }}
}}"""
ORDERS_COST: Final = 900.0

ORDER: Final = f"""query Order($id: ID!, $after: String) {{
  order(id: $id) {{
    id createdAt updatedAt
    lineItems(first: {LINES_PER_PAGE}, after: $after) {{ {PAGE_INFO} nodes {{ {LINE_FIELDS} }} }}
    refunds(first: {REFUNDS_MAX}) {{ id }}
  }}
}}"""
ORDER_COST: Final = 460.0

REFUNDS: Final = f"""query Refunds($ids: [ID!]!, $after: String) {{
  nodes(ids: $ids) {{
    ... on Refund {{
      id order {{ updatedAt }}
      refundLineItems(first: {ROWS_PER_PAGE}, after: $after) {{ {PAGE_INFO} nodes {{ {ROW_FIELDS} }} }}
    }}
  }}
}}"""
REFUNDS_COST: Final = 830.0

LOCATIONS: Final = "query Locations { locations(first: 2) { nodes { id name } } }"
LOCATIONS_COST: Final = 3.0

_AVAILABLE: Final = 'quantities(names: ["available"]) { name quantity }'

VARIANTS: Final = f"""query Variants($first: Int!, $after: String, $query: String, $location: ID!) {{
  productVariants(first: $first, after: $after, query: $query, sortKey: ID) {{
    {PAGE_INFO}
    nodes {{
      id sku displayName
      inventoryItem {{ id tracked duplicateSkuCount inventoryLevel(locationId: $location) {{ {_AVAILABLE} }} }}
    }}
  }}
}}"""
VARIANTS_COST: Final = 730.0

LEVELS: Final = f"""query Levels($ids: [ID!]!, $location: ID!) {{
  nodes(ids: $ids) {{
    ... on InventoryItem {{ id sku tracked inventoryLevel(locationId: $location) {{ {_AVAILABLE} }} }}
  }}
}}"""
LEVEL_COST: Final = 3.0
"""For each listing."""

SET_QUANTITIES: Final = """mutation SetQuantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id createdAt }
    userErrors { code field message }
  }
}"""
ACTIVATE: Final = """mutation Activate($item: ID!, $location: ID!, $available: Int!, $key: String!) {
  inventoryActivate(inventoryItemId: $item, locationId: $location, available: $available) @idempotent(key: $key) {
    inventoryLevel { quantities(names: ["available"]) { name quantity } }
    userErrors { field message }
  }
}"""
WRITE_COST: Final = 20.0

HOOKS: Final = f"""query Hooks($first: Int!, $after: String) {{
  webhookSubscriptions(first: $first, after: $after) {{ {PAGE_INFO} nodes {{ id topic uri }} }}
}}"""
HOOKS_COST: Final = 110.0

_HOOK_ANSWER: Final = "{ webhookSubscription { id topic uri } userErrors { field message } }"

SUBSCRIBE: Final = f"""mutation Subscribe($topic: WebhookSubscriptionTopic!, $hook: WebhookSubscriptionInput!) {{
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $hook) {_HOOK_ANSWER}
}}"""
RESUBSCRIBE: Final = f"""mutation Resubscribe($id: ID!, $hook: WebhookSubscriptionInput!) {{
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $hook) {_HOOK_ANSWER}
}}"""
