"""T10: a kit is sold as one and taken from the shelf as its parts, which others sell as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from daemon.theatre.evidence import Evidence, Verdict, in_words
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Scene, Setting

SHIRT, MUG, CAP, DUO, TRIO = "SHIRT", "MUG", "CAP", "DUO", "TRIO"
RECIPES: Final = {DUO: {SHIRT: 1, MUG: 2}, TRIO: {SHIRT: 1, CAP: 1}}
PARTS: Final = {SHIRT: 20, MUG: 30, CAP: 9}


def levels(kits_sold: Callable[[str], int], parts_left: Callable[[str], int]) -> dict[str, int]:
    """What every storefront should show of parts and kits; `parts_left` knows of no kits."""
    left = {
        part: parts_left(part) - sum(kits_sold(kit) * recipe.get(part, 0) for kit, recipe in RECIPES.items())
        for part in PARTS
    }
    made = {kit: min(left[part] // units for part, units in recipe.items()) for kit, recipe in RECIPES.items()}
    return {sku: max(0, units) for sku, units in (left | made).items()}


STOCK: Final = levels(lambda _: 0, PARTS.__getitem__)


async def kits_and_parts(scene: Scene) -> None:
    """A kit and one of its parts stand on one order, or two kits share a part, and the part is counted once too
    often or not at all. Trigger: an order of two duos (a shirt and two mugs each) and a shirt; a trio (a shirt and a
    cap) elsewhere; an order of both kits; then one of the two duos is cancelled. Storefronts know nothing of kits:
    each takes from its listings what was on the order. Judged: parts and kits show everywhere what the ledgers'
    orders leave, each part counted once for each unit. Inside: the shirts that are sold and not handed over are
    held."""

    def right() -> bool:
        wanted = levels(lambda kit: STOCK[kit] - scene.left(kit), scene.left)
        return all(set(scene.shown(sku).values()) == {units} for sku, units in wanted.items())

    both = await scene.order("market", (DUO, 2), (SHIRT, 1))
    scene.noted["one_order"] = await scene.until(right)
    await scene.order("boutique", (TRIO, 1))
    await scene.order("market", (DUO, 1), (TRIO, 1))
    scene.noted["shared_part"] = await scene.until(right)
    await scene.act("market", both, "cancel", lines=[{"id": "1", "quantity": 1}])
    scene.noted["cancelled"] = await scene.until(right)
    for sku in STOCK:
        await scene.look(sku, "skus", sku)


def judge_kits(evidence: Evidence, verdict: Verdict) -> None:
    wanted = levels(lambda kit: STOCK[kit] - evidence.truth(kit), evidence.truth)
    steps = {name: evidence.noted[name] for name in ("one_order", "shared_part", "cancelled")}
    wrong = {
        sku: shown for sku, units in wanted.items() if set((shown := evidence.shown(sku)).values()) != {units}
    }  # fmt: skip
    verdict.saw(
        "kits and parts were sold together, apart, and one was cancelled; "
        + ", ".join(f"{sku} {units}" for sku, units in wanted.items()) + " are left"
        + ("" if wrong else ", and shown everywhere"),
        wanted=wanted, shown={sku: evidence.shown(sku) for sku in wanted}, right_at_each_step=steps,
    )  # fmt: skip
    for sku, shown in wrong.items():
        verdict.problems.append(f"{sku}: {wanted[sku]} are left, but shown are {in_words(shown)}")
    for name, came in steps.items():
        verdict.demand(came, f"the numbers were not right after step {name}")


def inside_kits(evidence: Evidence, verdict: Verdict) -> None:
    sold = {sku: STOCK[sku] - evidence.truth(sku) for sku in STOCK}
    held = sold[SHIRT] + sum(sold[kit] * recipe.get(SHIRT, 0) for kit, recipe in RECIPES.items())
    verdict.demand(evidence.own(SHIRT, "held") == held, f"{evidence.own(SHIRT, 'held')} shirts are held, not {held}")


KITS: Final = (
    Incident(
        "T10", "a kit and its part on one order; two kits that share a part; one kit cancelled",
        "each part is counted once for each unit",
        Setting(STOCK, kits=RECIPES), kits_and_parts, judge_kits, inside_kits,
    ),
)  # fmt: skip
