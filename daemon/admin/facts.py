"""What a person tells of a SKU: counts, adjustments, freezing; and asking its listings to be pushed or read now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import frozen

from daemon.actors.actor import Part, Unit
from daemon.admin.answers import ApiError, Json, unavailable
from daemon.admin.inside import Inside
from daemon.admin.requests import Adjust, Count
from daemon.admin.views import find_sku, numbers, valid_sku
from daemon.admin.words import VERDICTS, rfc3339
from daemon.domain.instants import exactly
from daemon.domain.observations import Adjustment, StockCount
from daemon.domain.sku import Freeze, Message, Revive, Sku
from daemon.domain.slot import Slot
from daemon.storage.codec import Cause, Record

SOURCE = "person"
"""The source of counts and adjustments that come over the admin socket."""

REFERENCE_PAGES = 40
HISTORY_PAGE = 250
"""A reference used before is looked for among the newest 10,000 events of the SKU."""


@frozen
class Facts:
    """Every answer comes after what it tells is durable. `by` names the person in the log."""

    inside: Inside
    new_id: Callable[[], str]

    # -- counts and adjustments --

    async def count(self, asked: Count, by: str) -> Json:
        """An anchor at this moment; a SKU that nobody told of is created by it."""
        sku = self.on_the_shelf(asked.sku)
        self.welcome(sku)
        seen = StockCount(
            SOURCE, sku, asked.quantity, asked.kind, at=exactly(self.inside.store.wall_us()),
            location=asked.location, reference=because(asked.reference, asked.reason),
        )  # fmt: skip
        return await self._tell(sku, seen, by) | {"kind": asked.kind, "counted": asked.quantity}

    async def adjust(self, asked: Adjust, by: str) -> Json:
        """Units that came or went. A reference that was used before changes nothing, and the answer says so."""
        sku = self.on_the_shelf(asked.sku)
        if not asked.quantity:
            raise ApiError(400, "bad_body", "an adjustment of 0 changes nothing", "say how many came (+) or went (-)")
        self.welcome(sku)
        if asked.reference and (known := await self._used(sku, asked.reference)):
            return self._again(sku, asked, known)
        reference = asked.reference or self.new_id()
        seen = Adjustment(
            SOURCE, reference, sku, asked.quantity, at=exactly(self.inside.store.wall_us()),
            location=asked.location, reason=asked.reason,
        )  # fmt: skip
        return await self._tell(sku, seen, by) | {"reference": reference, "adjusted": asked.quantity}

    async def _used(self, sku: str, reference: str) -> Record | None:
        # The stock forgets an adjustment that a newer count holds; its log does not.
        def meant(record: Record) -> bool:
            message = record.message
            return isinstance(message, Adjustment) and (message.source, message.reference) == (SOURCE, reference)

        return await self.earlier(sku, meant)

    async def earlier(self, sku: str, meant: Callable[[Record], bool]) -> Record | None:
        """The newest event of the SKU that is meant, of as many as are looked through."""
        before = 1 << 62
        for _ in range(REFERENCE_PAGES):
            page = self.inside.store.history(sku, before=before, limit=HISTORY_PAGE)
            for record in page:
                if meant(record):
                    return record
            if len(page) < HISTORY_PAGE:
                return None
            before = page[-1].seq
            await trio.lowlevel.checkpoint()
        return None

    def _again(self, sku: str, asked: Adjust, known: Record) -> Json:
        assert isinstance(known.message, Adjustment)
        was = known.message.quantity
        if was != asked.quantity:
            raise ApiError(
                409, "reference_used", f"the reference {asked.reference!r} stands for {was:+d} of this SKU already",
                "give this adjustment a reference of its own, or leave it out",
            )  # fmt: skip
        state = find_sku(self.inside, sku)
        note = f"nothing changed: this reference was applied at {rfc3339(known.at_us)} already"
        return self._said(state, "known", None, note) | {"reference": asked.reference, "adjusted": 0}

    # -- freezing --

    async def freeze(self, sku: str, by: str, reason: str) -> Json:
        """The SKU's listings keep what they should show until it is unfrozen."""
        find_sku(self.inside, sku)
        return await self._tell(sku, Freeze(frozen=True, by=by, reason=reason), by)

    async def unfreeze(self, sku: str, by: str) -> Json:
        """The SKU's listings follow its stock again."""
        state = find_sku(self.inside, sku)
        if state.freeze is None:
            return self._said(state, "known", None, "nothing changed: the SKU is not frozen")
        return await self._tell(sku, Freeze(frozen=False, by=by), by)

    # -- listings --

    async def push(self, sku: str, by: str) -> Json:
        """Read every listing of the SKU and push what differs, also where a dead letter had stopped it."""
        slots = self._listings(sku)
        letters = [slot.dead_letter for slot in slots if slot.dead_letter]

        def finish(_: Unit) -> None:
            for letter in letters:
                self.inside.dead_letters.remove(letter)

        return await self._revive(sku, slots, by, finish, push=True)

    async def pull(self, sku: str, by: str) -> Json:
        """Read every listing of the SKU as it is now; what differs is mended as always. Dead ones stay stopped."""
        slots = [slot for slot in self._listings(sku) if not slot.dead_letter]
        if not slots:
            raise ApiError(
                409, "stopped", f"every listing of {sku!r} is stopped by a dead letter",
                "see `onhand dead-letters`; `onhand push` starts them again",
            )  # fmt: skip
        return await self._revive(sku, slots, by, None)

    def _listings(self, sku: str) -> list[Slot]:
        state = find_sku(self.inside, sku)
        if not state.slots:
            raise ApiError(
                409, "not_listed", f"no channel lists {sku!r}",
                "give an item at a channel this SKU, then `onhand reconcile`",
            )  # fmt: skip
        return [slot for _, slot in sorted(state.slots.items())]

    async def _revive(
        self, sku: str, slots: Sequence[Slot], by: str, finish: Callable[[Unit], None] | None, *, push: bool = False
    ) -> Json:  # fmt: skip
        self.welcome(sku)
        parts = [
            Part(sku, Revive(slot.channel, slot.listing, anyway=True, push=push), Cause(by, slot.channel))
            for slot in slots
        ]
        await self.inside.registry.deliver(parts, finish)
        asked = [{"channel": slot.channel, "listing": slot.listing} for slot in slots]
        return {"sku": sku, "asked": asked, "note": "asked: each listing is read now, and pushed where it differs"}

    # -- telling --

    def on_the_shelf(self, text: str) -> str:
        """The SKU of a count or an adjustment: any but a kit. Raises `ApiError`."""
        sku = valid_sku(text)
        if recipe := self.inside.registry.kits.get(sku):
            raise ApiError(
                409, "kit", f"{sku!r} is a kit and not on the shelf itself",
                f"count or adjust its components: {', '.join(component for component, _ in recipe)}",
            )  # fmt: skip
        return sku

    def welcome(self, sku: str, *, quarantined: bool = False) -> None:
        """Refuse what cannot be taken now, before anything is written; `quarantined`: in quarantine it can."""
        if reason := self.inside.store.refuses() or self.inside.registry.refuses([sku]):
            raise unavailable(reason)
        if not quarantined and (reason := self.inside.registry.quarantined.get(sku, "")):
            raise ApiError(
                409, "quarantined", f"nothing can be applied to {sku!r}: {reason}",
                "see `onhand dead-letters`; retrying its letters takes it up again",
            )  # fmt: skip

    async def _tell(self, sku: str, message: Message, by: str) -> Json:
        self.welcome(sku, quarantined=isinstance(message, Freeze))
        unit = await self.inside.registry.deliver([Part(sku, message, Cause(by))])
        verdict = unit.verdicts[0]
        state = find_sku(self.inside, sku)
        if verdict in ("superseded", "late", "poison"):
            raise ApiError(
                409, verdict, f"this was not applied to {sku!r}: {VERDICTS[verdict]}",
                "see `onhand history` of this SKU, and check the clock of the daemon's host",
            )  # fmt: skip
        return self._said(state, verdict, self._record(sku, message), VERDICTS.get(verdict, ""))

    def _record(self, sku: str, message: Message) -> Record | None:
        newest = self.inside.store.history(sku, limit=20)
        return next((record for record in newest if record.message == message), None)

    def _said(self, state: Sku, verdict: str, record: Record | None, note: str) -> Json:
        return {
            "sku": state.sku,
            "verdict": verdict,
            "seq": record.seq if record else None,
            "before": record.before if record else state.available,
            "after": record.after if record else state.available,
            **numbers(state),
            "note": note or None,
        }


def because(reference: str, reason: str) -> str:
    """A count keeps one text: its reference, with the reason behind it."""
    return f"{reference} ({reason})" if reference and reason else reference or reason
