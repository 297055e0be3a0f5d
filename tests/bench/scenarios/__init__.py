"""One module a scenario: `run(bench)` measures and keeps its figures; the docstring says what and how."""
