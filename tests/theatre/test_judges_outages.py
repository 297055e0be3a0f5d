"""T6, T12, T19: their judges see a forgotten failure, a doubled row, and a storm after a return."""

from __future__ import annotations

from typing import Any

from tests.theatre.puppets import Puppets

# --- T6 ------------------------------------------------------------------------------------------------------


def one_fails(*, outlet_after_s: float = 0.1, mended: bool = True, refused: bool = True) -> Puppets:
    puppets = Puppets("T6")
    puppets.sell("market", ("SHIRT", 2))
    if refused:
        puppets.misbehave("boutique", {"do": "fail", "status": 503, "times": None})
        puppets.push("SHIRT", 8, "boutique")
    puppets.wait(outlet_after_s)
    puppets.push("SHIRT", 8, "outlet")
    puppets.misbehave("boutique")
    puppets.note("healed")
    if mended:
        puppets.push("SHIRT", 8, "boutique")
    return puppets


def seen(boutique: str = "pending", error: str | None = "503", outlet: str = "settled", waiting: int = 1) -> Any:
    listings = [
        {"channel": "boutique", "state": boutique, "last_error": error}, {"channel": "outlet", "state": outlet},
    ]  # fmt: skip
    return {"failing": {"listings": listings}, "failing_status": {"outbox": {"pending": waiting}}}


def test_a_failure_that_is_made_good_holds() -> None:
    one_fails().held()


def test_a_failure_that_is_forgotten_fails() -> None:
    one_fails(mended=False).failed("8 are left, but boutique shows 10")


def test_a_failure_that_holds_up_the_other_fails() -> None:
    one_fails(outlet_after_s=5).failed("reaching outlet took 5.0 s")


def test_without_a_failure_nothing_was_tried() -> None:
    one_fails(refused=False).failed("nothing was tried")


def test_a_failure_must_be_visible() -> None:
    puppets = one_fails()
    puppets.inside = seen()
    puppets.held()
    for inside, because in (
        (seen(boutique="settled"), "not shown as pending"), (seen(error=None), "not shown as pending"),
        (seen(outlet="pending"), "outlet is shown as pending"), (seen(waiting=0), "counts nothing as pending"),
    ):  # fmt: skip
        puppets.inside = inside
        puppets.failed(because)


# --- T12 -----------------------------------------------------------------------------------------------------


def bad_row(*, landed: int = 7, again: int = 0, partial: bool = True, bad: bool = False) -> Puppets:
    puppets = Puppets("T12")
    skus = list(puppets.incident.setting.stock)
    if not bad:
        puppets.misbehave("boutique", {"do": "refuse", "listing": "SKU-5", "times": None})
    if partial:
        puppets.misbehave("outlet", {"do": "partial", "rows": 2})
    puppets.sell("market", *((sku, 1) for sku in skus))
    puppets.put("boutique", dict.fromkeys(skus, 9))
    good = [sku for sku in skus if sku != "SKU-5"]
    for sku in good[:landed]:
        puppets.put("boutique", {sku: 9})
    puppets.put("boutique", {"SKU-5": 9})
    puppets.put("outlet", dict.fromkeys(skus, 9))
    puppets.put("outlet", dict.fromkeys(skus, 9))
    for _ in range(again):
        puppets.put("outlet", {skus[0]: 8})
        puppets.put("outlet", {skus[0]: 9})
    return puppets


def test_a_bad_row_alone_left_out_holds() -> None:
    bad_row().held()


def test_good_rows_lost_with_a_bad_one_fail() -> None:
    bad_row(landed=0).failed("SKU-1: 9 are left, but boutique shows 10")
    bad_row(landed=6).failed("SKU-8: 9 are left, but boutique shows 10")


def test_rows_doubled_after_a_partial_write_fail() -> None:
    bad_row(again=1).failed("rows were written more than once: {'SKU-1 at outlet': [9, 8, 9]}")


def test_without_mishaps_nothing_was_tried() -> None:
    bad_row(partial=False).failed("nothing was tried")
    bad_row(bad=True).failed("the bad row was written")


def test_the_bad_row_must_be_named_and_alone() -> None:
    puppets = bad_row()
    letter = {"channel": "boutique", "sku": "SKU-5", "cause": "it takes no level", "next_action": "look"}
    puppets.inside = {"named": {"dead_letters": [letter]}}
    puppets.held()
    puppets.inside = {"named": {"dead_letters": [letter, letter | {"sku": "SKU-1"}]}}
    puppets.failed("not the bad row alone")
    puppets.inside = {"named": {"dead_letters": []}}
    puppets.failed("not the bad row alone")
    puppets.inside = {"named": {"dead_letters": [letter | {"cause": ""}]}}
    puppets.failed("lacks its cause")


# --- T19 -----------------------------------------------------------------------------------------------------


def returned(*levels: int, wait_s: float = 0.0, called: bool = True) -> Puppets:
    puppets = Puppets("T19")
    skus = list(puppets.incident.setting.stock)
    puppets.misbehave("boutique", {"do": "fail", "call": "any", "times": None})
    for sku in skus:
        puppets.sell("market", *[(sku, 1)] * 5)
        if called:
            puppets.push(sku, 19, "boutique")
    puppets.note("back")
    puppets.misbehave("boutique")
    puppets.call("boutique", "GET", "/orders")
    puppets.wait(wait_s)
    for sku in skus:
        for level in levels:
            puppets.push(sku, level, "boutique")
    return puppets


def test_one_push_per_listing_right_after_the_return_holds() -> None:
    returned(15).held()


def test_changes_sent_one_by_one_fail() -> None:
    returned(19, 18, 17, 16, 15).failed("there was not one push per listing")


def test_what_is_never_sent_fails() -> None:
    returned().failed("15 are left, but boutique shows 20")


def test_what_is_sent_long_after_the_first_call_fails() -> None:
    returned(15, wait_s=60).failed("putting it right after the first call took")


def test_a_system_that_never_called_was_not_tried() -> None:
    returned(15, called=False).failed("nothing was tried")
