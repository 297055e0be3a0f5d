"""Pushes in groups that one call can carry."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from daemon.domain.channel import Push

Alike = Callable[[Push], Hashable | None]


def together(_: Push) -> Hashable:
    """Any may go with any other."""
    return ""


def grouped(pushes: Sequence[Push], most: int, alike: Alike = together) -> list[list[Push]]:
    """Groups of at most `most`, in the given order of urgency: a group stands where its most urgent push stood.

    `alike`: only pushes of which it says the same go into one call; one of which it says None goes alone. One listing
    twice means two groups: within a call nobody says which of them wins.
    """
    groups: list[list[Push]] = []
    filling: dict[Hashable, list[Push]] = {}
    for push in pushes:
        kind = alike(push)
        group = None if kind is None else filling.get(kind)
        if group is None or len(group) >= max(1, most) or any(each.listing == push.listing for each in group):
            group = []
            groups.append(group)
            if kind is not None:
                filling[kind] = group
        group.append(push)
    return groups
