"""A fresh Vendure gets what it needs to sell: a country, taxes, shipping, a way to pay, products with variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.vendure.graphql import Client, Json

LOGIN = """mutation($name: String!, $password: String!) {
  login(username: $name, password: $password) { __typename ... on ErrorResult { errorCode } }
}"""
COUNTRY = """mutation {
  createCountry(input: {code: "US", enabled: true, translations: [{languageCode: en, name: "US"}]}) { id }
}"""
ZONE = 'mutation($country: [ID!]!) { createZone(input: {name: "Everywhere", memberIds: $country}) { id } }'
TAX_CATEGORY = 'mutation { createTaxCategory(input: {name: "standard", isDefault: true}) { id } }'
TAX_RATE = """mutation($zone: ID!, $category: ID!) {
  createTaxRate(input: {name: "none", enabled: true, value: 0, categoryId: $category, zoneId: $zone}) { id }
}"""
ACTIVE_CHANNEL = "query { activeChannel { id } }"
ZONES_OF_CHANNEL = """mutation($id: ID!, $zone: ID!) {
  updateChannel(input: {id: $id, defaultTaxZoneId: $zone, defaultShippingZoneId: $zone}) {
    __typename ... on ErrorResult { errorCode }
  }
}"""
SHIPPING = """mutation {
  createShippingMethod(input: {
    code: "post", fulfillmentHandler: "manual-fulfillment",
    checker: {code: "default-shipping-eligibility-checker", arguments: [{name: "orderMinimum", value: "0"}]},
    calculator: {code: "default-shipping-calculator", arguments: [
      {name: "rate", value: "100"}, {name: "includesTax", value: "auto"}, {name: "taxRate", value: "0"}]},
    translations: [{languageCode: en, name: "Post", description: ""}]
  }) { id }
}"""
PAYMENT = """mutation {
  createPaymentMethod(input: {
    code: "dummy", enabled: true,
    handler: {code: "dummy-payment-handler", arguments: [{name: "automaticSettle", value: "true"}]},
    translations: [{languageCode: en, name: "Dummy"}]
  }) { id }
}"""
PRODUCT = """mutation($name: String!, $slug: String!) {
  createProduct(input: {
    enabled: true, translations: [{languageCode: en, name: $name, slug: $slug, description: ""}]
  }) { id }
}"""
OPTIONS = """mutation($code: String!, $options: [CreateGroupOptionInput!]!) {
  createProductOptionGroup(input: {
    code: $code, translations: [{languageCode: en, name: $code}], options: $options
  }) { id options { id code } }
}"""
WITH_OPTIONS = """mutation($product: ID!, $group: ID!) {
  addOptionGroupToProduct(productId: $product, optionGroupId: $group) { id }
}"""
VARIANTS = """mutation($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id sku } }"""
API_KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }"""
ROLES = "query { roles { items { id code } } }"


async def log_in(admin: Client, name: str, password: str) -> None:
    await admin.do(LOGIN, name=name, password=password)


async def open_shop(admin: Client) -> None:
    """All that a shop needs before anybody can buy; the merchant is logged in."""
    country = (await admin.do(COUNTRY))["id"]
    zone = (await admin.do(ZONE, country=[country]))["id"]
    category = (await admin.do(TAX_CATEGORY))["id"]
    await admin.do(TAX_RATE, zone=zone, category=category)
    channel = (await admin.do(ACTIVE_CHANNEL))["id"]
    await admin.do(ZONES_OF_CHANNEL, id=channel, zone=zone)
    await admin.do(SHIPPING)
    await admin.do(PAYMENT)


async def put_on_sale(admin: Client, name: str, stock: Mapping[str, int]) -> dict[str, str]:
    """One product, a variant of it for each SKU with so many on hand. The variants' ids by SKU."""
    product = (await admin.do(PRODUCT, name=name, slug=name.lower()))["id"]
    codes = {sku.lower(): sku for sku in stock}
    options = [{"code": code, "translations": [{"languageCode": "en", "name": code}]} for code in codes]
    group = await admin.do(OPTIONS, code=f"{name.lower()}-kind", options=options)
    await admin.do(WITH_OPTIONS, product=product, group=group["id"])
    made = await admin.do(VARIANTS, input=[_variant(product, option, codes[option["code"]], stock) for option in
                                           group["options"]])  # fmt: skip
    return {variant["sku"]: variant["id"] for variant in made}


def _variant(product: str, option: Json, sku: str, stock: Mapping[str, int]) -> Json:
    return {
        "productId": product, "sku": sku, "price": 1000, "stockOnHand": stock[sku], "trackInventory": "TRUE",
        "optionIds": [option["id"]], "translations": [{"languageCode": "en", "name": sku}],
    }  # fmt: skip


async def api_key(admin: Client) -> str:
    """A key for the admin API with every permission, as a shop's owner would make one."""
    roles: Sequence[Json] = (await admin.do(ROLES))["items"]
    role = next(role["id"] for role in roles if role["code"] == "__super_admin_role__")
    wish = {"roleIds": [role], "translations": [{"languageCode": "en", "name": "onhand"}]}
    return str((await admin.do(API_KEY, input=wish))["apiKey"])
