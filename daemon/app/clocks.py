"""What is known of the channels' clocks, kept over restarts."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from daemon.app.channel import Channel
from daemon.domain.instants import SECOND_US, ClockOffset, FormerOffset, Span
from daemon.storage.codec import pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import META

CLOCK_DRIFT_US = SECOND_US
"""How far a channel's clock may have drifted from ours while nobody looked; more shows as a contradiction."""


@frozen
class Clocks:
    """The offsets of all channels, as one row."""

    store: Store
    channels: Mapping[str, Channel]

    def recall(self) -> None:
        """What was known of the channels' clocks, a little wider: without it a webhook that comes before a channel's
        first answer could not be told from one of five minutes earlier."""
        for name, (lo, hi, samples, *more) in unpack(self.store.env.get(META, b"clocks") or pack({})).items():
            if name in self.channels:
                span = Span(lo - CLOCK_DRIFT_US, hi + CLOCK_DRIFT_US)
                known_us = more[0] if more else self.store.head.hlc_us
                formers = tuple(FormerOffset(Span(lo, hi), first, last) for lo, hi, first, last in more[1:])
                self.channels[name].account.offset = ClockOffset(span, samples, known_us, formers)
        for channel in self.channels.values():
            channel.account.clock_learned = self.note

    def note(self) -> None:
        """Keep what is known now, with the next commit."""
        offsets = {name: each.account.offset for name, each in self.channels.items()}
        known = {
            name: (
                each.span.lo,
                each.span.hi,
                each.samples,
                each.at_us,
                *((old.span.lo, old.span.hi, old.first_us, old.last_us) for old in each.formers),
            )
            for name, each in offsets.items()
            if each.samples
        }
        if known:
            self.store.put(META, b"clocks", pack(known))
