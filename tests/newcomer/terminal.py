"""A person's terminal: lines are typed, their output is read, and what it should have said is held against it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

PATIENCE_S = 120.0
"""How long something may take to come true. No speed is judged here: a busy machine is only slow."""
LINES_MAX = 14
COLUMNS_MAX = 116


class StumbledError(Exception):
    """A line did not do what a newcomer may expect of it."""


def trimmed(output: str) -> list[str]:
    """The first lines of an output, none too long, as they are shown."""
    lines = [line.rstrip() for line in output.splitlines()]
    shown = [line if len(line) <= COLUMNS_MAX else line[: COLUMNS_MAX - 2] + " …" for line in lines[:LINES_MAX]]
    return shown if len(lines) <= LINES_MAX else [*shown, f"… ({len(lines) - LINES_MAX} more lines)"]


@define
class Terminal:
    """`folder` is where the person is; `programs` says which file a typed word stands for."""

    folder: Path
    env: Mapping[str, str]
    say: Callable[[str], None]
    programs: dict[str, str] = field(factory=dict)
    typed: int = 0
    """Lines so far."""
    _behind: dict[str, subprocess.Popen[bytes]] = field(factory=dict)

    # -- showing --

    def remark(self, text: str) -> None:
        """What the person is about to do."""
        self.say(f"\n# {text}")

    def _show(self, line: str, output: str) -> None:
        self.typed += 1
        self.say(f"$ {line}")
        for shown in trimmed(output):
            self.say(f"  {shown}")

    # -- one line after the other --

    def type(self, line: str, *, code: int = 0, says: Sequence[str] = (), never: Sequence[str] = ()) -> str:
        """Type a line; its output. It must end with `code`, say each of `says` and none of `never`."""
        found, output = self._run(line)
        self._show(line, output)
        if reason := _objection(found, output, code, says, never):
            raise StumbledError(f"`{line}` {reason}")
        return output

    def type_until(
        self, line: str, *, code: int = 0, says: Sequence[str] = (), never: Sequence[str] = ()
    ) -> str:  # fmt: skip
        """Type a line again and again until it says what it should; only the last one is shown."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            found, output = self._run(line)
            reason = _objection(found, output, code, says, never)
            if not reason:
                self._show(line, output)
                return output
            if time.monotonic() > give_up:
                self._show(line, output)
                raise StumbledError(f"for {PATIENCE_S:.0f} s, `{line}` {reason}")
            time.sleep(0.3)

    def _run(self, line: str) -> tuple[int, str]:
        words = shlex.split(line)
        done = subprocess.run(
            [self.programs.get(words[0], words[0]), *words[1:]], cwd=self.folder, env=dict(self.env),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=10 * PATIENCE_S, check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def write(self, name: str, content: str) -> None:
        """Write a file with an editor."""
        (self.folder / name).write_text(content)
        self.say(f"$ cat {name}")
        for line in content.splitlines():
            self.say(f"  {line}")

    # -- what goes on running --

    def begin(self, name: str, line: str) -> None:
        """Start something in a terminal of its own; its output goes to `name`.log."""
        words = shlex.split(line)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._behind[name] = subprocess.Popen(
                [self.programs.get(words[0], words[0]), *words[1:]], cwd=self.folder, env=dict(self.env),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._show(f"{line} > {name}.log &", "")

    def end(self, name: str) -> None:
        """Ctrl-C in that terminal; it must end in good order."""
        child = self._behind.pop(name)
        child.send_signal(signal.SIGINT)
        code = child.wait(PATIENCE_S)
        self._show(f"fg {name}   # and Ctrl-C", "")
        if code:
            raise StumbledError(f"{name} ended with {code}: {self.log(name)[-500:]}")

    def log(self, name: str) -> str:
        """What something wrote so far."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def close(self) -> None:
        """Nothing goes on running."""
        for child in self._behind.values():
            child.kill()
            child.wait()

    # -- storefronts --

    def curl(self, url: str, body: object = None, *, quiet: bool = False) -> Any:
        """One call of a storefront, shown as curl would be told it; its JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                asked = urllib.request.Request(url, data)
                with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
                    content = answer.read().decode()
                break
            except urllib.error.HTTPError as error:
                raise StumbledError(f"{url} answered {error.code}: {error.read()[:500]!r}") from None
            except urllib.error.URLError:  # it is only just starting
                if time.monotonic() > give_up:
                    raise StumbledError(f"nobody answers at {url}") from None
                time.sleep(0.1)
        if not quiet:
            given = f"-d '{json.dumps(body)}' " if body is not None else ""
            self._show(f"curl {given}{url}", content)
        return json.loads(content)


def _objection(found: int, output: str, code: int, says: Sequence[str], never: Sequence[str]) -> str:
    """Why an output is not what it should be; "" where it is."""
    if found != code:
        return f"ended with {found}, not {code}: {output.strip()[-500:]}"
    missing = [words for words in says if words not in output]
    if missing:
        return f"did not say {missing[0]!r}, but: {output.strip()[:2000]}"
    unwanted = [words for words in (*never, "Traceback") if words in output]
    return f"said {unwanted[0]!r}: {output.strip()[:2000]}" if unwanted else ""


def environment(**extra: str) -> dict[str, str]:
    """Ours, without what systemd, a proxy or a developer's shell might add to it."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, **extra}
