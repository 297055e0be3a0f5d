"""All planted bugs."""

from __future__ import annotations

from tests.simulation.mutants.intake import INTAKE
from tests.simulation.mutants.planting import Mutant
from tests.simulation.mutants.pushes import PUSHES
from tests.simulation.mutants.stock import STOCK
from tests.simulation.mutants.storage import STORAGE

MUTANTS: dict[str, Mutant] = {each.name: each for each in (*STOCK, *PUSHES, *INTAKE, *STORAGE)}
