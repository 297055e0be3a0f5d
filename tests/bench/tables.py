"""How many bytes of the database each table takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lmdb

from daemon.storage.tables import TABLES


def table_bytes(state: Path) -> Mapping[str, int]:
    """By table, whole pages, of a state directory that no daemon uses."""
    env = lmdb.open(str(state), max_dbs=len(TABLES) + 8, readonly=True, lock=False, lib_version=0)
    try:
        found = {}
        for name in TABLES:
            table = env.open_db(name.encode(), create=False)
            with env.begin() as txn:
                stat = txn.stat(table)
            found[name] = (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        return found
    finally:
        env.close()
