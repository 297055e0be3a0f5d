"""What a shop owner does in the console, done by a real browser; each step fails with what it expected."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from attrs import define, field
from playwright.sync_api import Locator, Page, expect

from tests.console.browser import PATIENCE_MS, Tab
from tests.console.stage import COMPONENT, EDITED, HOSTILE, KIT, ODD, REFUSED, SKUS, SOLD, Stage

expect.set_options(timeout=PATIENCE_MS)

COMMANDS: Final = re.compile("Retry|Pause|Resume|Discard|Freeze|Push now|Read the|Compare")
VIEWS: Final = ("Overview", "Stock", "Dead letters", "Drift")


@define
class Tour:
    """One walk through the page, on a thread of its own: `stage` is told what to do over to Trio's."""

    stage: Stage
    tab: Tab
    url: str
    found: list[str] = field(factory=list)
    seen: list[str] = field(factory=list)

    @property
    def page(self) -> Page:
        return self.tab.page

    def stage_does(self, deed: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        """Have the stage do something, and wait until it is done."""
        return trio.from_thread.run(deed, *arguments)

    def inspect(self, name: str) -> None:
        """Look at the view as it is."""
        self.found += self.tab.inspect(name)
        self.seen.append(name)

    def go(self, view: str) -> None:
        """Open a view by its link."""
        self.page.get_by_role("navigation", name="Views").get_by_role("link", name=re.compile(f"^{view}")).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(view)
        expect(self.page.get_by_role("heading", level=1)).to_be_focused()

    def row(self, text: str) -> Locator:
        """The table row that has this as its name."""
        named = self.page.get_by_role("rowheader", name=re.compile(rf"^{re.escape(text)}( |$)"))
        return self.page.get_by_role("row").filter(has=named)


def read_only(tour: Tour) -> None:
    """Everything is shown, and nothing can be done."""
    page = tour.page
    page.goto(tour.url)
    expect(page.get_by_role("heading", name=re.compile("well|want"))).to_be_visible()
    for channel in ("north", "south"):
        expect(page.get_by_role("article", name=f"channel {channel}").get_by_role("img")).to_have_count(2)
    assert urlsplit(page.url).path == "/", f"the secret stays in the address: {page.url}"
    for view in VIEWS:
        tour.go(view)
        expect(page.get_by_role("button", name=COMMANDS)).to_have_count(0)
    for planted in ("img", "button"):  # without a name, both
        page.evaluate("tag => document.querySelector('main').append(document.createElement(tag))", planted)
    assert len(tour.tab.grave()) >= 2, "axe-core overlooks what was planted: its word is worth nothing"
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(VIEWS[-1])
    refused = "Failed to load resource: the server responded with a status of 403 (Forbidden) (/)"
    assert tour.tab.complaints == [refused], tour.tab.complaints  # what a reload meets on its way


def overview(tour: Tour) -> None:
    """The state, the figures, the channels with their charts."""
    page = tour.page
    page.goto(tour.url)
    north = page.get_by_role("article", name="channel north")
    expect(north.get_by_role("img", name=re.compile(r"Push lag.*: now [\d.]+ m?s, at most"))).to_be_visible()
    expect(north.get_by_role("img", name=re.compile("Listings in the queue: now 0"))).to_be_visible()
    expect(north.get_by_text("live", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile(r"% of [\d,]+ sent"))).to_be_visible()
    alarm = page.get_by_role("article").filter(has_text="Listings refuse their level")
    expect(alarm).to_contain_text("What to do: onhand dead-letters names the listings")
    expect(alarm.get_by_role("link", name="See the dead letters")).to_be_visible()
    page.wait_for_timeout(6_500)  # for the lines of the charts: two more rounds
    assert north.locator("polyline").count() == 2
    tour.inspect("overview")
    north.get_by_role("button", name="Pause").click()
    tour.inspect("question")
    page.get_by_role("dialog").get_by_role("button", name="Pause it").click()
    expect(north.get_by_text("paused", exact=True)).to_be_visible()
    expect(page.get_by_text("north is paused")).to_have_count(2)  # on the page, and to a screen reader
    expect(north.get_by_role("button", name="Resume")).to_be_focused()
    page.keyboard.press("Enter")
    expect(north.get_by_text("live", exact=True)).to_be_visible()
    north.get_by_role("button", name="Compare now").click()
    expect(page.locator("#outcome")).to_have_text(re.compile(rf"north: {SKUS:,} listings, \d+ newly linked"))


def stock(tour: Tour) -> None:
    """The search, its pages, and a SKU's row."""
    page = tour.page
    tour.go("Stock")
    expect(page.locator("#found")).to_have_text("SKU 1 to 50, and more")
    page.get_by_role("button", name="Next page").press("Enter")
    expect(page.locator("#found")).to_have_text("SKU 51 to 100, and more")
    expect(page.get_by_role("button", name="Next page")).to_be_focused()
    tour.inspect("stock")
    search = page.get_by_role("searchbox", name="SKUs that begin with")
    search.fill("SKU-000")
    expect(page.get_by_role("row")).to_have_count(1 + 9)
    search.fill(SOLD)
    expect(page.get_by_role("row")).to_have_count(1 + 1)
    expect(tour.row(SOLD)).to_contain_text("18")
    search.fill("nothing like it")
    expect(page.get_by_text("No SKU begins with nothing like it.")).to_be_visible()
    search.fill(SOLD)
    page.get_by_role("link", name=SOLD).click()


def sku(tour: Tour) -> None:
    """Its numbers, its listings, and every cause in its timeline; a sale shows by itself."""
    page = tour.page
    expect(page.get_by_role("heading", level=1)).to_have_text(SOLD)
    for channel in ("north", "south"):
        expect(tour.row(channel)).to_contain_text("settled")
    events = page.get_by_role("list").filter(has=page.get_by_role("listitem")).last.get_by_role("listitem")
    sale = events.filter(has_text=re.compile(r"2 ordered.*available from 8 →  to 6\s*−2"))
    expect(sale).to_contain_text(re.compile(r"told by a webhook · delivery \d+ · order O-\S+ · line 1"))
    expect(events.filter(has_text="delivery note 17")).to_contain_text(re.compile(r"6 →  to 18\s*\+12"))
    expect(events.filter(has_text="delivery note 17")).to_contain_text(HOSTILE)
    assert page.locator("main img, main b").count() == 0, "a text of the daemon's became markup"
    before = events.count()
    tour.stage_does(tour.stage.sell, tour.stage.south, SOLD, 3)
    expect(events.filter(has_text=re.compile(r"3 ordered.*available from 18 →  to 15\s*−3"))).to_be_visible()
    expect(tour.row("north").get_by_role("cell").nth(1)).to_have_text("15")
    page.get_by_label("also what did not change the stock").check()
    expect(events.filter(has_text="Push confirmed").first).to_be_visible()
    assert events.count() > before + 1
    page.get_by_label("also what did not change the stock").uncheck()
    tour.inspect("sku")
    page.get_by_role("button", name="Freeze").click()
    page.get_by_role("dialog").get_by_label("Why").fill("stocktaking")
    page.get_by_role("dialog").get_by_role("button", name="Freeze it").click()
    expect(page.get_by_text(re.compile("^Frozen by .*: stocktaking$"))).to_be_visible()
    page.get_by_role("button", name="Unfreeze").click()
    expect(page.get_by_role("button", name="Freeze", exact=False)).to_have_count(1)


def odd(tour: Tour) -> None:
    """A name that looks like markup and like an address is a name; a kit says what it is made of."""
    page = tour.page
    tour.go("Stock")
    page.get_by_role("searchbox").fill(ODD[:9])
    page.get_by_role("link", name=ODD).click()  # before the search is answered: it must not come back over the SKU
    expect(page.get_by_role("heading", level=1)).to_have_text(ODD)
    expect(page.get_by_text("person counted 4 on hand").first).to_be_visible()
    expect(page.get_by_text("No channel lists it.")).to_be_visible()
    assert page.title() == f"{ODD} · onhand"
    tour.inspect("odd")
    tour.go("Stock")
    page.get_by_role("searchbox").fill(KIT)
    page.get_by_role("link", name=KIT).click()
    component = tour.page.get_by_role("table", name="What one kit holds").get_by_role("row").nth(1)
    expect(component).to_contain_text(re.compile(rf"{COMPONENT}\s*2\s*10\s*5 \(sets the number\)"))
    tour.inspect("kit")
    component.get_by_role("link").click()
    expect(page.get_by_role("link", name=KIT)).to_be_visible()


def letters(tour: Tour) -> None:
    """Two of one cause; mended, a retry brings the level to the shop."""
    page = tour.page
    tour.go("Dead letters")
    expect(page.get_by_role("heading", name="Levels that a channel refuses")).to_be_visible()
    expect(page.get_by_text("mend the listing at the channel, then retry")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("button", name=re.compile("^Retry: letter"))).to_have_count(len(REFUSED))
    page.get_by_label("content of letter 1").click()
    expect(page.locator("pre").first).to_contain_text(re.compile("L-000[79]"))
    page.get_by_role("button", name="Discard: letter 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("button", name="Discard: letter 1")).to_be_focused()
    tour.inspect("dead-letters")
    tour.stage_does(tour.stage.refuse, tour.stage.south)
    for place, sku in enumerate(REFUSED):
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=sku))
        row.get_by_role("button", name=re.compile("^Retry: letter")).click()
        expect(row).to_have_count(0)
        left = len(REFUSED) - place - 1
        expect(page.get_by_role("button", name=re.compile("^Retry: letter"))).to_have_count(left)
        tour.stage_does(tour.stage.shows, tour.stage.south, sku, 9)
    expect(page.get_by_text("There are no dead letters")).to_be_visible()
    tour.inspect("no-dead-letters")


