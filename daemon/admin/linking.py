"""Which SKU each listing is: what there is, what only a person can decide, and what a person says."""

from __future__ import annotations

from typing import Final, Literal

import trio
from attrs import field, frozen

from daemon.actors.actor import Part
from daemon.admin.answers import ApiError, Json, unknown_channel
from daemon.admin.facts import Facts
from daemon.admin.inside import Inside
from daemon.admin.requests import LinkLine, Links
from daemon.domain.link_problems import nearly_alike
from daemon.domain.observations import BadSkuError, check_sku
from daemon.domain.sku import Link
from daemon.domain.slot import Slot
from daemon.storage.codec import Cause
from daemon.storage.links import Linked
from daemon.storage.tables import pair, unpair

State = Literal["linked", "changed", "unlinked", "same", "wrong"]
PAGE: Final = 500
PROBLEMS_MAX: Final = 10_000
"""Problems of one answer; further ones are counted."""
SAID_MAX: Final = 20


@frozen
class Difference:
    """One line against the links that there are. `now` and `then`: SKUs, empty for none."""

    line: LinkLine
    state: State
    now: str = ""
    then: str = ""
    problem: str = ""

    def view(self) -> Json:
        """The line as the socket shows it."""
        line = self.line
        return {
            "line": line.line, "channel": line.channel, "listing": line.listing, "state": self.state,
            "now": self.now or None, "then": self.then or None, "problem": self.problem or None,
        }  # fmt: skip


