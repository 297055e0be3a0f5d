"""The libraries for Node are the versions that are named, down to the last that they need; none names a host."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.adapters.oracles.node import HERE, folder, pinned


def locked() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"]
    return found


def test_every_library_has_one_version_and_a_checksum() -> None:
    for name, version in pinned().items():
        assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version), f"{name} {version} is a range"
        assert locked()[f"node_modules/{name}"]["version"] == version
    for place, each in locked().items():
        assert not place or each["integrity"].startswith("sha512-"), place
        assert "resolved" not in each, f"{place} names where it comes from: strip it, the client knows"


def test_those_are_installed() -> None:
    for name, version in pinned().items():
        told = json.loads((folder() / "node_modules" / name / "package.json").read_text("utf-8"))
        assert told["version"] == version
