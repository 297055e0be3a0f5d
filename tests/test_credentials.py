"""Secrets: found where the reference says, missing with a sentence, and never shown."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from daemon.credentials import (
    MAX_SECRET_BYTES,
    CredentialError,
    Secret,
    SecretRef,
    WebhookSecret,
    resolve,
    resolver,
)
from daemon.ports import FileContents, ReadFile, read_file

USER = "channels.shop.token"


def files(**contents: bytes | FileContents) -> ReadFile:
    def read(path: str, max_bytes: int) -> FileContents:
        if path.strip("/").replace("/", "_") not in contents:
            raise FileNotFoundError(2, "No such file or directory", path)
        found = contents[path.strip("/").replace("/", "_")]
        return FileContents(found[: max_bytes + 1], 0o400) if isinstance(found, bytes) else found

    return read


def found(ref: SecretRef, environ: dict[str, str] | None = None, **contents: bytes | FileContents) -> str:
    return resolve(ref, environ or {}, files(**contents), user=USER).reveal()


def refusal(ref: SecretRef, environ: dict[str, str] | None = None, **contents: bytes | FileContents) -> str:
    with pytest.raises(CredentialError) as caught:
        found(ref, environ, **contents)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_each_kind_of_reference_is_followed() -> None:
    assert found(SecretRef("env", "T"), {"T": "abc"}) == "abc"
    assert found(SecretRef("file", "/etc/t"), etc_t=b"abc\n") == "abc"
    assert found(SecretRef("credential", "t"), {"CREDENTIALS_DIRECTORY": "/run/c/"}, run_c_t=b"abc\n") == "abc"
    assert found(SecretRef("inline", inline=Secret("abc"))) == "abc"


@pytest.mark.parametrize(
    ("written", "value"),
    [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), ("ü€\n".encode(), "ü€"), (b"a\nb", "a\nb")],
)
def test_exactly_one_trailing_newline_is_not_part_of_a_secret(written: bytes, value: str) -> None:
    assert found(SecretRef("file", "/t"), t=written) == value


def test_what_is_missing_is_said_with_its_user_and_a_remedy() -> None:
    assert refusal(SecretRef("env", "T")) == (
        "channels.shop.token: the environment variable T is not set: set it, or use a systemd credential instead"
    )
    assert refusal(SecretRef("file", "/t")) == (
        "channels.shop.token: the secret {file: /t} cannot be read (No such file or directory): check the path"
    )
    assert refusal(SecretRef("credential", "t"), {"CREDENTIALS_DIRECTORY": "/run"}) == (
        "channels.shop.token: the secret {credential: t} cannot be read (No such file or directory): "
        "add LoadCredential=t:PATH to the unit"
    )
    assert "$CREDENTIALS_DIRECTORY is not set" in refusal(SecretRef("credential", "t"))


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused(mode: int) -> None:
    told = refusal(SecretRef("file", "/t"), t=FileContents(b"abc", mode))
    assert told == f"channels.shop.token: others may read or change /t (mode {mode:04o}): chmod 600 /t"


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_for_its_owner_and_the_readers_of_its_group_is_taken(mode: int) -> None:
    assert found(SecretRef("file", "/t"), t=FileContents(b"abc", mode)) == "abc"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\0b", "not UTF-8"),
        (b"\xff", "not UTF-8"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(value: bytes, words: str) -> None:
    assert words in refusal(SecretRef("file", "/t"), t=value)


def test_bytes_of_the_environment_that_are_no_text_are_refused() -> None:
    assert "not UTF-8" in refusal(SecretRef("env", "T"), {"T": "abc\udcff"})


def test_no_refusal_repeats_a_value() -> None:
    told = [
        refusal(SecretRef("file", "/t"), t=FileContents(b"hunter2", 0o644)),
        refusal(SecretRef("file", "/t"), t=b"hunter2\0"),
        refusal(SecretRef("file", "/t"), t=b"hunter2\xff"),
        refusal(SecretRef("file", "/t"), t=b"hunter2" * MAX_SECRET_BYTES),
        refusal(SecretRef("env", "T"), {"T": "hunter2\udcff"}),
    ]
    assert not any("hunter2" in sentence for sentence in told)


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", "%s" % secret, repr({"a": [secret]})]  # noqa: UP031
    shown += [repr(WebhookSecret(secret)), repr(SecretRef("inline", inline=secret)), str(SecretRef("inline"))]
    assert not any("hunter2" in text for text in shown)
    assert not hasattr(secret, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            leak(secret)


def test_equal_secrets_are_equal_and_hash_alike() -> None:
    assert Secret("ü") == Secret("ü")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_webhook_secret_counts_until_its_end() -> None:
    assert WebhookSecret(Secret("a")).live(10**18)
    ending = WebhookSecret(Secret("a"), until_us=100)
    assert (ending.live(99), ending.live(100)) == (True, False)


def test_every_value_a_resolver_finds_is_told_so_that_the_log_can_hide_it() -> None:
    told: list[Secret] = []
    find = resolver({"T": "abc"}, files(), told.append)
    assert find(SecretRef("env", "T"), USER) == Secret("abc")
    with pytest.raises(CredentialError, match=r"^channels\.shop\.token: "):
        find(SecretRef("env", "U"), USER)
    assert told == [Secret("abc")]


def test_a_reference_says_where_and_nothing_else() -> None:
    assert str(SecretRef("credential", "shop-token")) == "{credential: shop-token}"


def test_files_are_read_with_their_mode_and_up_to_one_byte_more(tmp_path: Path) -> None:
    file = tmp_path / "t"
    file.write_bytes(b"x" * 10)
    file.chmod(0o640)
    assert read_file(str(file), 4) == FileContents(b"xxxxx", 0o640)
    assert read_file(str(file), 10) == FileContents(b"x" * 10, 0o640)


def test_a_folder_or_a_pipe_in_place_of_a_file_fails_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(OSError, match=r"regular file|Is a directory"):
            read_file(str(path), 100)
