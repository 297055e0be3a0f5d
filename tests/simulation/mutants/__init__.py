"""Planted bugs: what a careless engineer might do to the daemon, each put into its real code in this process.

The simulator's power is what it finds of them (`python -m tests.simulation.mutants`).
"""

from __future__ import annotations

from tests.simulation.mutants.listed import MUTANTS
from tests.simulation.mutants.planting import Mutant, MutantError, Patch, planted

__all__ = ["MUTANTS", "Mutant", "MutantError", "Patch", "planted"]
