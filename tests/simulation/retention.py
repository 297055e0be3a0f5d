"""Events kept for seconds instead of months, so that a short life sees them go."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from daemon.config_retention import RetentionSettings


@frozen
class KeptFor(RetentionSettings):
    """`history_us`: how long events are kept, 0: for ever."""

    history_us: int = 0  # type: ignore[misc]  # a field in the place of what is reckoned from whole days


@frozen
class ShortRetention(KeptFor):
    """In small grains, too, for lives of a few hundred events."""

    history_grain: ClassVar[int] = 16
