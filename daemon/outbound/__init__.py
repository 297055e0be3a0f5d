"""How levels get out: dispatchers, budgets, HTTP clients."""
