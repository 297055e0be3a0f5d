"""What a disk may hold after a power cut: everything synced, and of the rest whatever chance had written by then."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from attrs import define, field

from tests.storage_faults.tap import Operation

SECTOR = 512
"""Bytes that a disk writes whole or not at all: the one thing LMDB takes for granted of it."""
LEFT_OUT = {"lock.mdb", "onhand.lock"}
"""They hold nothing that outlives a process."""


@define(eq=False)
class _File:
    content: bytearray = field(factory=bytearray)
    """What is durable."""
    pending: list[Operation] = field(factory=list)
    """What is not synced yet, oldest first."""

    def apply(self, operation: Operation) -> None:
        if operation.kind == "t":
            del self.content[operation.offset :]
            self.content.extend(bytes(operation.offset - len(self.content)))
            return
        end = operation.offset + len(operation.content)
        self.content.extend(bytes(max(0, end - len(self.content))))
        self.content[operation.offset : end] = operation.content

    def sync(self) -> None:
        for operation in self.pending:
            self.apply(operation)
        self.pending.clear()


@define(eq=False)
class _Naming:
    """A change of a directory: a name comes to stand for a file (None: for nothing)."""

    name: str
    file: _File | None


@define
class Disk:
    """The files of one flat directory, as far as they are durable, and what is not durable yet."""

    directory_inode: int
    names: dict[str, _File] = field(factory=dict)
    """Durable."""
    seen: dict[str, _File] = field(factory=dict)
    """As the running system sees them."""
    unsynced: list[_Naming] = field(factory=list)
    files: dict[int, _File] = field(factory=dict)

    def do(self, operation: Operation, *, cut: bool = False) -> None:
        """One more operation; `cut`: the power goes in the middle of it."""
        match operation.kind:
            case "c":
                made = self.files[operation.inode] = _File()
                self._name(_base(operation.content), made)
            case "u":
                self._name(_base(operation.content), None)
            case "r":
                old, new = map(_base, operation.content.split(b"\0"))
                moved = self.seen[old]
                self._name(new, moved)
                self._name(old, None)
            case "s" if operation.inode == self.directory_inode:
                if not cut:
                    for naming in self.unsynced:
                        self._settle(naming)
                    self.unsynced.clear()
            case "s" if operation.inode in self.files and not cut:
                self.files[operation.inode].sync()
            case "w" | "t" if operation.inode in self.files:
                file = self.files[operation.inode]
                if operation.durable and not cut:
                    file.apply(operation)
                else:
                    file.pending.append(operation)

    def _name(self, name: str, file: _File | None) -> None:
        self.unsynced.append(_Naming(name, file))
        _put(self.seen, name, file)

    def _settle(self, naming: _Naming) -> None:
        _put(self.names, naming.name, naming.file)

    def lose_power(self, rng: random.Random) -> None:
        """Of everything unsynced, some becomes durable; nothing else ever will."""
        keeps = _fate(rng)
        for naming in self.unsynced:
            if keeps():
                self._settle(naming)
        for file in self.files.values():
            keeps, torn = _fate(rng), rng.random() < 0.4
            for operation in file.pending:
                if not torn or operation.kind == "t":
                    if keeps():
                        file.apply(operation)
                    continue
                for start in range(0, len(operation.content), SECTOR):
                    if keeps():
                        piece = operation.content[start : start + SECTOR]
                        file.apply(Operation("w", False, 0, operation.offset + start, piece))

    def write(self, directory: Path) -> None:
        """The durable files, into an empty directory."""
        for name, file in self.names.items():
            if name not in LEFT_OUT:
                (directory / name).write_bytes(file.content)


def _put(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _base(path: bytes) -> str:
    return PurePath(path.decode()).name


def _fate(rng: random.Random) -> Callable[[], bool]:
    """Whether a piece is kept: none, all, each by chance, or all up to some moment."""
    kind = rng.choice(("none", "all", "some", "some", "first"))
    odds = rng.choice((0.1, 0.5, 0.9))
    lucky = [kind != "none"]

    def keeps() -> bool:
        if kind == "some":
            return rng.random() < odds
        if kind == "first" and rng.random() < 0.2:
            lucky[0] = False
        return lucky[0]

    return keeps


def image(
    operations: Sequence[Operation], cut: int, directory_inode: int, rng: random.Random
) -> tuple[Disk, list[bytes]]:
    """The disk when the power goes during operation number `cut`, and what had been acknowledged before."""
    disk, acknowledged = Disk(directory_inode), []
    for operation in operations[:cut]:
        if operation.kind == "A":
            acknowledged.append(operation.content)
        else:
            disk.do(operation)
    if cut < len(operations) and operations[cut].kind != "A":
        disk.do(operations[cut], cut=True)
    disk.lose_power(rng)
    return disk, acknowledged
