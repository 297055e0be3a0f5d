"""Secrets: references in the configuration, values only in memory, and never in a log, a repr or a pickle."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Literal, NoReturn

from attrs import field, frozen

from daemon.ports import ReadFile

MAX_SECRET_BYTES = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""What a credential may be called: it becomes a file name, so it must not be a path."""

_OTHERS_MAY_READ_OR_WRITE = 0o007
_GROUP_MAY_WRITE = 0o020


class CredentialError(Exception):
    """A secret cannot be had. Its text is one sentence that names the reference and the remedy, never the value."""


class Secret:
    """A value that shows itself to `reveal` alone. Compares in constant time; refuses to be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value. Call it where it is used, and keep what it returns out of attributes."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(Secret)  # one bucket: a hash of the value would be a fact about it

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


@frozen
class SecretRef:
    """Where a secret is kept. `name` is the credential's name, the file's path or the variable's name.

    `inline` holds the value where a platform lets it stand in the configuration (the sandbox alone); `name` is
    empty then. `until_us` (µs since 1970): from then on the secret counts no more; None: no such end.
    """

    kind: Literal["credential", "file", "env", "inline"]
    name: str = ""
    inline: Secret | None = None
    until_us: int | None = None

    def __str__(self) -> str:
        return "the inline secret" if self.kind == "inline" else f"{{{self.kind}: {self.name}}}"


@frozen
class WebhookSecret:
    """A resolved webhook secret and the moment it stops counting (rotation)."""

    secret: Secret = field(repr=False)
    until_us: int | None = None

    def live(self, now_us: int) -> bool:
        """Does it still count at `now_us`?"""
        return self.until_us is None or now_us < self.until_us


def name_problem(kind: str, name: str) -> str | None:
    """Why `name` cannot be the name of such a reference, as a sentence; None where it can.

    The name is not repeated: who puts the secret itself here by mistake shall not find it in a log.
    """
    if kind == "credential" and not _NAME.fullmatch(name):
        return "this cannot be a credential's name: use letters, digits, '_', '-' and '.', and no '/'"
    if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "this cannot be the name of an environment variable: use letters, digits and '_'"
    if not name or "\0" in name:
        return "name the file that holds the secret"
    return None


def resolve(ref: SecretRef, environ: Mapping[str, str], read_file: ReadFile, *, user: str) -> Secret:
    """The value behind `ref`, without one trailing newline.

    `user` says whose secret it is ("channels.shop-eu.token"), for the sentence of the `CredentialError` that is
    raised where it is missing, empty, not text, too big, or kept in a file that anybody may read.
    """
    if ref.kind == "inline":
        assert ref.inline is not None
        return ref.inline
    text = _from_environment(ref, environ, user) if ref.kind == "env" else _from_file(ref, environ, read_file, user)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise CredentialError(f"{user}: the secret {ref} is empty: put its value there, then start again")
    # Bytes of the environment that are not UTF-8 arrive as lone surrogates.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise CredentialError(f"{user}: the secret {ref} is not UTF-8 text: write it anew")
    return Secret(text)


def resolver(
    environ: Mapping[str, str], read_file: ReadFile, tell: Callable[[Secret], None]
) -> Callable[[SecretRef, str], Secret]:
    """`resolve` as a function of reference and user alone. `tell` hears every value: `Telemetry.protect`, say."""

    def resolve_one(ref: SecretRef, user: str) -> Secret:
        secret = resolve(ref, environ, read_file, user=user)
        tell(secret)
        return secret

    return resolve_one


def _from_environment(ref: SecretRef, environ: Mapping[str, str], user: str) -> str:
    if ref.name not in environ:
        raise CredentialError(
            f"{user}: the environment variable {ref.name} is not set: set it, or use a systemd credential instead"
        )
    return environ[ref.name]


def _from_file(ref: SecretRef, environ: Mapping[str, str], read_file: ReadFile, user: str) -> str:
    path = ref.name
    if ref.kind == "credential":
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise CredentialError(
                f"{user}: {ref} is a systemd credential, but $CREDENTIALS_DIRECTORY is not set: start the daemon "
                f"from its unit with LoadCredential={ref.name}:PATH, or point the variable at a folder with that file"
            )
        path = f"{folder.rstrip('/')}/{ref.name}"
    try:
        found = read_file(path, MAX_SECRET_BYTES)
    except OSError as exc:
        remedy = f"add LoadCredential={ref.name}:PATH to the unit" if ref.kind == "credential" else "check the path"
        raise CredentialError(f"{user}: the secret {ref} cannot be read ({exc.strerror}): {remedy}") from None
    if len(found.data) > MAX_SECRET_BYTES:
        raise CredentialError(f"{user}: the secret {ref} is larger than {MAX_SECRET_BYTES} bytes: wrong file?")
    # systemd sets the modes of its own credentials; those of a plain file are the operator's.
    if ref.kind == "file" and found.mode & (_OTHERS_MAY_READ_OR_WRITE | _GROUP_MAY_WRITE):
        raise CredentialError(f"{user}: others may read or change {path} (mode {found.mode:04o}): chmod 600 {path}")
    try:
        return found.data.decode()
    except UnicodeDecodeError:
        raise CredentialError(f"{user}: the secret {ref} is not UTF-8 text: is it the right file?") from None
