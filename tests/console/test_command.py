"""`onhand console` as a person starts it: an address on loopback, a clear sentence where there can be none."""

from __future__ import annotations

import re
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from daemon.cli import main
from tests.acceptance.processes import Process, onhand, until


@asynccontextmanager
async def started(folder: Path, path: str, *options: str) -> AsyncIterator[tuple[str, str]]:
    """A console in front of the socket at `path`: what it printed, and the address in it. Ends well on SIGTERM."""
    process = Process(onhand("console", "--socket", path, *options), folder / "console.out")
    process.out.unlink(missing_ok=True)
    process.start()
    try:

        async def printed() -> bool:
            assert process.alive, process.complaints()
            return process.out.read_text().endswith("\n")

        await until(printed, 60)
        said = process.out.read_text()
        found = re.search(r"http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{43}/", said)
        assert found, said
        yield said, found[0]
        assert await process.terminate(30) == 0
        assert process.complaints() == ""
    finally:
        process.kill()


@pytest.mark.slow
async def test_the_printed_address_opens_the_page_and_each_start_has_its_own(tmp_path: Path, socket: str) -> None:
    secrets = set()
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        for options, mode in (((), "read only"), (("--write",), "commands allowed")):
            async with started(tmp_path, socket, *options) as (said, url):
                assert mode in said
                assert (await http.get(url)).status_code == 200
                token = url.split("/")[3]
                secrets.add(token)
                headers = {"Authorization": f"Bearer {token}"}
                api = url.removesuffix(f"{token}/") + "api/v1"
                assert (await http.get(f"{api}/skus/MUG", headers=headers)).json()["available"] == 5
                paused = await http.post(f"{api}/channels/shop/pause", headers=headers)
                assert paused.status_code == (200 if options else 403)
                assert (await http.get(f"{api}/skus/MUG")).status_code == 403
    assert len(secrets) == 2


@pytest.mark.slow
async def test_it_is_reached_by_way_of_loopback_alone(tmp_path: Path, socket: str) -> None:
    async with started(tmp_path, socket, "--json") as (_, url):
        port = int(url.split(":")[2].split("/")[0])
        with sockets.socket() as other:
            other.settimeout(5)
            with pytest.raises(OSError, match="refused"):
                other.connect(("127.0.0.2", port))  # what listens everywhere answers here too


def test_without_a_daemon_it_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "--socket", str(tmp_path / "none")]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "start it with `onhand run`" in err


async def test_a_port_that_is_taken_is_one_sentence(socket: str, capsys: pytest.CaptureFixture[str]) -> None:
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = await trio.to_thread.run_sync(main, ["console", "--socket", socket, "--port", str(port)])
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert f"port {port} of 127.0.0.1 cannot be had" in err
    assert "--port" in err
