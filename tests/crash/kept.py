"""Where worlds are lived in: a folder that is gone afterwards, but for the worlds in which something was wrong."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

Say = Callable[[str], None]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def workplace(where: Path | None, keep: Path | None = None, say: Say = _say) -> Iterator[Path]:
    """A new folder in `where` (None: the system's place for such), or `keep`, of which nothing is taken away.

    Whoever works there clears away what was well; if anything is left then, or the work broke off, it stays and is
    told.
    """
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="onhand-crash-", dir=where))
    try:
        yield folder
    finally:
        if any(folder.iterdir()):
            say(f"what the problems left behind is in {folder}")
        else:
            folder.rmdir()


def clear(place: Path, problems: object) -> None:
    """The world in `place` is over: nobody needs it any more, unless there were problems in it."""
    if not problems:
        shutil.rmtree(place)
