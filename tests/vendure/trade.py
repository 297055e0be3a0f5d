"""What people do at a Vendure: shoppers buy, the merchant cancels, hands over, and looks at the shelf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import httpx

from tests.vendure.graphql import Client, Json, RefusedError

_ERROR = "__typename ... on ErrorResult { errorCode }"
ADD = f"""mutation($variant: ID!, $units: Int!) {{
  addItemToOrder(productVariantId: $variant, quantity: $units) {{ {_ERROR} }}
}}"""
CUSTOMER = f"""mutation($mail: String!) {{
  setCustomerForOrder(input: {{firstName: "A", lastName: "B", emailAddress: $mail}}) {{ {_ERROR} }}
}}"""
ADDRESS = f"""mutation {{
  setOrderShippingAddress(input: {{streetLine1: "x", city: "y", postalCode: "1", countryCode: "US"}}) {{ {_ERROR} }}
}}"""
METHODS = "query { eligibleShippingMethods { id } }"
METHOD = f"mutation($method: [ID!]!) {{ setOrderShippingMethod(shippingMethodId: $method) {{ {_ERROR} }} }}"
ARRANGE = f'mutation {{ transitionOrderToState(state: "ArrangingPayment") {{ {_ERROR} }} }}'
PAY = f"""mutation {{
  addPaymentToOrder(input: {{method: "dummy", metadata: {{}}}}) {{ {_ERROR} ... on Order {{ id code state }} }}
}}"""

CANCEL = f"""mutation($order: ID!, $lines: [OrderLineInput!]) {{
  cancelOrder(input: {{orderId: $order, lines: $lines, reason: "x", cancelShipping: false}}) {{ {_ERROR} }}
}}"""
HAND_OVER = f"""mutation($lines: [OrderLineInput!]!) {{
  addFulfillmentToOrder(input: {{lines: $lines, handler: {{
    code: "manual-fulfillment", arguments: [{{name: "method", value: "x"}}, {{name: "trackingCode", value: "y"}}]
  }}}}) {{ {_ERROR} ... on Fulfillment {{ id }} }}
}}"""
SENT = f'mutation($id: ID!) {{ transitionFulfillmentToState(id: $id, state: "Shipped") {{ {_ERROR} }} }}'
LINES = (
    "query($order: ID!) { order(id: $order) { lines { id quantity orderPlacedQuantity productVariant { sku } } } }"
)
SHELF = """query {
  productVariants(options: {take: 100}) { items { id sku stockLevels { stockOnHand stockAllocated } } }
}"""

Refused = Literal["sold out"]


async def buy(http: httpx.AsyncClient, url: str, variant: str, units: int, mail: str) -> Json | Refused:
    """One shopper's whole way through the checkout: the order, or that there were not so many. Raises `RefusedError`
    for everything else."""
    shopper = Client(http, f"{url}/shop-api")
    try:
        await shopper.do(ADD, variant=variant, units=units)
        await shopper.do(CUSTOMER, mail=mail)
        await shopper.do(ADDRESS)
        method = (await shopper.do(METHODS))[0]["id"]
        await shopper.do(METHOD, method=[method])
        await shopper.do(ARRANGE)
    except RefusedError as exc:
        if str(exc) in ("INSUFFICIENT_STOCK_ERROR", "ORDER_STATE_TRANSITION_ERROR"):
            return "sold out"
        raise
    return await shopper.do(PAY)


async def cancel(admin: Client, order: str, units: Mapping[str, int] | None = None) -> None:
    """Cancel so many units of the order's lines, all of it where none are given."""
    lines = [{"orderLineId": line, "quantity": some} for line, some in units.items()] if units else None
    await admin.do(CANCEL, order=order, lines=lines)


async def hand_over(admin: Client, order: str) -> None:
    """All of the order is packed and sent."""
    lines = [{"orderLineId": line["id"], "quantity": line["quantity"]} for line in await lines_of(admin, order)]
    fulfilment = await admin.do(HAND_OVER, lines=lines)
    await admin.do(SENT, id=fulfilment["id"])


async def lines_of(admin: Client, order: str) -> list[Json]:
    return list((await admin.do(LINES, order=order))["lines"])


async def shelf(admin: Client) -> dict[str, tuple[int, int]]:
    """(on hand, allocated) by SKU, in the shop's own books."""
    rows = (await admin.do(SHELF))["items"]
    return {row["sku"]: (sum(each["stockOnHand"] for each in row["stockLevels"]),
                         sum(each["stockAllocated"] for each in row["stockLevels"])) for row in rows}  # fmt: skip
