"""Real programs as children: told, heard, bounded in time and output, and killed with what they started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from daemon.programs import run_program

PATIENCE_S = 60.0
"""Nothing here takes so long but what must be killed."""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_a_program_hears_what_it_is_told_and_is_heard() -> None:
    code = "import sys; print(sys.stdin.read().upper()); print('and this', file=sys.stderr); sys.exit(3)"
    ran = await run_program(python(code), b"all of it", timeout_s=PATIENCE_S, output_max=100)
    assert (ran.code, sorted(ran.output.split(b"\n"))) == (3, [b"", b"ALL OF IT", b"and this"])


async def test_no_shell_reads_the_words() -> None:
    ran = await run_program(["/bin/echo", "$HOME; exit 7", "*"], b"", timeout_s=PATIENCE_S, output_max=100)
    assert (ran.code, ran.output) == (0, b"$HOME; exit 7 *\n")


async def test_of_a_long_output_the_beginning_is_kept_and_the_rest_does_not_stop_the_program() -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000)"
    ran = await run_program(python(code), b"", timeout_s=PATIENCE_S, output_max=10)
    assert (ran.code, ran.output) == (0, b"x" * 10)


async def test_a_program_that_does_not_listen_is_no_failure() -> None:
    ran = await run_program(["/bin/true"], b"x" * 3_000_000, timeout_s=PATIENCE_S, output_max=10)
    assert ran.code == 0


async def test_a_program_that_cannot_be_started_says_why() -> None:
    with pytest.raises(FileNotFoundError, match="No such file"):
        await run_program(["/no/such/program"], b"", timeout_s=PATIENCE_S, output_max=10)


def gone(number: int) -> bool:
    """Is this process no more, or only a corpse that nobody has buried yet?"""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def until_gone(number: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while not gone(number):  # noqa: ASYNC110 - the kernel sets no event of ours
            await trio.sleep(0.02)


SLEEPERS = "sleep 600 & echo $! $$; wait"


async def test_a_program_that_takes_too_long_is_killed_with_what_it_started() -> None:
    ran = await run_program(["/bin/sh", "-c", SLEEPERS], b"", timeout_s=1.0, output_max=100)
    assert ran.code is None or ran.code == -9
    numbers = ran.output.split()
    assert len(numbers) == 2
    for number in numbers:
        await until_gone(int(number))


async def test_a_program_is_killed_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    said = tmp_path / "said"
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            argv = ["/bin/sh", "-c", f"echo $$ > {said}.new; mv {said}.new {said}; exec sleep 600"]
            await run_program(argv, b"", timeout_s=600.0, output_max=100)

        nursery.start_soon(run)
        with trio.fail_after(PATIENCE_S):
            while not said.exists():  # noqa: ASYNC110 - a file sets no event of ours
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    await until_gone(int(said.read_text()))


async def test_what_is_left_in_the_background_is_not_waited_for() -> None:
    with trio.fail_after(PATIENCE_S):
        ran = await run_program(["/bin/sh", "-c", "sleep 600 & echo $!"], b"", timeout_s=600.0, output_max=100)
    assert ran.code == 0
    os.kill(int(ran.output), 9)


async def test_of_our_environment_only_what_is_harmless_is_handed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("TZ", "UTC")
    ran = await run_program(["/usr/bin/env"], b"", timeout_s=PATIENCE_S, output_max=10_000)
    names = {line.partition(b"=")[0] for line in ran.output.splitlines()}
    assert b"TZ" in names
    assert names <= {b"PATH", b"HOME", b"LANG", b"LC_ALL", b"TZ", b"CREDENTIALS_DIRECTORY"}