def drift(tour: Tour) -> None:
    """The level edited by hand, with the cause that the daemon names."""
    tour.go("Drift")
    row = tour.row(EDITED).first
    expect(row).to_contain_text("foreign edit")
    expect(row).to_contain_text("corrected")
    tour.inspect("drift")


def keyboard(tour: Tour) -> None:
    """The first stop skips to the content; every stop shows that it has the focus."""
    page = tour.page
    page.goto(f"{tour.url}#/stock")
    expect(page.locator("#found")).to_have_text("SKU 1 to 50, and more")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", f"nobody sees where the focus is: {outline}"
    expect(page.get_by_role("link", name="SKU-0002")).to_be_focused()  # the third row: the odd one is the first


def trouble(tour: Tour) -> None:
    """A shop that does not answer, then no daemon at all: said, with what to do."""
    page = tour.page
    stage = tour.stage
    tour.go("Overview")
    stage.south.process.kill()
    tour.stage_does(stage.sell, stage.north, "SKU-0020")
    expect(page.get_by_role("heading", name="1 thing wants you")).to_be_visible()
    expect(page.get_by_text(re.compile("^south does not answer: connecting to .* failed"))).to_be_visible()
    tour.inspect("channel-down")
    stage.daemon.process.kill()
    expect(page.get_by_role("alert")).to_contain_text("no daemon answers")
    expect(page.get_by_role("alert")).to_contain_text("start it with onhand run; this page goes on by itself")
    expect(page.get_by_role("banner")).to_contain_text("no answer")
    tour.inspect("no-daemon")
    stage.daemon.process.start()
    tour.stage_does(stage.daemon.wait_serving)
    expect(page.get_by_role("banner")).not_to_contain_text("no answer")
    expect(page.get_by_role("alert")).to_be_empty()
    page.goto(tour.url.rsplit("/", 2)[0] + "/wrong/")
    expect(page.locator("body")).to_contain_text("open the one that onhand console printed")


STEPS: Final = (overview, stock, sku, odd, letters, drift, keyboard, trouble)
