"""Commands that concern channels, dead letters and the whole store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from daemon.admin.answers import ApiError, Json, unknown_channel
from daemon.admin.health import channel_view, rebuild_view, reconcile_view
from daemon.admin.inside import ChannelControl, Inside
from daemon.admin.letters import content_view
from daemon.admin.replay import report_view, span_of
from daemon.admin.requests import Replay
from daemon.admin.views import letter_view, page_of
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.files import StoreError

LETTERS_SCANNED: Final = 200
"""Letters read in one snapshot."""


@define(repr=False)
class Commands:
    """Commands and look-ups. Each raises `ApiError` where it is refused."""

    inside: Inside
    forget: Callable[[str, str], None] = lambda channel, subject: None  # noqa: ARG005 - where nobody remembers letters
    """Told the channel and subject of a discarded letter: the next sighting of it counts as the first."""
    _running: set[str] = field(factory=set)
    """Long commands under way: each at most once at a time."""

    # -- channels --

    def control(self, channel: str) -> ChannelControl:
        """The channel, or 404."""
        found = self.inside.channels.get(channel)
        if found is None:
            raise unknown_channel(channel, list(self.inside.channels))
        return found

    async def pause(self, channel: str) -> Json:
        """Nothing is pushed to the channel any more, whatever happens to this process; everything else goes on."""
        control = self.control(channel)
        control.pause()
        await self.inside.store.flush()
        return channel_view(control.view())

    async def resume(self, channel: str) -> Json:
        """Pushing goes on, with the newest levels only."""
        control = self.control(channel)
        control.resume()
        await self.inside.store.flush()
        return channel_view(control.view())

    async def reconcile(self, channel: str) -> Json:
        """Compare with the live channel now."""
        control = self.control(channel)
        with self.alone(f"reconcile {channel}", f"{channel} is being reconciled already"):
            report = await control.reconcile()
        if report.error:
            raise _channel_failed(channel, report.error)
        return reconcile_view(report)

    async def webhooks(self, channel: str) -> Json:
        """The subscriptions at the channel, and which of those we want are missing or not active."""
        control = self.control(channel)
        found = await control.webhooks()
        if isinstance(found, str):
            raise _channel_failed(channel, found)
        wanted = control.wanted_topics()
        active = {webhook.topic for webhook in found if webhook.state == "active"}
        return {
            "channel": channel,
            "wanted": list(wanted),
            "missing": [topic for topic in wanted if topic not in active],
            "webhooks": [
                {"topic": each.topic, "url": each.url, "state": each.state, "id": each.webhook_id} for each in found
            ],
        }

    async def register_webhooks(self, channel: str) -> Json:
        """Put missing or switched-off subscriptions right."""
        control = self.control(channel)
        if hindrance := control.registration_hindrance():
            raise ApiError(409, "refused", hindrance, "mend what the sentence says, then ask again")
        with self.alone(f"webhooks {channel}", f"the webhooks of {channel} are being registered already"):
            done = await control.register_webhooks()
        if isinstance(done, str):
            raise _channel_failed(channel, done)
        return {"channel": channel, "done": done}

    # -- dead letters --

    def letter(self, letter: int) -> DeadLetter:
        """The letter, or 404."""
        found = self.inside.dead_letters.get(letter)
        if found is None:
            raise ApiError(404, "unknown_letter", f"there is no dead letter {letter}", "see `onhand dead-letters`")
        return found

    def show_letter(self, letter: int) -> Json:
        """A letter with its content."""
        found = self.letter(letter)
        return letter_view(found) | {"content": content_view(found)}

    async def letters(self, channel: str, after: int, limit: int) -> Json:
        """Letters in the order they came, those of one channel if `channel`."""
        kept: list[DeadLetter] = []
        while page := self.inside.dead_letters.page(after, LETTERS_SCANNED):
            for letter in page:
                after = letter.letter
                if not channel or letter.channel == channel:
                    kept.append(letter)
                if len(kept) == limit:
                    return page_of(map(letter_view, kept), "dead_letters", after)
            await trio.lowlevel.checkpoint()
        return page_of(map(letter_view, kept), "dead_letters", None)

    async def retry_letter(self, letter: int) -> Json:
        """Apply a letter again; `still_there` says whether it is a letter yet."""
        self.letter(letter)
        with self.alone(f"letter {letter}", f"dead letter {letter} is being worked on already"), _refusals():
            result = await self.inside.maintenance.retry_letter(letter)
            await self.inside.store.flush()
        return {"id": letter, "result": result, "still_there": self.inside.dead_letters.get(letter) is not None}

    async def discard_letter(self, letter: int) -> Json:
        """Give a letter up for good."""
        with self.alone(f"letter {letter}", f"dead letter {letter} is being worked on already"):
            found = self.letter(letter)
            self.inside.dead_letters.remove(letter)
            self.forget(found.channel, found.subject)
            await self.inside.store.flush()
        result = "discarded"
        if found.kind == "push":
            result += "; the listing stays as it is until its stock changes or you push the SKU"
        return {"id": letter, "result": result, "still_there": False}

    # -- the whole store --

    async def backup(self, directory: str) -> Json:
        """A hot copy into an empty directory on the daemon's host."""
        path = Path(directory)
        if not path.is_absolute() or "\0" in directory:
            raise ApiError(
                400, "bad_body", "directory must be an absolute path", "the daemon runs in a directory of its own"
            )
        with self.alone("backup", "a backup is being written already"), _refusals():
            size = await self.inside.maintenance.backup(path)
        return {"directory": str(path), "bytes": size}

    async def rebuild(self, *, verify_only: bool) -> Json:
        """Fold the whole log again and compare with what is stored."""
        with self.alone("rebuild", "a rebuild is under way already"), _refusals():
            return rebuild_view(await self.inside.maintenance.rebuild(verify_only=verify_only))

    async def replay(self, asked: Replay) -> Json:
        """Read kept deliveries again: what would change, or with `apply` what did."""
        if asked.channel:
            self.control(asked.channel)
        since_us, until_us = span_of(asked)
        maintenance = self.inside.maintenance
        with self.alone("replay", "a replay is under way already"), _refusals():
            report = await maintenance.replay(asked.channel, since_us, until_us, apply=asked.apply)
        return report_view(asked, report)

    @contextmanager
    def alone(self, name: str, otherwise: str) -> Iterator[None]:
        """A long command, at most once at a time. Raises `ApiError` 409."""
        if name in self._running:
            raise ApiError(409, "busy", otherwise, "wait until it is done, then ask again")
        self._running.add(name)
        try:
            yield
        finally:
            self._running.discard(name)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise ApiError(409, "refused", str(error), "") from error  # its sentence says what to do
    except ValueError as error:  # a letter that could never be written down whole
        raise ApiError(409, "refused", str(error), "mend what the sentence says, then ask again") from error


def _channel_failed(channel: str, reason: str) -> ApiError:
    return ApiError(502, "channel_failed", f"{channel} could not be asked: {reason}", "see `onhand channels`")
