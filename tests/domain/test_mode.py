"""What a start makes of a channel's mode: a person's word stands; the configuration's live waits for a snapshot."""

from __future__ import annotations

import pytest

from daemon.domain.mode import ChannelMode, at_start

NOW = 7_000


def test_without_any_word_the_configuration_decides() -> None:
    assert at_start(None, "live", NOW) == ChannelMode("live", "", 0)
    assert at_start(None, "shadow", NOW) == ChannelMode("shadow", "", NOW)


@pytest.mark.parametrize("mode", ["live", "shadow", "rollback"])
@pytest.mark.parametrize("file", ["live", "shadow"])
def test_a_persons_word_stands_whatever_the_configuration_says(mode: str, file: str) -> None:
    kept = ChannelMode(mode, "ann", 5)  # type: ignore[arg-type]  # each is a Mode
    assert at_start(kept, file, NOW) == kept  # type: ignore[arg-type]  # each is a FileMode


def test_a_configuration_that_says_live_by_now_leaves_the_channel_in_shadow_until_what_it_shows_is_kept() -> None:
    kept = ChannelMode("shadow", "", 5)
    waiting = at_start(kept, "live", NOW)
    assert waiting == ChannelMode("shadow", "", 5, going_live=True)
    assert not waiting.writes
    assert at_start(waiting, "shadow", NOW) == kept


def test_a_configuration_that_says_shadow_by_now_holds_at_once() -> None:
    assert at_start(ChannelMode("live", "", 5), "shadow", NOW) == ChannelMode("shadow", "", NOW)
    assert at_start(ChannelMode("live", "", 5), "live", NOW) == ChannelMode("live", "", 5)
