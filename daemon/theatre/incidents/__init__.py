"""The named incidents, each real in some product."""

from __future__ import annotations

from typing import Final

from daemon.theatre.incidents.incident import Incident
from daemon.theatre.incidents.kits import KITS
from daemon.theatre.incidents.orders import ORDERS
from daemon.theatre.incidents.outages import OUTAGES
from daemon.theatre.incidents.pushes import PUSHES
from daemon.theatre.incidents.quantities import QUANTITIES
from daemon.theatre.incidents.strangers import STRANGERS
from daemon.theatre.incidents.twice import TWICE

__all__ = ["INCIDENTS", "Incident"]

INCIDENTS: Final[tuple[Incident, ...]] = tuple(
    sorted((*TWICE, *PUSHES, *OUTAGES, *ORDERS, *STRANGERS, *KITS, *QUANTITIES), key=lambda each: int(each.name[1:]))
)
