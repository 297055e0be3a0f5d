"""What can happen to the files of a state directory while nobody looks, each kind drawn from dice."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

PAGE = 4_096


@frozen
class Past:
    """Where older and foreign files come from: `older` is an earlier moment of the same state, `other` another
    state altogether; both are state directories."""

    older: Path
    other: Path


Damage = Callable[[Path, random.Random, Past], str]
"""Does it to a state directory; says what it did."""


def _data(directory: Path) -> bytearray:
    return bytearray((directory / "data.mdb").read_bytes())


def _put(directory: Path, content: bytes | bytearray) -> None:
    """Into the file that is there, as a disk or a careless person does it; the times stay, as a disk leaves them."""
    path = directory / "data.mdb"
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _page(content: bytes | bytearray, dice: random.Random) -> int:
    return dice.randrange(len(content) // PAGE) * PAGE


def flipped_bits(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    places = [dice.randrange(len(content)) for _ in range(dice.choice((1, 1, 2, 8)))]
    for place in places:
        content[place] ^= 1 << dice.randrange(8)
    _put(directory, content)
    return f"bits flipped at {places}"


def changed_bytes(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    place, length = dice.randrange(len(content)), dice.choice((1, 2, 8, 64))
    content[place : place + length] = dice.randbytes(len(content[place : place + length]))
    _put(directory, content)
    return f"{length} bytes changed at {place}"


def used_bytes_changed(directory: Path, dice: random.Random, _: Past) -> str:
    """Where something is written: most of a small file is free space, and nothing comes of damage there."""
    content = _data(directory)
    used = [place for place in range(2 * PAGE, len(content)) if content[place]]
    place = dice.choice(used)
    content[place] ^= dice.randrange(1, 256)
    _put(directory, content)
    return f"a used byte changed at {place}"


def flipped_key(directory: Path, dice: random.Random, _: Past) -> str:
    """A bit of a name: a row that is not found is not a row that is wrong."""
    content = _data(directory)
    names = (b"SKU-", b"L-SKU-", b"north", b"south", b"O-0000", b"head", b"checkpoint")
    name = dice.choice(names)
    places = [place for place in range(len(content)) if content.startswith(name, place)]
    if not places:
        return "nothing: there is no such name"
    place = dice.choice(places) + dice.randrange(len(name) + 1)
    content[place] ^= 1 << dice.randrange(8)
    _put(directory, content)
    return f"a bit of the name {name!r} flipped at {place}"


def garbage_sector(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    place = dice.randrange(len(content) // 512) * 512
    content[place : place + 512] = dice.randbytes(512)
    _put(directory, content)
    return f"a sector of garbage at {place}"


def zeroed_page(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    place = _page(content, dice)
    content[place : place + PAGE] = bytes(PAGE)
    _put(directory, content)
    return f"page {place // PAGE} zeroed"


def swapped_pages(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    one, two = _page(content, dice), _page(content, dice)
    first, second = content[one : one + PAGE], content[two : two + PAGE]
    content[one : one + PAGE], content[two : two + PAGE] = second, first
    _put(directory, content)
    return f"pages {one // PAGE} and {two // PAGE} swapped"


def copied_page(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    one, two = _page(content, dice), _page(content, dice)
    content[one : one + PAGE] = content[two : two + PAGE]
    _put(directory, content)
    return f"page {one // PAGE} overwritten by page {two // PAGE}"


def stale_page(directory: Path, dice: random.Random, past: Past) -> str:
    """A write that the disk said it had done and never did."""
    content, older = _data(directory), (past.older / "data.mdb").read_bytes()
    changed = [
        place
        for place in range(0, min(len(content), len(older)), PAGE)
        if content[place : place + PAGE] != older[place : place + PAGE]
    ]
    if not changed:
        return "nothing: no page was written since"
    place = dice.choice(changed)
    content[place : place + PAGE] = older[place : place + PAGE]
    _put(directory, content)
    return f"page {place // PAGE} as it was before"


def truncated(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    left = dice.choice((0, 1, 100, PAGE, PAGE + 7, 2 * PAGE, _page(content, dice), dice.randrange(len(content))))
    _put(directory, content[:left])
    return f"cut to {left} bytes of {len(content)}"


def lengthened(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    _put(directory, content + dice.choice((bytes(PAGE), dice.randbytes(PAGE), b"\n", dice.randbytes(777))))
    return "something appended"


def garbage_header(directory: Path, dice: random.Random, _: Past) -> str:
    content, length = _data(directory), dice.choice((16, 64, 200, PAGE, 2 * PAGE))
    content[:length] = dice.randbytes(length)
    _put(directory, content)
    return f"the first {length} bytes are garbage"


def meta_page(directory: Path, dice: random.Random, _: Past) -> str:
    content = _data(directory)
    place = dice.choice((0, PAGE)) + dice.randrange(160)
    kind = dice.choice(("bit", "byte", "swap", "zero"))
    if kind == "bit":
        content[place] ^= 1 << dice.randrange(8)
    elif kind == "byte":
        content[place] = dice.randrange(256)
    elif kind == "swap":
        content[:PAGE], content[PAGE : 2 * PAGE] = content[PAGE : 2 * PAGE], content[:PAGE]
    else:
        content[place // PAGE * PAGE : place // PAGE * PAGE + PAGE] = bytes(PAGE)
    _put(directory, content)
    return f"meta pages: {kind} at {place}"


def wrong_file(directory: Path, dice: random.Random, past: Past) -> str:
    foreign = {
        "a text": b"to be, or not to be\n" * 900,
        "a database of another kind": b"SQLite format 3\0" + dice.randbytes(8_192),
        "the data of another state": (past.other / "data.mdb").read_bytes(),
        "an archive": b"\x1f\x8b\x08\0" + dice.randbytes(20_000),
    }
    name = dice.choice(sorted(foreign))
    _put(directory, foreign[name])
    return name


def older_copy(directory: Path, _: random.Random, past: Past) -> str:
    shutil.copy2(past.older / "data.mdb", directory / "data.mdb")
    return "an older copy of the file"


def missing_file(directory: Path, dice: random.Random, _: Past) -> str:
    """One file or two. Where the database and both markers are gone nothing says that there ever was a state."""
    there = sorted(each.name for each in directory.iterdir() if each.is_file())
    gone = dice.sample(there, k=dice.choice((1, 2)))
    for name in gone:
        (directory / name).unlink()
    return f"gone: {', '.join(gone)}"


def damaged_marker(directory: Path, dice: random.Random, past: Past) -> str:
    name = dice.choice([each for each in ("initialised", "closed", "unclean") if (directory / each).exists()])
    content = bytearray((directory / name).read_bytes())
    other = (past.other / name).read_bytes() if (past.other / name).exists() else b"\xff\xfe"
    flipped = bytearray(content or b"\0")
    flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
    kinds = {"empty": b"", "flipped": flipped, "cut": content[: len(content) // 2], "another's": other,
             "garbage": dice.randbytes(30)}  # fmt: skip
    kind = dice.choice(sorted(kinds))
    (directory / name).write_bytes(kinds[kind])
    return f"the marker {name}: {kind}"


def lock_files(directory: Path, dice: random.Random, _: Past) -> str:
    name = dice.choice(("lock.mdb", "onhand.lock"))
    path = directory / name
    path.unlink(missing_ok=True)
    kind = dice.choice(("gone", "empty", "garbage", "long", "a directory"))
    if kind == "a directory":
        path.mkdir()
    elif kind != "gone":
        path.write_bytes({"empty": b"", "garbage": dice.randbytes(8_192), "long": bytes(70_000)}[kind])
    return f"{name}: {kind}"


KINDS: tuple[Damage, ...] = (
    flipped_bits, changed_bytes, used_bytes_changed, flipped_key, garbage_sector, zeroed_page, swapped_pages,
    copied_page, stale_page, truncated, lengthened, garbage_header, meta_page, wrong_file, older_copy, missing_file,
    damaged_marker, lock_files,
)  # fmt: skip

IN_PLACE: tuple[Damage, ...] = (
    flipped_bits, changed_bytes, used_bytes_changed, flipped_key, garbage_sector, zeroed_page, swapped_pages,
    copied_page,
)  # fmt: skip
"""What a disk does to a file that is in use."""
