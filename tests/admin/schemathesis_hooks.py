"""What schemathesis must not choose freely: where backups go, streams without an end, letters that are not there."""

from __future__ import annotations

import itertools
import os
from typing import Any

import schemathesis

COPIES = itertools.count(1)
CALLS = itertools.count(1)
LETTERS = int(os.environ["DEAD_LETTERS"])


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Called with every request just before it is sent, whatever phase made it."""
    path, body, query, names = case.operation.path, case.body, case.query, case.path_parameters
    if isinstance(body, dict) and isinstance(body.get("quantity"), float) and body["quantity"].is_integer():
        # JSON Schema calls 5.0 an integer and cannot be told otherwise; the daemon takes no decimal point.
        body["quantity"] = int(body["quantity"])
    if path == "/v1/backup" and isinstance(body, dict):
        # Written into the run's own directory, whatever directory was thought of.
        directory = body.get("directory")
        if isinstance(directory, str) and directory.startswith("/") and "\0" not in directory:
            body["directory"] = f"{os.environ['COPIES_DIRECTORY']}/{next(COPIES)}"
    if path == "/v1/events" and isinstance(query, dict) and str(query.get("follow")) == "1":
        query["follow"] = 0  # nobody waits for the end of a stream that has none
    if isinstance(names, dict) and isinstance(names.get("id"), int) and names["id"] > LETTERS:
        names["id"] %= LETTERS * 2  # every other one is there
    if isinstance(names, dict) and isinstance(names.get("channel"), str) and next(CALLS) % 2:
        names["channel"] = "north"
