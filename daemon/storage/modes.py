"""The mode of each channel that was ever in shadow, or of which a person said whether it is."""

from __future__ import annotations

from daemon.domain.mode import ChannelMode
from daemon.storage.codec import pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import META


class Modes:
    """Modes by channel. A word is durable with the next commit."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, channel: str) -> ChannelMode | None:
        """The durable mode; None where nobody ever said anything."""
        kept = self.store.env.get(META, _key(channel))
        return None if kept is None else ChannelMode(*unpack(kept))

    def keep(self, channel: str, mode: ChannelMode) -> None:
        """From now on."""
        self.store.put(META, _key(channel), pack((mode.mode, mode.by, mode.since_us, mode.going_live)))


def _key(channel: str) -> bytes:
    return b"mode " + channel.encode()
