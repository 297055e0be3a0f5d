"""The judges' own instruments: what they keep, and whether they may trust the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.kept import clear, workplace
from tests.crash.wall import Wall


def test_a_folder_in_which_all_was_well_is_gone(tmp_path: Path) -> None:
    said: list[str] = []
    with workplace(tmp_path, say=said.append) as folder:
        (folder / "round-0").mkdir()
        (folder / "round-0" / "events.json").write_text("[]")
        clear(folder / "round-0", [])
    assert (list(tmp_path.iterdir()), said) == ([], [])


def test_what_a_round_with_problems_left_is_kept_and_told(tmp_path: Path) -> None:
    said: list[str] = []
    with workplace(tmp_path, say=said.append) as folder:
        for name, problems in (("round-0", []), ("round-1", ["an order was lost"])):
            (folder / name).mkdir()
            clear(folder / name, problems)
    assert [each.name for each in folder.iterdir()] == ["round-1"]
    assert len(said) == 1
    assert str(folder) in said[0]


def test_a_round_that_broke_off_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), workplace(tmp_path, say=lambda line: None) as folder:
        _break_off(folder / "round-0")
    assert (folder / "round-0").is_dir()


def _break_off(place: Path) -> None:
    place.mkdir()
    raise RuntimeError("a storefront did not start")


def test_everything_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    with workplace(None, tmp_path / "kept") as folder:
        (folder / "round-0").mkdir()
        clear(folder / "round-0", True)
    assert (tmp_path / "kept" / "round-0").is_dir()


class Hands:
    """Two clocks of the machine. Reading the wall takes as long as `held_ns` says, one time after the other."""

    def __init__(self) -> None:
        self.passed_ns = 1_000
        self.off_ns = 77_000_000
        self.held_ns: list[int] = []

    def wall(self) -> int:
        self.passed_ns += self.held_ns.pop() if self.held_ns else 0
        return self.passed_ns + self.off_ns

    def watch(self) -> Wall:
        return Wall(self.wall, lambda: self.passed_ns)


def test_a_clock_that_is_set_back_and_forward_again_is_noticed() -> None:
    hands = Hands()
    wall = hands.watch()
    hands.off_ns -= 3_000_000
    wall.look()
    hands.off_ns += 3_000_000
    assert wall.moved_us == -3_000
    assert "-3000 us" in wall.problems()[0]


def test_a_process_that_is_held_up_between_two_readings_does_not_take_it_for_that() -> None:
    hands = Hands()
    wall = hands.watch()
    hands.held_ns = [9_000_000, 0, 9_000_000, 9_000_000]
    hands.passed_ns += 10**9
    assert wall.problems() == []
