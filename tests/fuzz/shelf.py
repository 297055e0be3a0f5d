"""Where inputs are kept: the small composed corpus, and every input that ever broke something."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fuzz.target import Target

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CRASHES = HERE / "crashes"
KEPT_BYTES_MAX = 600


def kept(target: Target) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every kept input, the saved crashes included."""
    for shelf in (CORPUS, CRASHES):
        for path in sorted((shelf / target.name).glob("*")):
            yield f"{shelf.name}/{target.name}/{path.name}", path.read_bytes()


def inputs(target: Target) -> Iterator[tuple[str, bytes]]:
    """What is kept, and what the target makes for itself (also of the channels' recordings, where they are)."""
    yield from kept(target)
    for place, data in enumerate(target.seeds()):
        yield f"{target.name} seed {place}", data


def grow(target: Target, found: Iterable[bytes], most: int) -> None:
    """Keep up to `most` of the inputs that reached something new: small ones, as unlike in length as can be."""
    small = sorted({data for data in found if 0 < len(data) <= KEPT_BYTES_MAX}, key=lambda data: (len(data), data))
    for data in small[:: max(1, -(-len(small) // most))][:most]:
        _shelve(CORPUS / target.name, data)


def save_crash(target: Target, data: bytes) -> Path:
    """Keep an input that broke something."""
    return _shelve(CRASHES / target.name, data)


def _shelve(folder: Path, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path
