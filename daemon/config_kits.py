"""The kits of config.yaml: for each kit's SKU its components and how many of each are in one kit."""

from __future__ import annotations

from daemon.config_fields import Section
from daemon.domain.kits import UNITS_MAX
from daemon.domain.observations import BadSkuError, Recipe, check_sku

COMPONENTS_MAX = 100
"""Components of one kit; each sale of the kit is a line of its own for every one of them."""


def read_kits(kits: Section) -> dict[str, Recipe]:
    """Every kit, components sorted. SKUs stay exactly as they are written."""
    found: dict[str, Recipe] = {}
    for kit in kits.names():
        _check_sku(kits, kit)
        found[kit] = _read_recipe(kit, kits.section(kit))
    for kit, recipe in found.items():
        own = kits.section(kit)
        for component, _ in recipe:
            if component in found and component != kit:
                own.problem(component, "this is a kit itself: name the components of that kit here instead")
    return found


def _read_recipe(kit: str, own: Section) -> Recipe:
    units = {}
    for component in own.names():
        _check_sku(own, component)
        if component == kit:
            own.problem(component, "a kit cannot hold itself: name the SKUs that are on the shelf")
        units[component] = own.whole(component, 1, 1, UNITS_MAX)
    if not units:
        own.own_problem("name at least one component, like TEE-RED-M: 1")
    elif len(units) > COMPONENTS_MAX:
        own.own_problem(f"there are {len(units)} components: a kit takes at most {COMPONENTS_MAX}")
    return tuple(sorted(units.items()))


def _check_sku(section: Section, sku: str) -> None:
    try:
        check_sku(sku)
    except BadSkuError as error:
        section.problem(sku, str(error))
