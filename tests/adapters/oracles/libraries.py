"""Libraries for Python that none of ours imports but the tests."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests import specs


def library(name: str) -> Any:
    """A module of an installed library. Skips aloud where the extra [test] is not installed; in CI that fails."""
    if find_spec(name.partition(".")[0]) is None:
        specs.untested(f"{name.partition('.')[0]} is not installed: pip install -e '.[test]'")
    return import_module(name)
