"""Replaced refresh tokens: one private file each, put in place as a whole, and never a secret elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from daemon import ports
from daemon.credentials import CredentialError
from daemon.ports import FileContents, keep_file, read_file
from daemon.vault import FileVault


async def at_once(fn: Any) -> Any:
    await trio.lowlevel.checkpoint()
    return fn()


def vault(folder: Path, **given: Any) -> FileVault:
    made: dict[str, Any] = {"read_file": read_file, "keep_file": keep_file, "run_blocking": at_once}
    return FileVault(str(folder), "shop-eu", **(made | given))


async def test_what_was_kept_is_found_by_the_next_life_and_by_nobody_else(tmp_path: Path) -> None:
    assert vault(tmp_path).kept("main", "r0") == "r0"
    assert await vault(tmp_path).keep("main", "r0", "r1") == ""
    assert await vault(tmp_path).keep("main", "r0", "r2") == ""
    assert vault(tmp_path).kept("main", "r0") == "r2"
    assert vault(tmp_path).kept("other", "r0") == "r0"
    path = tmp_path / "secrets" / "shop-eu.main"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["shop-eu.main"]


async def test_a_newly_configured_refresh_token_ends_what_came_of_the_old_one(tmp_path: Path) -> None:
    await vault(tmp_path).keep("main", "r0", "r1")
    assert vault(tmp_path).kept("main", "fresh consent") == "fresh consent"
    await vault(tmp_path).keep("main", "fresh consent", "r2")
    assert vault(tmp_path).kept("main", "fresh consent") == "r2"
    assert vault(tmp_path).kept("main", "r0") == "r0"


async def test_the_configured_token_itself_is_not_in_the_file(tmp_path: Path) -> None:
    await vault(tmp_path).keep("main", "the configured one", "r1")
    assert b"configured" not in (tmp_path / "secrets" / "shop-eu.main").read_bytes()


@pytest.mark.parametrize(
    ("mode", "content", "sentence"),
    [
        (0o640, b"{}", "may be read by others (mode 0640): chmod 600"),
        (0o600, b"{", "is damaged: remove it, and configure a new refresh token"),
        (0o600, b'{"grew_of":"x"}', "is damaged"),
        (0o600, b'{"grew_of":"x","token":1}', "is damaged"),
        (0o600, b"\xff" * 70_000, "is damaged"),
    ],
)
def test_a_file_that_cannot_be_relied_on_is_a_sentence(
    mode: int, content: bytes, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CredentialError) as raised:
        vault(tmp_path, read_file=lambda path, most: FileContents(content, mode)).kept("main", "r0")
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("channels.shop-eu: the kept refresh token ")


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "shop-eu.main").mkdir(parents=True)
    with pytest.raises(CredentialError, match=r"cannot be read \(.*\): give it to the daemon's user"):
        vault(tmp_path).kept("main", "r0")


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    def refuse(path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device", path)

    why = await vault(tmp_path, keep_file=refuse).keep("main", "r0", "r1")
    assert why == f"{tmp_path}/secrets/shop-eu.main cannot be written (No space left on device)"


@pytest.mark.parametrize("step", ["os.open", "os.fsync", "os.rename"])
def test_a_write_that_fails_anywhere_leaves_what_was_there(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets" / "shop-eu.main"
    keep_file(str(path), b"before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(step, fail)
        with pytest.raises(OSError, match="Input/output"):
            keep_file(str(path), b"after")
    assert path.read_bytes() == b"before"
    keep_file(str(path), b"after")
    assert path.read_bytes() == b"after"
    assert os.listdir(path.parent) == ["shop-eu.main"]


def test_a_link_in_the_place_of_the_draft_is_not_followed(tmp_path: Path) -> None:
    path, prey = tmp_path / "secrets" / "shop-eu.main", tmp_path / "prey"
    prey.write_bytes(b"untouched")
    path.parent.mkdir()
    os.symlink(prey, f"{path}.new")
    keep_file(str(path), b"token")
    assert (prey.read_bytes(), path.read_bytes()) == (b"untouched", b"token")


def test_it_is_durable_before_it_is_in_place_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"sync {kind}")
        real_fsync(descriptor)

    def rename(old: str, new: str) -> None:
        steps.append("rename")
        real_rename(old, new)

    monkeypatch.setattr(ports.os, "fsync", fsync)
    monkeypatch.setattr(ports.os, "rename", rename)
    keep_file(str(tmp_path / "secrets" / "x"), b"token")
    assert steps == ["sync file", "rename", "sync folder", "sync folder"]