@frozen
class Linking:
    """Queries and commands."""

    inside: Inside
    facts: Facts
    _turn: trio.Lock = field(factory=trio.Lock)

    # -- asking --

    def page(self, channel: str, cursor: str, limit: int) -> Json:
        """Links in the order of their rows. Raises `ApiError` 404 for an unknown channel."""
        self._known_channel(channel)
        where, _, listing = cursor.partition("/")
        rows = self.inside.registry.links.page(pair(where, listing) if cursor else b"", limit, channel)
        views = [view for key, known in rows if (view := self._view(key, known)) is not None]
        following = f"{views[-1]['channel']}/{views[-1]['listing']}" if views and len(rows) == limit else None
        return {"links": views, "next": following, "left_out": 0}

    async def problems(self, channel: str) -> Json:
        """What only a person can decide: nothing of it is guessed."""
        self._known_channel(channel)
        found: list[Json] = []
        left = 0
        links = await self._all("")
        alike = nearly_alike(known.sku for _, known in links if known.sku)
        for key, known in links:
            row = self._view(key, known)
            if row is None or (channel and row["channel"] != channel):
                continue
            about = self._problem(row, known, alike)
            if about:
                left += len(found) >= PROBLEMS_MAX
                found += [row | about][: PROBLEMS_MAX - len(found)]
        for name, control in self.inside.channels.items():
            for listing, odd in control.odd_listings().items() if channel in ("", name) else ():
                if odd.seller_sku or self.inside.registry.links.get(name, listing) is not None:
                    continue
                left += len(found) >= PROBLEMS_MAX
                row = {"channel": name, "listing": listing, "sku": None, "by": None, "title": odd.title or None}
                row |= {"problem": "no_sku", "about": "it has no SKU at its channel: link it, or give it one there"}
                found += [row][: PROBLEMS_MAX - len(found)]
        return {"links": found, "next": None, "left_out": left}

    async def _all(self, channel: str) -> list[tuple[bytes, Linked]]:
        found: list[tuple[bytes, Linked]] = []
        after = b""
        while rows := self.inside.registry.links.page(after, PAGE, channel):
            found += rows
            after = rows[-1][0]
            await trio.lowlevel.checkpoint()
        return found

    def _problem(self, row: Json, known: Linked, alike: dict[str, tuple[str, ...]]) -> Json:
        name, listing = str(row["channel"]), str(row["listing"])
        control = self.inside.channels.get(name)
        odd = control.odd_listings().get(listing) if control is not None else None
        state = self.inside.registry.peek(known.sku) if known.sku else None
        twins = [other for where, other in sorted(state.slots) if where == name and other != listing] if state else []
        if twins:
            return {
                "problem": "repeated",
                "about": f"the same SKU is at {', '.join(map(repr, twins[:5]))} there, too",
            }
        if known.sku in alike:
            others = ", ".join(map(repr, alike[known.sku][:5]))
            return {"problem": "nearly_alike", "about": f"its SKU is spelled nearly as {others}: is it the same?"}
        if odd is not None and odd.seller_sku and not known.by:
            return {"problem": "renamed", "about": f"its channel says {odd.seller_sku!r} by now"}
        return {}

    def _view(self, key: bytes, known: Linked) -> Json | None:
        name, listing = unpair(key) or self._long(key, known)
        if not name:
            return None
        control = self.inside.channels.get(name)
        odd = control.odd_listings().get(listing) if control is not None else None
        return {
            "channel": name, "listing": listing, "sku": known.sku or None, "by": known.by or None,
            "title": (odd.title or None) if odd is not None else None, "problem": None, "about": None,
        }  # fmt: skip

    def _long(self, key: bytes, known: Linked) -> tuple[str, str]:
        """A listing whose name is too long for its key, found by its SKU."""
        state = self.inside.registry.peek(known.sku) if known.sku else None
        return next((each for each in (state.slots if state else ()) if pair(*each) == key), ("", ""))

    def _known_channel(self, channel: str) -> None:
        if channel and channel not in self.inside.channels:
            raise unknown_channel(channel, list(self.inside.channels))

    # -- saying --

    async def take(self, asked: Links, by: str) -> Json:
        """What each line would change; with `apply` it is said, unless a line is wrong."""
        async with self._turn:
            found = [self._compare(line) for line in self._once(asked)]
            told = 0
            if asked.apply:
                if wrong := [each for each in found if each.state == "wrong"]:
                    said = "; ".join(f"line {each.line.line}: {each.problem}" for each in wrong[:SAID_MAX])
                    raise ApiError(
                        409, "wrong_lines", f"nothing of this page was said: {said}", "mend these lines, import again"
                    )
                told = await self._say(found, by)
        return {"applied": asked.apply, "told": told, "rows": [each.view() for each in found]}

    def _once(self, asked: Links) -> list[LinkLine]:
        places = [(line.channel, line.listing) for line in asked.rows]
        if twice := next((place for place in places if places.count(place) > 1), None):
            raise ApiError(
                409, "wrong_lines", f"listing {twice[1]!r} of {twice[0]} stands in this page twice", "keep one line"
            )
        return list(asked.rows)

    def _compare(self, line: LinkLine) -> Difference:
        registry = self.inside.registry
        control = self.inside.channels.get(line.channel)
        if control is None:
            return Difference(line, "wrong", problem=f"no channel is called {line.channel!r}")
        known = registry.links.get(line.channel, line.listing)
        now = known.sku if known is not None else ""
        if known is None and line.listing not in control.odd_listings():
            problem = (
                f"{line.channel} has shown no listing {line.listing!r} yet: check its spelling, or reconcile first"
            )
            return Difference(line, "wrong", problem=problem)
        if line.sku == now:
            return Difference(line, "same", now, now)
        if line.sku:
            try:
                check_sku(line.sku)
            except BadSkuError as error:
                return Difference(line, "wrong", now, problem=str(error))
        for sku in filter(None, (now, line.sku)):
            if reason := registry.quarantined.get(sku, ""):
                return Difference(line, "wrong", now, problem=f"nothing can be applied to {sku!r}: {reason}")
        slot = self._slot(line, now)
        if slot is not None and (slot.in_flight or slot.alive_until_us):
            problem = "a push to it is under way, or may yet be applied: say it again in a few minutes"
            return Difference(line, "wrong", now, problem=problem)
        state: State = "unlinked" if not line.sku else "changed" if now else "linked"
        return Difference(line, state, now, line.sku)

    def _slot(self, line: LinkLine, sku: str) -> Slot | None:
        state = self.inside.registry.peek(sku) if sku else None
        return state.slots.get((line.channel, line.listing)) if state is not None else None

    async def _say(self, found: list[Difference], by: str) -> int:
        moving = [each for each in found if each.state in ("linked", "changed", "unlinked")]
        parts = []
        for each in moving:
            line, cause = each.line, Cause(by, each.line.channel)
            for sku, linked in ((each.now, False), (each.then, True)):
                if sku:
                    self.facts.welcome(sku)
                    parts.append(Part(sku, Link(line.channel, line.listing, linked, by, line.reason), cause))
        if not parts:
            return 0
        if reason := self.inside.registry.refuses([part.sku for part in parts]):
            raise ApiError(503, "overloaded", reason, "nothing of this page was said; try again in a few seconds")
        letters = [slot.dead_letter for each in moving if (slot := self._slot(each.line, each.now)) is not None]
        await self.inside.registry.deliver(parts, lambda _: self._forget([letter for letter in letters if letter]))
        return len(moving)

    def _forget(self, letters: list[int]) -> None:
        """A push to a listing that is another SKU now is over."""
        for letter in letters:
            self.inside.dead_letters.remove(letter)
