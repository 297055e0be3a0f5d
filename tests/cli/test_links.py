"""Links on the command line: which SKU each listing is, what only a person can decide, and files of them."""

from __future__ import annotations

from pathlib import Path

from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import Instant, Span
from daemon.ingress.catalogue import Odd
from daemon.ingress.normalise import Normaliser
from daemon.storage.codec import Cause
from tests.admin.test_commands import ME
from tests.cli.conftest import Onhand
from tests.harness import House


def normaliser(house: House) -> Normaliser:
    return Normaliser("shop", house.registry.links, house.registry.orders, lambda span: Instant(span, span))


async def furnish(house: House) -> None:
    await house.listed("TEE", 5)
    await house.listed("MUG", 3, "shop")
    await house.counted("TEE", 5)
    house.channels["shop"].odd = {"L-bare": Odd("", "A cap")}
    await house.store.flush()


async def test_a_person_says_which_sku_a_listing_is_and_no_catalogue_says_otherwise(
    house: House, onhand: Onhand
) -> None:
    await furnish(house)
    said = await onhand("links", "set", "shop", "L-MUG", "TEE", "--reason", "misspelled there")
    assert (said.code, said.out.strip()) == (
        0, "L-MUG of shop was MUG and is TEE now; it is read before anything is pushed to it",
    )  # fmt: skip
    slot = house.registry.peek("TEE").slots["shop", "L-MUG"]  # type: ignore[union-attr]  # it was told
    assert (slot.belief, bool(slot.recheck_us)) == (None, True)
    assert ("shop", "L-MUG") not in house.registry.peek("MUG").slots  # type: ignore[union-attr]  # as above
    history = (await onhand("history", "TEE")).out
    assert f"{ME} said that listing L-MUG is this SKU (misspelled there)" in " ".join(history.split())
    assert "L-MUG is not this SKU" in (await onhand("history", "MUG")).out
    # The channel goes on naming MUG: its levels and orders are TEE's from now on.
    here = normaliser(house)
    part = here.level(LevelSeen("L-MUG", 9, None, "MUG"), Cause("catalogue"), Span(1, 2))
    assert part is not None
    assert part.sku == "TEE"
    order = OrderSeen("7", 1, Span(5, 5), (LineSeen("1", "L-MUG", "MUG", 1),))
    assert [each.sku for each in here.order(order, Cause("poll"))[0]] == ["TEE"]
    again = await onhand("links", "set", "shop", "L-MUG", "TEE")
    assert again.out == "nothing changed: L-MUG of shop is TEE already\n"
    rows = (await onhand("links", "--channel", "shop", "--json")).json()["links"]
    assert [(each["listing"], each["sku"], each["by"]) for each in rows] == [
        ("L-MUG", "TEE", ME), ("L-TEE", "TEE", None),
    ]  # fmt: skip
    assert "equal SKU" in (await onhand("links")).out


async def test_a_listing_that_a_person_unlinked_stays_so(house: House, onhand: Onhand) -> None:
    await furnish(house)
    said = await onhand("links", "unset", "shop", "L-MUG")
    assert said.out == "L-MUG of shop was MUG and is no SKU any more: nothing is pushed to it\n"
    here = normaliser(house)
    assert here.level(LevelSeen("L-MUG", 9, None, "MUG"), Cause("catalogue"), Span(1, 2)) is None
    order = OrderSeen("7", 1, Span(5, 5), (LineSeen("1", "L-MUG", "MUG", 1),))
    parts, unlinked = here.order(order, Cause("poll"))
    assert parts == []
    assert unlinked[0].why == "a person said that listing L-MUG is no SKU"
    assert (await onhand("links", "set", "shop", "L-MUG", "MUG")).code == 0
    assert here.level(LevelSeen("L-MUG", 9, None, "MUG"), Cause("catalogue"), Span(1, 2)) is not None


