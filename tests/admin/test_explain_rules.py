"""Every rule that `explain` can name has its test, by name; and a new sentence without one fails here.

What the code can say is read from its syntax tree: each template of a sentence in `explain.py`, in the words for a
slot, and in the policy must be in what one of the cases below made it say of a real SKU, registry and channel.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import get_args

import pytest

from daemon.admin import explain, words
from daemon.admin.drift import DONE
from daemon.domain import policy
from daemon.domain.slot import Held
from tests.admin.explain_cases import CASES, Scene, ill, spoken


@pytest.mark.parametrize("held", [held for held in words.HELD if held])
def test_why_a_listing_is_held_is_said(tmp_path: Path, held: str) -> None:
    def hold(scene: Scene) -> None:
        scene.slot.held = held

    assert any(words.HELD[held] in said for said in spoken(tmp_path, "A", hold))


def test_what_is_held_knows_every_reason() -> None:
    assert set(words.HELD) == set(get_args(Held))


@pytest.mark.parametrize("state", ["down", "throttled"])
def test_a_channel_that_does_not_take_pushes_is_said_with_its_error(tmp_path: Path, state: str) -> None:
    said = spoken(tmp_path, "A", lambda scene: ill(scene, state))
    assert f"the channel is {state}: 503 for a while" in said


@pytest.mark.parametrize("done", DONE)
def test_what_was_done_about_a_drift_is_said(tmp_path: Path, done: str) -> None:
    async def drift(scene: Scene) -> None:
        scene.drift(done)
        await scene.house.store.flush()

    assert any(said.endswith(f"; done: {DONE[done]}") for said in spoken(tmp_path, "A", drift))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """What each case has `explain` say, asked once."""

    @cache
    def of(name: str) -> list[str]:
        sku, happens, _ = CASES[name]
        return spoken(tmp_path_factory.mktemp("house"), sku, happens)

    return of


@pytest.mark.parametrize("name", CASES)
def test_the_rule_is_named(name: str, heard: Callable[[str], list[str]]) -> None:
    said = heard(name)
    for wanted in CASES[name][2]:
        assert any(wanted in each for each in said), f"{wanted!r} is not said: {said}"


@pytest.mark.parametrize("name", CASES)
def test_the_rule_is_named_only_where_it_holds(name: str, heard: Callable[[str], list[str]]) -> None:
    """Of a SKU of which nothing is to be said, none of it is."""
    if name in ("count", "belief", "settled", "pending", "kit", "buffer", "share", "cap"):
        return  # these are of every SKU, or of numbers
    plain = [*heard("count"), *heard("kit")]
    for wanted in CASES[name][2]:
        assert not any(wanted in each for each in plain)


SOURCES: tuple[ModuleType | FunctionType, ...] = (explain, words.doings, words.belief, words._by, policy.explained)
"""What makes the sentences of `explain`."""


def templates(source: ModuleType | FunctionType) -> Iterator[tuple[str, str]]:
    """Every sentence, or part of one, in the code: as it stands there, and as a pattern of what it says."""
    tree = ast.parse(inspect.getsource(source))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pattern = "".join(
                re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in node.values
            )
            text = ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inner:
            pattern, text = re.escape(node.value), node.value
        else:
            continue
        if len(re.findall(r"[a-z]{2,}", pattern.replace(".*", " "))) >= 2 and " " in text:
            yield text, pattern


def unsaid(said: list[str]) -> list[str]:
    """Templates that nobody heard."""
    return [
        text for source in SOURCES for text, pattern in templates(source)
        if not any(re.search(pattern, each, re.DOTALL) for each in said)
    ]  # fmt: skip


def test_every_sentence_in_the_code_is_said_by_a_case(heard: Callable[[str], list[str]]) -> None:
    assert unsaid([each for name in CASES for each in heard(name)]) == []


def test_a_rule_without_a_case_would_be_noticed(heard: Callable[[str], list[str]]) -> None:
    for name in ("cap", "paused channel", "held raise, stale feed", "frozen", "older request alive"):
        rest = [each for other in CASES if other != name for each in heard(other)]
        if name == "held raise, stale feed":
            rest = [each for each in rest if "order feed" not in each]
        assert unsaid(rest), name


def test_the_code_is_read(heard: Callable[[str], list[str]]) -> None:
    assert sum(1 for source in SOURCES for _ in templates(source)) > 45
