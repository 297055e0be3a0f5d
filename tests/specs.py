"""Vendors' schemas and computed vectors: found beside the repository, never copied into it."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared" / "channels" / "specs"


@cache
def text(name: str) -> str:
    """A file of a channel, e.g. "etsy/vectors.json". Skips the test where it is absent, fails it where CI=true."""
    path = ROOT / name
    if not path.exists():
        untested(f"{path} is missing (schemas and vectors belong in {ROOT})")
    return path.read_text("utf-8")


def load(name: str) -> Any:
    """A JSON file of a channel."""
    return json.loads(text(name))


def untested(why: str) -> NoReturn:
    """Skips aloud; where CI=true, fails."""
    why = f"NOT TESTED against the vendor's own material: {why}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(why)
    pytest.skip(why)
