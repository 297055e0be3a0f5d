"""A store without room refuses, and takes work again by itself when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.storage import store
from tests.harness import housed, until


async def test_a_sleeping_committer_wakes_up_to_see_that_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RETRY_S", 0.001)
    async with housed(tmp_path) as house:
        await house.counted("A", 1)
        house.clock.us += 2_000_000
        house.store.disk_floor_bytes = 1 << 62
        assert "less than the floor" in house.store.refuses()
        house.store.disk_floor_bytes = 0
        await until(lambda: not house.store.trouble)
        assert house.store.refuses() == ""


async def test_a_letter_that_two_people_remove_is_gone_once(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        letter = house.dead_letters.add("puzzle", 1, channel="shop", sku="", cause="c", subject="s", content=b"")
        await house.store.flush()
        assert house.dead_letters.count == 1
        house.dead_letters.remove(letter.letter)
        house.dead_letters.remove(letter.letter)
        await house.store.flush()
        assert house.dead_letters.count == 0
