"""The shape of everything that is stored: tables, types and fields, in their order on disk."""

from __future__ import annotations

from attrs import fields

from daemon.domain.drift import Named
from daemon.domain.slot import Slot, Suspicion
from daemon.ingress.masses import MassHold
from daemon.storage import codec
from daemon.storage.alarms import Alarm
from daemon.storage.codec import Cause
from daemon.storage.cursors import Cursor
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.drifts import Drift
from daemon.storage.environment import Head
from daemon.storage.modes import ChannelMode
from daemon.storage.priors import Prior, Taken
from daemon.storage.tables import TABLES
from daemon.storage.tellings import Telling

RECORDS = (
    Alarm,
    Cause,
    ChannelMode,
    Cursor,
    DeadLetter,
    Drift,
    Head,
    MassHold,
    Named,
    Prior,
    Slot,
    Suspicion,
    Taken,
    Telling,
)
"""What is written as the plain values of its fields. (Stocks, orders and kits have their bytes in golden tests.)"""


def shapes() -> dict[str, list[str]]:
    """By name: the tables, the types of log messages, and the fields of each stored type."""
    found = {"tables": list(TABLES), "messages": [kind.__name__ for kind in codec._TYPES]}
    for kind, layout in codec._LAYOUT.items():
        found[f"message {kind.__name__}"] = [name for name, _ in layout]
    for kind in RECORDS:
        found[kind.__name__] = [each.name for each in fields(kind) if each.init]
    return found
