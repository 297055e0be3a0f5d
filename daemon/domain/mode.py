"""Whether a channel is written to, or only watched: who said so, and what a start makes of it."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

FileMode = Literal["live", "shadow"]
"""What the configuration may say."""

Mode = Literal["live", "shadow", "rollback"]
"""live: levels are pushed · shadow: everything runs, and nothing is ever written · rollback: as shadow, but the
levels from before it went live are written back, because a person asked for that."""


@frozen
class ChannelMode:
    """by: the person who said so; empty: the configuration · since_us: our clock; 0: ever since ·
    going_live: the configuration says live by now, and it will be once what the channel shows is kept"""

    mode: Mode = "live"
    by: str = ""
    since_us: int = 0
    going_live: bool = False

    @property
    def writes(self) -> bool:
        """Is the channel written to as a matter of course?"""
        return self.mode == "live"


def at_start(kept: ChannelMode | None, file: FileMode, now_us: int) -> ChannelMode:
    """The mode after a start. `kept`: the one before it, None where there was none. A person's word stands, whatever
    the configuration says by now. Where that changed to live, what the channel shows is kept first."""
    if kept is None:
        return ChannelMode() if file == "live" else ChannelMode("shadow", "", now_us)
    if kept.by or kept.mode == "rollback":
        return kept
    if kept.mode == "shadow":
        return evolve(kept, going_live=file == "live")
    return kept if file == "live" else ChannelMode("shadow", "", now_us)
