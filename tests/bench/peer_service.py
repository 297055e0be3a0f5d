"""The common alternative: a webhook service on FastAPI, asyncpg and PostgreSQL, with a row lock per SKU and a table
of processed ids. Runs in the peers' own virtual environment and imports nothing of ours.

It does what such services do: verifies the signature, parses with pydantic, and in one transaction remembers the
delivery id, locks the rows of the order's SKUs in order (so that there are no deadlocks), takes the units off, writes
one movement per SKU and marks the SKUs for pushing. 200 leaves after the commit, fsync on. Both forms write the same.

plain: a statement each, as one writes it first · tuned: the whole transaction in one round trip.
BENCH_DSN: the database · BENCH_POOL: its connections · BENCH_FORM: plain or tuned · BENCH_SECRET
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

SECRET = os.environ["BENCH_SECRET"].encode()
TUNED = os.environ["BENCH_FORM"] == "tuned"
ACCEPTED, KNOWN = b"accepted\n", b"known\n"

ONE_ROUND_TRIP = """
WITH fresh AS (INSERT INTO processed (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id),
     told AS (SELECT * FROM unnest($2::text[], $3::bigint[]) AS line (sku, units)),
     locked AS (SELECT stock.sku FROM stock WHERE sku = ANY($2) AND EXISTS (SELECT FROM fresh)
                ORDER BY sku FOR UPDATE),
     moved AS (UPDATE stock SET available = available - told.units, wanted = wanted + 1
               FROM locked JOIN told USING (sku) WHERE stock.sku = locked.sku
               RETURNING stock.sku, told.units, stock.available),
     logged AS (INSERT INTO movements (sku, delivery, units, after) SELECT sku, $1, units, available FROM moved)
SELECT count(*) FROM fresh
"""


class Line(BaseModel):
    id: str
    sku: str
    ordered: int
    cancelled: int = 0
    restocked: int = 0
    fulfilled: int = 0


class Order(BaseModel):
    id: str
    version: int
    updated_at: str
    lines: list[Line]


class Message(BaseModel):
    topic: str
    order: Order


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    size = int(os.environ["BENCH_POOL"])
    async with asyncpg.create_pool(os.environ["BENCH_DSN"], min_size=size, max_size=size) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/shop")
async def webhook(request: Request) -> Response:
    body = await request.body()
    stamp = request.headers.get("x-sandbox-timestamp", "")
    wanted = base64.b64encode(hmac.digest(SECRET, stamp.encode() + b"." + body, hashlib.sha256)).decode()
    if not hmac.compare_digest(wanted, request.headers.get("x-sandbox-signature", "")):
        return Response(status_code=401)
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > 300:
        return Response(status_code=401)
    order = Message.model_validate_json(body).order
    units: Counter[str] = Counter()
    for line in order.lines:
        units[line.sku] += line.ordered - line.cancelled - line.restocked
    take = _take_at_once if TUNED else _take
    fresh = await take(app.state.pool, request.headers["x-sandbox-delivery"], dict(sorted(units.items())))
    return Response(ACCEPTED if fresh else KNOWN, media_type="text/plain")


async def _take(pool: asyncpg.Pool, delivery: str, units: dict[str, int]) -> bool:
    skus = list(units)
    async with pool.acquire() as connection, connection.transaction():
        fresh = await connection.fetchval(
            "INSERT INTO processed (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id", delivery
        )
        if fresh is None:
            return False
        rows = await connection.fetch(
            "SELECT sku, available FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE", skus
        )
        after = [(row["sku"], row["available"] - units[row["sku"]]) for row in rows]
        names, levels = [sku for sku, _ in after], [level for _, level in after]
        await connection.execute(
            "UPDATE stock SET available = told.level, wanted = wanted + 1 "
            "FROM unnest($1::text[], $2::bigint[]) AS told (sku, level) WHERE stock.sku = told.sku",
            names, levels,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO movements (sku, delivery, units, after) "
            "SELECT sku, $1, units, after "
            "FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS told (sku, units, after)",
            delivery, names, [units[sku] for sku in names], levels,
        )  # fmt: skip
    return True


async def _take_at_once(pool: asyncpg.Pool, delivery: str, units: dict[str, int]) -> bool:
    return bool(await pool.fetchval(ONE_ROUND_TRIP, delivery, list(units), list(units.values())))
