"""Events that are old enough go, and behind the floor of the log everything is as if none had gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from daemon.actors.marks import Base, base_of
from daemon.actors.past import Folding, GoneError
from daemon.admin.words import rfc3339
from daemon.app import compaction
from daemon.app.compaction import Compactor
from daemon.domain.conditions import Compacted, Root
from daemon.domain.conditions import Rules as RulesEvent
from daemon.domain.stock import dump
from daemon.storage.codec import COMPACTED, ROOT, RULES, Cause, EmptyOrder, dump_record, load_record, number, seal
from daemon.storage.floor import rows_below
from daemon.storage.tables import BASES, CHAIN, CHAIN_EVERY, HISTORY, LOG, MARKS
from tests.reconcile.mall import Mall, Rules, now_us, opened, play

STOCK = {"MUG": 500, "CUP": 50}
SHOPS = {"shop": STOCK, "site": STOCK}
LONG_S = 100_000.0
"""Longer than any life here: nothing goes by itself."""
KEPT = 3


@pytest.fixture
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "EVENTS_KEPT", KEPT)


async def sold(mall: Mall, times: int) -> None:
    """Sale after sale, one a second, here and there."""
    for turn in range(times):
        mall.sell(("shop", "site")[turn % 2], "MUG", 1)
        await trio.sleep(1)
    await mall.settled()
    await trio.sleep(10)  # rows are written


def store_of(mall: Mall) -> Any:
    assert mall.daemon is not None
    return mall.daemon.parts.store


def compactor(mall: Mall) -> Compactor:
    assert mall.daemon is not None
    return mall.daemon.compactor


async def compacted(mall: Mall, older_than_us: int) -> int:
    """Let everything go that was before then."""
    compactor(mall).history_us = now_us() - older_than_us
    gone = await compactor(mall).compact()
    compactor(mall).history_us = 0
    await store_of(mall).flush()
    return gone


async def verified(mall: Mall) -> int:
    """All is well; how many events the chain holds."""
    report = (await mall.ask("/v1/rebuild", {"verify": True}))[1]
    assert (report["ok"], report["different"], report["first_broken"]) == (True, [], 0)
    return int(report["events"])


def planted(mall: Mall, table: str, key: bytes, value: bytes | None) -> None:
    """A row that somebody changed, or took away."""
    env = store_of(mall).env
    with env.env.begin(write=True, db=env.tables[table]) as txn:
        if value is None:
            txn.delete(key)
        else:
            txn.put(key, value)
    env._newest += 1  # as if our own writer had done it


def below(mall: Mall, table: str) -> list[tuple[bytes, bytes]]:
    """What stands below the floor."""
    store = store_of(mall)
    return [(key, payload) for name, key, payload in rows_below(store.env, store.floor) if name == table]


def test_any_moment_that_is_kept_is_told_as_it_was_told_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=LONG_S)) as mall:
            stamps = []
            for _ in range(40):
                await sold(mall, 6)
                stamps.append(now_us())
            await mall.adjust("CUP", -1)
            await trio.sleep(10)
            stamps.append(now_us())
            moments = {
                f"/v1/skus/{sku}{what}?at={rfc3339(stamp)}": stamp
                for sku in STOCK for what in ("", "/explain") for stamp in stamps
            }  # fmt: skip
            before = {path: (await mall.ask(path))[1] for path in moments}
            store = store_of(mall)
            middle = store.seq_at(stamps[30])
            gone = await compacted(mall, stamps[30])
            assert store.floor.seq == middle - middle % CHAIN_EVERY >= 2 * CHAIN_EVERY
            assert gone == store.floor.seq - len(below(mall, LOG)) > CHAIN_EVERY
            told = 0
            for path, then in before.items():
                status, now = await mall.ask(path)
                if moments[path] < store.floor.at_us:
                    assert (status, now["error"]["code"]) == (404, "not_kept")
                else:
                    told += 1
                    assert now == then, path
            assert 4 * 10 <= told < 4 * len(stamps)
            assert await verified(mall) == store.head.seq - store.floor.seq

    play(main)


@pytest.mark.usefixtures("few_are_kept")
def test_life_goes_on_while_events_go_by_themselves(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=30.0)) as mall:
            floors = set()
            for turn in range(8):
                await sold(mall, 30)
                await (mall.crash() if turn % 2 else mall.restart())
                await mall.looked()
                floors.add(store_of(mall).floor.seq)
                await verified(mall)
                assert mall.available("MUG") == 500 - 30 * (turn + 1)
            await mall.settled()
            assert mall.shown("shop", "MUG") == mall.shown("site", "MUG") == 500 - 240
            assert len(floors) >= 3, "it moved between the lives"
            store = store_of(mall)
            assert store.env.count(LOG) == store.head.records < store.head.seq / 2
            newest = store.history(COMPACTED, limit=1)[0].message
            assert newest == Compacted(store.floor.seq, store.floor.chain, store.floor.rows_digest)

    play(main)


@pytest.mark.usefixtures("few_are_kept")
def test_of_what_is_older_the_newest_of_each_sku_stay_and_what_concerns_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=LONG_S)) as mall:
            assert mall.daemon is not None
            mall.daemon.roots.write("2025-06-15")
            store = store_of(mall)
            store.append("", EmptyOrder("shop", "O-0", 1, 0, _anywhen()), Cause("poll"), at_us=store.now_us())
            await sold(mall, 60)
            await compacted(mall, now_us())
            await sold(mall, 60)
            await compacted(mall, now_us())
            left = [load_record(int.from_bytes(key, "big"), payload) for key, payload in below(mall, LOG)]
            assert [record.sku for record in left].count("MUG") == KEPT
            assert 0 < [record.sku for record in left].count("CUP") <= KEPT
            kinds = {type(record.message) for record in left}
            assert {RulesEvent, Root} <= kinds
            assert EmptyOrder not in kinds
            assert len([record for record in left if isinstance(record.message, Compacted)]) <= 1
            for name in (RULES, ROOT, "MUG"):
                assert all(store.record(each.seq) for each in store.history(name, limit=1_000))
            first = store.env.scan(CHAIN, limit=1)
            assert not first or int.from_bytes(first[0][0], "big") > store.floor.seq
            assert all(
                int.from_bytes(key[-8:], "big") > store.floor.seq for key, _ in store.env.scan(MARKS, limit=99)
            )
            answer = (await mall.ask("/v1/skus/MUG/history?limit=1000"))[1]
            assert answer["whole_since"] == rfc3339(store.floor.at_us)
            assert len([each for each in answer["history"] if each["seq"] <= store.floor.seq]) == KEPT
            assert (await mall.ask("/v1/status"))[1]["storage"]["history_since"] == rfc3339(store.floor.at_us)
            await verified(mall)

    play(main)


def _anywhen() -> Any:
    from daemon.domain.instants import Instant, Span

    return Instant(Span(1, 2))


def test_where_history_is_kept_for_ever_nothing_goes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=0.0)) as mall:
            await sold(mall, 70)
            await trio.sleep(10_000)
            assert store_of(mall).floor.seq == 0
            assert await verified(mall) == store_of(mall).head.seq > CHAIN_EVERY
            assert (await mall.ask("/v1/skus/MUG/history"))[1]["whole_since"] is None

    play(main)


@pytest.mark.usefixtures("few_are_kept")
def test_whoever_folds_meanwhile_goes_on_from_what_the_events_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=LONG_S)) as mall:
            await sold(mall, 70)
            store, registry = store_of(mall), mall.daemon.parts.registry  # type: ignore[union-attr]
            early = Folding.begin(store, "MUG", store.head.seq, registry.policy_of, anew=True)
            gone = Folding.begin(store, "MUG", CHAIN_EVERY // 2, registry.policy_of, anew=True)
            whole = Folding.begin(store, "MUG", store.head.seq, registry.policy_of, anew=True)
            await whole.finish()
            for folding in (early, gone):
                assert not folding.go(5)
            await compacted(mall, now_us())
            assert store.floor.seq >= CHAIN_EVERY
            await early.finish()
            for folding in (early, whole):
                assert dump(folding.state.stock) == dump(registry.peek("MUG").stock)
                assert folding.newest == store.history("MUG", limit=1)[0].seq
            with pytest.raises(GoneError):
                await gone.finish()
            with pytest.raises(GoneError):
                Folding.begin(store, "MUG", store.floor.seq - 1, registry.policy_of)

    play(main)


def _event(mall: Mall) -> int:
    """An event that was left says another number."""
    key, payload = below(mall, LOG)[-1]
    seq = int.from_bytes(key, "big")
    planted(mall, LOG, key, seal(key, dump_record(evolve(load_record(seq, payload), after=77))))
    return int(store_of(mall).floor.seq)


def _flipped(mall: Mall) -> int:
    """A bit of an event that was left is another one."""
    key, payload = below(mall, LOG)[-1]
    sealed = seal(key, payload)
    planted(mall, LOG, key, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    return int.from_bytes(key, "big")


def _base(mall: Mall) -> int:
    """What the events made of a SKU is another number."""
    store = store_of(mall)
    base = base_of(store.env, "MUG")
    assert base is not None
    stock = base.state.stock
    stock.anchors = {where: evolve(anchor, quantity=99) for where, anchor in stock.anchors.items()}
    planted(mall, BASES, b"MUG", seal(b"MUG", Base(base.seq, base.newest, base.state).dump()))
    return int(store.floor.seq)


def _missing(mall: Mall) -> int:
    """A base is not there."""
    planted(mall, BASES, b"MUG", None)
    return int(store_of(mall).floor.seq)


def _index(mall: Mall) -> int:
    """The index of a SKU does not know of an event."""
    seq = int(store_of(mall).history("MUG", limit=1)[0].seq)
    planted(mall, HISTORY, b"MUG\0" + number(seq), None)
    return seq


@pytest.mark.usefixtures("few_are_kept")
@pytest.mark.parametrize("change", [_event, _flipped, _base, _missing, _index])
def test_whoever_changes_what_is_left_is_found(tmp_path: Path, change: Callable[[Mall], int]) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=LONG_S)) as mall:
            await sold(mall, 70)
            await compacted(mall, now_us())
            await verified(mall)
            expected = change(mall)
            report = (await mall.ask("/v1/rebuild", {"verify": True}))[1]
            assert (report["ok"], report["first_broken"]) == (False, expected)

    play(main)


def _forged(mall: Mall) -> None:
    """An event under a checksum that fits."""
    store = store_of(mall)
    record = store.history("MUG", before=CHAIN_EVERY - 10, limit=1)[0]
    key = number(record.seq)
    planted(mall, LOG, key, seal(key, dump_record(evolve(record, after=77))))


def _unknown(mall: Mall) -> None:
    """An event that the index does not know of."""
    seq = store_of(mall).history("MUG", before=CHAIN_EVERY - 10, limit=1)[0].seq
    planted(mall, HISTORY, b"MUG\0" + number(seq), None)


@pytest.mark.usefixtures("few_are_kept")
@pytest.mark.parametrize("change", [_forged, _unknown])
def test_of_a_log_that_is_not_what_was_written_nothing_goes(tmp_path: Path, change: Callable[[Mall], None]) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=LONG_S)) as mall:
            await sold(mall, 70)
            change(mall)
            events = store_of(mall).env.count(LOG)
            assert await compacted(mall, now_us()) == 0
            assert (store_of(mall).floor.seq, store_of(mall).env.count(LOG)) == (0, events)
            (alarm,) = (await mall.ask("/v1/status"))[1]["alarms"]
            assert alarm["condition"] == "log_broken"
            assert "nothing is compacted" in alarm["text"]

    play(main)


@pytest.mark.usefixtures("few_are_kept")
def test_while_the_books_of_a_sku_differ_everything_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SHOPS, Rules(history_s=LONG_S)) as mall:
            await sold(mall, 70)
            assert mall.daemon is not None
            stock = mall.daemon.parts.registry.actor("CUP").state.stock
            stock.anchors = {where: evolve(anchor, quantity=99) for where, anchor in stock.anchors.items()}
            assert not await mall.daemon.auditor.audit("CUP")
            assert await compacted(mall, now_us()) == 0
            assert (await mall.ask("/v1/rebuild", {}))[1]["repaired"]
            assert await compacted(mall, now_us()) > 0
            await verified(mall)

    play(main)
