"""T1, T2, T3, T17: their judges see what is done twice, and what is never done."""

from __future__ import annotations

from tests.theatre.puppets import Puppets

# --- T1 ------------------------------------------------------------------------------------------------------


def redelivered(boutique: int, tries: int = 2, fed: bool = False) -> Puppets:
    puppets = Puppets("T1")
    puppets.misbehave("market", {"do": "fail", "call": "orders", "times": None}, webhook={"unheard": 1.0})
    puppets.note("sold")
    puppets.sell("market", ("SHIRT", 2))
    for _ in range(tries):
        puppets.hear("market")
        puppets.wait(70)
    if fed:
        puppets.misbehave("market")
        puppets.call("market", "GET", "/orders")
    if boutique != 7:
        puppets.push("SHIRT", boutique, "boutique")
    return puppets


def test_a_redelivery_that_counts_once_holds() -> None:
    redelivered(boutique=5).held()


def test_a_redelivery_dropped_as_a_duplicate_fails() -> None:
    redelivered(boutique=7).failed("5 are left, but boutique shows 7")


def test_a_redelivery_counted_twice_fails() -> None:
    redelivered(boutique=3).failed("5 are left, but boutique shows 3")


def test_an_incident_that_did_not_happen_is_not_held() -> None:
    redelivered(boutique=5, tries=1).failed("nothing was tried")
    redelivered(boutique=5, fed=True).failed("the order feed told of the sale")


def test_a_sale_that_ends_as_a_dead_letter_fails() -> None:
    puppets = redelivered(boutique=5)
    puppets.inside = {"dead_letters": {"dead_letters": []}}
    puppets.held()
    puppets.inside = {"dead_letters": {"dead_letters": [{"id": 1}]}}
    puppets.failed("dead letter")


# --- T2 ------------------------------------------------------------------------------------------------------


def crashed(*afterwards: int, pushed: bool = True) -> Puppets:
    puppets = Puppets("T2")
    puppets.sell("market", ("SHIRT", 2))
    if pushed:
        puppets.push("SHIRT", 8, "boutique")
    puppets.note("killed")
    puppets.sell("boutique", ("SHIRT", 3))
    puppets.push("SHIRT", 5, "market")
    for level in afterwards:
        puppets.push("SHIRT", level, "boutique")
    return puppets


def test_an_effect_that_is_not_repeated_holds() -> None:
    crashed().held()
    crashed(5).held()


def test_an_effect_repeated_over_newer_sales_fails_even_if_it_is_put_right_later() -> None:
    crashed(8).failed("5 are left, but boutique shows 8")
    crashed(8, 5).failed("boutique was told to show 8 of SHIRT when 5 were left")


def test_an_effect_counted_twice_fails() -> None:
    crashed(3).failed("5 are left, but boutique shows 3")


def test_a_crash_before_any_effect_is_not_this_incident() -> None:
    crashed(5, pushed=False).failed("nothing was written before the kill")


# --- T3 ------------------------------------------------------------------------------------------------------


def second_line(shirts: int, mugs: int = 9, tries: int = 2) -> Puppets:
    puppets = Puppets("T3")
    first = puppets.sell("boutique", ("SHIRT", 3))
    puppets.misbehave("market", webhook={"unheard": 1.0})
    puppets.sell("market", ("SHIRT", 2), ("MUG", 1))
    for _ in range(tries):
        puppets.hear("market")
        puppets.wait(70)
    puppets.push("SHIRT", 0)
    puppets.push("MUG", mugs, "boutique")
    puppets.note(oversold=-2)
    puppets.act("boutique", first, "cancel")
    puppets.push("SHIRT", shirts)
    return puppets


def test_an_order_retried_for_its_second_line_counts_its_first_line_once() -> None:
    second_line(1).held()


def test_a_first_line_applied_again_fails() -> None:
    second_line(0).failed("SHIRT: 1 are left, but market shows 0, boutique shows 0")


def test_a_second_line_given_up_fails() -> None:
    second_line(1, mugs=10).failed("MUG: 9 are left, but boutique shows 10")


def test_an_order_that_came_only_once_was_not_retried() -> None:
    second_line(1, tries=1).failed("nothing was tried")


def test_a_debt_that_the_books_do_not_show_fails() -> None:
    puppets = second_line(1)
    puppets.inside = {"oversold": {"debt": 2}}
    puppets.held()
    for owed in (0, 4, None):
        puppets.inside = {"oversold": {"debt": owed}}
        puppets.failed(f"the books owed {owed}, not 2")


# --- T17 -----------------------------------------------------------------------------------------------------


def killed(done: int, before: bool = False) -> Puppets:
    puppets = Puppets("T17")
    skus = list(puppets.incident.setting.stock)
    for sku in skus:
        puppets.sell("market", (sku, 4))
    if before:
        puppets.push(skus[0], 5, "boutique")
    puppets.note("killed")
    for sku in skus[:done]:
        puppets.push(sku, 5, "boutique")
    return puppets


def test_work_that_is_taken_up_again_holds() -> None:
    killed(12).held()


def test_work_forgotten_with_its_holder_fails() -> None:
    killed(0).failed("SKU-01: 5 are left, but boutique shows 9")
    killed(11).failed("SKU-12: 5 are left, but boutique shows 9")


def test_work_done_before_the_kill_was_not_held() -> None:
    killed(12, before=True).failed("nothing was tried")