async def test_what_is_ambiguous_is_shown_and_never_guessed(house: House, onhand: Onhand) -> None:
    assert (await onhand("links", "--problems")).out == "every listing has its SKU, and none is ambiguous\n"
    await furnish(house)
    await house.listed("Mug ", 3, "site")
    house.channels["site"].odd = {"L-TEE": Odd("TEE-2", "A tee")}
    await onhand("links", "set", "shop", "L-bare", "TEE")
    house.channels["shop"].odd["L-other"] = Odd("", "A scarf")
    found = (await onhand("links", "--problems", "--json")).json()["links"]
    assert {(each["channel"], each["listing"], each["problem"]) for each in found} == {
        ("shop", "L-TEE", "repeated"), ("shop", "L-bare", "repeated"), ("shop", "L-MUG", "nearly_alike"),
        ("site", "L-Mug ", "nearly_alike"), ("site", "L-TEE", "renamed"), ("shop", "L-other", "no_sku"),
    }  # fmt: skip
    of_site = (await onhand("links", "--problems", "--channel", "site", "--json")).json()["links"]
    assert {each["problem"] for each in of_site} == {"nearly_alike", "renamed"}
    shown = " ".join((await onhand("links", "--problems")).out.split())
    assert "its SKU is spelled nearly as 'Mug ': is it the same?" in shown
    assert "its channel says 'TEE-2' by now" in shown
    assert house.registry.links.sku_of("site", "L-Mug ") == "Mug ", "nothing was changed by asking"


async def test_a_file_of_links_is_compared_first_then_said_and_goes_round_clean(
    house: House, onhand: Onhand, tmp_path: Path
) -> None:
    await furnish(house)
    file = tmp_path / "links.csv"
    exported = await onhand("export", str(file), "--links")
    assert "4 listings" in exported.out
    assert "1 of them without a SKU" in exported.out
    clean = await onhand("import", str(file))
    assert (clean.code, clean.out.strip()) == (0, f"{file}: 4 links; no difference")
    text = (
        file.read_text("utf-8")
        .replace("shop,L-MUG,MUG", "shop,L-MUG,TEE")
        .replace("shop,L-bare,,", "shop,L-bare,CAP,")
    )
    file.write_text(text, "utf-8")
    tried = await onhand("import", str(file))
    assert tried.code == 0
    assert "4 links; 1 are linked anew, 1 change" in " ".join(tried.out.split())
    assert "nothing is said yet: add --apply to say it" in tried.out
    assert house.registry.links.sku_of("shop", "L-MUG") == "MUG"
    done = await onhand("import", str(file), "--apply", "--json")
    assert (done.json()["told"], done.json()["applied"]) == (2, True)
    assert house.registry.links.sku_of("shop", "L-MUG") == "TEE"
    assert house.registry.links.sku_of("shop", "L-bare") == "CAP"
    seq = house.store.head.seq
    assert (await onhand("import", str(file), "--apply", "--json")).json()["told"] == 0
    assert house.store.head.seq == seq
    await onhand("export", str(file), "--links")
    assert "no difference" in (await onhand("import", str(file))).out


async def test_wrong_lines_are_all_named_and_nothing_is_said(house: House, onhand: Onhand, tmp_path: Path) -> None:
    await furnish(house)
    house.slot("TEE").in_flight = 3
    file = tmp_path / "links.csv"
    file.write_text("channel,listing,sku\nshop,L-MUG,CAP\nshop,L-none,TEE\nnowhere,L,A\nshop,L-TEE,MUG\n")
    refused = await onhand("import", str(file), "--apply")
    assert refused.code == 1
    for words in (
        "line 3: shop has shown no listing 'L-none' yet", "line 4: no channel is called 'nowhere'",
        "line 5: a push to it is under way", "nothing was said; wrong lines: 3",
    ):  # fmt: skip
        assert words in refused.err
    assert house.registry.links.sku_of("shop", "L-MUG") == "MUG"
    one = await onhand("links", "set", "shop", "L-none", "TEE")
    assert (one.code, "shop has shown no listing 'L-none' yet" in one.err) == (1, True)
