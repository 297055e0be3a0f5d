"""The installed Vendure as a process on loopback, with a data base and a witness's notes of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field

from tests.acceptance.processes import LOOPBACK, Process, environment, until

NAME, PASSWORD = "superadmin", "password-of-a-shop-on-loopback"
SECRET = "whsec_c2hvcC1vbi1sb29wYmFjay13aXRoLTMyLWJ5dGVzIQ=="
BOOT_MAX_S = 120.0


class NotServingError(Exception):
    """Vendure ended, or did not answer in time."""


@define(eq=False)
class Server:
    """One Vendure; `folder` keeps what it writes, also over its restarts."""

    shop: Path
    folder: Path
    port: int
    hook_url: str
    process: Process = field(init=False)

    def __attrs_post_init__(self) -> None:
        told = {
            "SHOP_PORT": str(self.port), "SHOP_NAME": NAME, "SHOP_PASSWORD": PASSWORD,
            "SHOP_DATABASE": str(self.folder / "vendure.sqlite"), "SHOP_WITNESS": str(self.witness),
            "ONHAND_URL": self.hook_url, "ONHAND_SECRET": SECRET, "VENDURE_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        out = self.folder / "vendure.out"
        self.process = Process(["node", "dist/index.js"], out, environment(**told), cwd=self.shop)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def witness(self) -> Path:
        return self.folder / "witness.jsonl"

    async def boot(self, http: httpx.AsyncClient) -> float:
        """Start it, and wait until it serves; seconds taken. Raises `NotServingError`."""
        self.process.start()

        async def serving() -> bool:
            if not self.process.alive:
                raise NotServingError("Vendure ended while it was starting")
            try:
                return (await http.get(f"{self.url}/health", timeout=5)).status_code == 200
            except httpx.TransportError:
                return False

        try:
            return await until(serving, BOOT_MAX_S, 0.1)
        except trio.TooSlowError:
            raise NotServingError(f"Vendure did not answer within {BOOT_MAX_S:.0f} s") from None

    def notes(self) -> list[dict[str, Any]]:
        """What the witness wrote; a line that a kill cut off is left out."""
        text = self.witness.read_text("utf-8") if self.witness.exists() else ""
        return [json.loads(line) for line in text.split("\n") if line.startswith("{") and line.endswith("}")]
