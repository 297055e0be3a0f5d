"""A headless browser, driven: one tab, what it complained of, pictures of it, and what axe-core finds in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from attrs import define, field
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
SWITCHES: Final = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS: Final = 30_000
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
WIDTHS: Final = {320: 640, 800: 900, 1440: 900}
"""Widths of the window, and their heights."""
LOOKED_AT: Final = (("light", 320), ("light", 1440), ("dark", 1440))
"""Where axe-core looks: at both sets of colours, and at both shapes of the page."""
SHOT_MAX: Final = 2_000
"""Pixels of a picture's height: what is below repeats what is above."""
GRAVE: Final = ("serious", "critical")

Scheme = Literal["light", "dark"]


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's chromium, with a user directory of its own, and no sandbox of its own: it may run as root."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES), chromium_sandbox=False)
        try:
            yield running
        finally:
            running.close()


@define
class Tab:
    """One tab. complaints: errors of its scripts and of its security policy · strangers: requests to anybody but
    this machine · looked: how often axe-core did."""

    page: Page
    axe: str
    shots: Path | None
    complaints: list[str] = field(factory=list)
    strangers: list[str] = field(factory=list)
    looked: int = 0

    def __attrs_post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._heard(message))
        self.page.on("request", lambda request: self._asked(request))

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({urlsplit(message.location['url']).path})")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            self.strangers.append(request.url)

    def inspect(self, name: str) -> list[str]:
        """Look at the view in both schemes: what axe-core finds grave, what sticks out, and pictures if wanted."""
        found = []
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width, height in WIDTHS.items():
                self.page.set_viewport_size({"width": width, "height": height})
                wide = self.page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    found.append(f"{name} is {wide} pixels wide in a window of {width}")
                if self.shots:
                    self.page.evaluate("scrollTo(0, 0)")
                    path = self.shots / f"{name}-{scheme}-{width}.png"
                    tall = min(SHOT_MAX, self.page.evaluate("document.documentElement.scrollHeight"))
                    clip: Any = {"x": 0, "y": 0, "width": width, "height": max(tall, height)}
                    self.page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")
                if (scheme, width) in LOOKED_AT:
                    found += [f"{name}, {scheme}, {width} pixels: {each}" for each in self.grave()]
        return found

    def grave(self) -> list[str]:
        """What axe-core finds serious or critical in the view as it is."""
        self.looked += 1
        self.page.evaluate(self.axe)
        result = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['impact']}: {each['help']}: {each['nodes'][0]['html']} ({each['nodes'][0].get('failureSummary')})"
            for each in result["violations"]
            if each["impact"] in GRAVE
        ]
