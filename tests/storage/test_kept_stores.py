"""What any version ever wrote is read by this one: stores kept from each, and the shape of what is stored today."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import lmdb
import pytest

from daemon.actors.actor import load_actor
from daemon.storage.chain import chained
from daemon.storage.codec import pack, seal
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.environment import FORMAT, Environment
from daemon.storage.files import StoreError
from daemon.storage.restore import restore
from daemon.storage.store import Store
from daemon.storage.tables import SKUS, TABLES
from tests.reconcile import mall as malls
from tests.reconcile.mall import Mall, Rules, play
from tests.storage.shapes import shapes

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.name.removesuffix(".json.xz") for path in FIXTURES.glob("*.json.xz"))
NEWEST = "format-1-0.1.0"
LATER_US = 1_830_000_000_000_000
"""Long after any of them was composed."""


@cache
def kept(name: str) -> dict[str, Any]:
    return json.loads(lzma.decompress((FIXTURES / f"{name}.json.xz").read_bytes()))  # type: ignore[no-any-return]


def as_file(name: str, backup: Path) -> Path:
    """The very file that was written then, as a backup."""
    backup.mkdir()
    (backup / "data.mdb").write_bytes(lzma.decompress((FIXTURES / f"{name}.mdb.xz").read_bytes()))
    (backup / "initialised").write_text(kept(name)["genesis"])
    return backup


def as_rows(name: str, backup: Path) -> Path:
    """Its rows in a new file, as a machine with other pages would have it."""
    backup.mkdir()
    with lmdb.open(str(backup), map_size=1 << 26, max_dbs=64, lib_version=0) as env, env.begin(write=True) as txn:
        for table, rows in kept(name)["rows"].items():
            database = env.open_db(table.encode(), txn=txn)
            for key, value in rows.items():
                txn.put(bytes.fromhex(key), bytes.fromhex(value), db=database)
    (backup / "initialised").write_text(kept(name)["genesis"])
    return backup


@pytest.fixture(
    params=[(name, form) for name in NAMES for form in (as_file, as_rows)],
    ids=lambda param: f"{param[0]} {param[1].__name__}",
)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    name, form = request.param
    restore(form(name, tmp_path / "backup"), tmp_path / "state")
    return name, tmp_path


async def unused(_: object) -> None:
    raise AssertionError("nothing is written here")


def test_there_is_a_store_of_every_format() -> None:
    assert NEWEST in NAMES
    assert {int(name.split("-")[1]) for name in NAMES} == set(range(1, FORMAT + 1))


def test_every_sku_listing_letter_and_event_reads_as_it_was_told_then(state: tuple[str, Path]) -> None:
    name, folder = state
    env = Environment.open(folder / "state", genesis="another")
    expected = kept(name)["expected"]
    for sku, told in expected["skus"].items():
        payload = env.get(SKUS, sku.encode())
        assert payload is not None
        state_of = load_actor(sku, payload).state
        slots = state_of.slots.values()
        assert (state_of.available, state_of.freeze is not None) == (told["available"], told["frozen"])
        listings = [[s.channel, s.listing, s.desired, s.belief, s.generation] for s in slots]
        assert sorted(listings) == told["listings"]
        if state_of.kit is None:
            assert (state_of.stock.on_hand, state_of.stock.held) == (told["on_hand"], told["held"])
    store = Store(env, unused, lambda: LATER_US)
    letters = [[each.kind, each.channel, each.sku, each.subject] for each in DeadLetters(store).page()]
    assert sorted(letters) == expected["letters"]
    assert len([*chained(env, env.head())]) == expected["events"]
    env.close(clean=True)


@pytest.mark.slow
def test_the_daemon_of_today_goes_on_from_it(state: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = state
    monkeypatch.setattr(malls, "EPOCH_US", LATER_US)
    expected = kept(name)["expected"]["skus"]
    kits = {"SKU-0004": (("SKU-0001", 2), ("SKU-0002", 1))} if name != "format-1-first" else {}

    async def main() -> None:
        stock = dict.fromkeys(expected, 6)
        stores = {
            shop: malls.Storefront(shop, list(stock), dict(stock), f"secret-{shop}", 7) for shop in ("north", "south")
        }
        mall = Mall(stores, Rules(kits=kits), folder)
        async with malls.trio.open_nursery() as nursery:
            for shop, host in mall.hosts.items():
                nursery.start_soon(host.run, malls.partial(mall.send, shop))
            mall.nursery = nursery
            await nursery.start(mall.run)
            await mall.looked()
            await mall.settled()
            assert (await mall.ask("/v1/rebuild", {"verify": True}))[1]["ok"]
            for sku, told in expected.items():
                assert mall.available(sku) == told["available"], sku
            assert mall.shown("north", "SKU-0002") == expected["SKU-0002"]["available"]
            mall.sell("north", "SKU-0001", 1)
            await mall.settled()
            assert mall.shown("south", "SKU-0001") == expected["SKU-0001"]["available"] - 1
            assert (await mall.ask("/v1/rebuild", {"verify": True}))[1]["ok"]
            assert mall.daemon is not None
            mall.daemon.stop()
            await mall.daemon.ended.wait()
            nursery.cancel_scope.cancel()

    play(main)


def test_what_is_stored_has_the_shape_of_the_newest_kept_store() -> None:
    """A stored type changed its shape? Say so on purpose, and let later versions be held to it."""
    assert shapes() == kept(NEWEST)["shapes"], f"compose it anew: python -m tests.storage.compose {NEWEST}"


@pytest.mark.parametrize("name", [name for name in NAMES if "shapes" in kept(name)])
def test_what_was_ever_stored_is_only_ever_added_to(name: str) -> None:
    today = shapes()
    for kind, then in kept(name)["shapes"].items():
        assert today[kind][: len(then)] == then, kind


def test_the_newest_kept_store_has_rows_in_nearly_every_table() -> None:
    empty = {table for table in TABLES if not kept(NEWEST)["rows"].get(table)}
    assert empty <= {
        "refetch", "drifts", "drift_days", "priors", "shadows", "chain", "open", "marks", "stuck", "bases",
    }, empty  # fmt: skip


def test_a_store_of_a_newer_version_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    backup = as_rows(NEWEST, tmp_path / "backup")
    with lmdb.open(str(backup), map_size=1 << 26, max_dbs=64, lib_version=0) as env, env.begin(write=True) as txn:
        meta = env.open_db(b"meta", txn=txn)
        txn.put(b"format", seal(b"format", pack(FORMAT + 1)), db=meta)
        txn.drop(env.open_db(b"dedup", txn=txn))  # as a later make may have no use for a table
    restore(backup, tmp_path / "state")
    before = (tmp_path / "state" / "data.mdb").read_bytes()
    with pytest.raises(StoreError, match=f"has format {FORMAT + 1}, this program knows {FORMAT}: .*restore a backup"):
        Environment.open(tmp_path / "state", genesis="g")
    assert (tmp_path / "state" / "data.mdb").read_bytes() == before
