"""The platforms' own libraries for Node: asked all at once, in one process."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import specs

HERE = Path(__file__).parent
INSTALL = "bash tests/adapters/oracles/install.sh"
PATIENCE_S = 300
"""A busy machine may be so slow."""


def folder() -> Path:
    """Where the libraries are. Skips aloud where they are not; in CI that fails."""
    found = Path(os.environ.get("ONHAND_ORACLES") or HERE.parents[2] / ".oracles")
    if shutil.which("node") is None:
        specs.untested(f"there is no Node.js: install it (with npm), then run {INSTALL}")
    missing = [name for name in pinned() if not (found / "node_modules" / name / "package.json").is_file()]
    if missing:
        specs.untested(f"{', '.join(missing)} not in {found}: run {INSTALL}")
    return found


def pinned() -> Mapping[str, str]:
    """Every library that is asked, and its one version."""
    found: Mapping[str, str] = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    return found


def ask(questions: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One answer a question, in their order. Each names in `ask` what it asks (see answer.cjs)."""
    lines = "".join(f"{json.dumps(each)}\n" for each in questions)
    done = subprocess.run(
        ["node", str(HERE / "answer.cjs"), str(folder())],
        input=lines.encode(), capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2_000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


def in_base64(body: bytes) -> str:
    """As a body goes into a question."""
    return base64.b64encode(body).decode()
