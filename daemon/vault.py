"""Refresh tokens that a platform replaced, each in a file of its own that only the daemon's user may read.

They must survive a restart, and no secret may stand in the database, in its backups or in the log: so there is one
small file for each, `STATE_DIR/secrets/CHANNEL.SOURCE`, mode 0600, written anew and put in place as a whole.
A backup does not hold it: after a restore elsewhere the account's owner consents again, and configures what comes of
that. The file names (by its hash) the configured token that it grew out of; once another one is configured, it counts
no more.
"""

from __future__ import annotations

import hashlib

import msgspec
from attrs import define

from daemon.credentials import MAX_SECRET_BYTES, CredentialError
from daemon.ports import KeepFile, ReadFile, RunBlocking

FOLDER = "secrets"


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grew_of: str
    token: str


@define(eq=False)
class FileVault:
    """The kept refresh tokens of one channel; see `daemon.outbound.tokens.Vault`."""

    state_dir: str
    channel: str
    read_file: ReadFile
    keep_file: KeepFile
    run_blocking: RunBlocking

    def kept(self, name: str, configured: str) -> str:
        """See `Vault.kept`. Raises `CredentialError`, a sentence, where there is a file that cannot be relied on."""
        path = self._path(name)
        try:
            found = self.read_file(path, MAX_SECRET_BYTES)
        except FileNotFoundError:
            return configured
        except OSError as exc:
            raise self._broken(path, f"cannot be read ({exc.strerror})", "give it to the daemon's user") from None
        if found.mode & 0o077:
            raise self._broken(path, f"may be read by others (mode {found.mode:04o})", f"chmod 600 {path}")
        try:
            kept = msgspec.json.decode(found.data, type=_Kept)
        except (msgspec.MsgspecError, ValueError):
            raise self._broken(path, "is damaged", "remove it, and configure a new refresh token") from None
        return kept.token if kept.grew_of == _fingerprint(configured) else configured

    async def keep(self, name: str, configured: str, refresh: str) -> str:
        """See `Vault.keep`."""
        content = msgspec.json.encode(_Kept(_fingerprint(configured), refresh))
        try:
            await self.run_blocking(lambda: self.keep_file(self._path(name), content))
        except OSError as exc:
            return f"{self._path(name)} cannot be written ({exc.strerror})"
        return ""

    def _path(self, name: str) -> str:
        return f"{self.state_dir.rstrip('/')}/{FOLDER}/{self.channel}.{name}"

    def _broken(self, path: str, what: str, remedy: str) -> CredentialError:
        return CredentialError(f"channels.{self.channel}: the kept refresh token {path} {what}: {remedy}")


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
