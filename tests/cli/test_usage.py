"""What a person can get wrong: one sentence on stderr, the right exit code, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli import main, session
from daemon.cli.session import SYSTEM_SOCKET, default_socket

COMMANDS = (
    "run", "demo", "verify", "check-config", "sandbox", "status", "channels", "shadow", "sku", "history", "explain",
    "events", "count", "adjust", "dead-letters", "push", "pull", "reconcile", "rebuild", "replay", "backup",
    "restore", "webhooks", "freeze", "unfreeze", "import", "export", "console", "links",
)  # fmt: skip


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["sku"],
        ["sku", ""],
        ["sku", "a\nb"],
        ["sku", "x" * 201],
        ["sku", "half \udcff"],
        ["sku", "A", "B"],
        ["sku", "A", "--at", "yesterday"],
        ["count", "A"],
        ["count", "A", "many"],
        ["count", "A", "-1"],
        ["count", "A", "1.5"],
        ["count", "A", "1", "--kind", "total"],
        ["adjust", "A", "x"],
        ["adjust", "A", "--refrence", "1"],
        ["events", "--after", "-1"],
        ["channels", "explode", "shop"],
        ["channels", "pause"],
        ["dead-letters", "show", "x"],
        ["dead-letters", "show", "0"],
        ["backup"],
        ["import"],
        ["export"],
        ["demo", "--orders", "0"],
        ["sandbox", "--port", "1"],
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "see `onhand" in err
    assert "Traceback" not in err


def test_no_daemon_on_the_socket_is_exit_code_3(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = short / "stale"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))
    for path in (short / "nothing", stale, short / "a" / "b", stale / "c", Path("/" + "x" * 200)):
        assert main(["status", "--socket", str(path)]) == 3
        out, err = capsys.readouterr()
        assert out == ""
        assert str(path) in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{",
        b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nhi!",
        b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_something_else_on_the_socket_is_exit_code_3(
    said: bytes, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "s"))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["status", "--socket", str(short / "s")]) == 3
        thread.join()
    assert "is no onhand daemon" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_of_somebody_else_says_so(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "s"))
        (short / "s").chmod(0)
        assert main(["status", "--socket", str(short / "s")]) == 3
    assert "you may not use" in capsys.readouterr().err


def test_the_socket_is_found_where_the_environment_or_the_configuration_says(tmp_path: Path) -> None:
    assert default_socket({"ONHAND_SOCKET": "/x"}, tmp_path) == "/x"
    assert default_socket({}, tmp_path) == SYSTEM_SOCKET
    config = tmp_path / "config.yaml"
    config.write_text("admin_socket: ./run/a.sock\nchannels: {}\n")
    assert default_socket({}, tmp_path) == str(tmp_path / "run/a.sock")
    config.write_text("state_dir: /srv/onhand\n")
    assert default_socket({}, tmp_path) == "/srv/onhand/admin.sock"
    for broken in ("- 1\n", "a: [", "\x00"):
        config.write_text(broken)
        assert default_socket({}, tmp_path) == SYSTEM_SOCKET
    config.write_bytes(b"\xff\xfe")
    assert default_socket({}, tmp_path) == SYSTEM_SOCKET


def test_in_a_clone_the_service_is_found_where_no_daemon_of_the_clone_ever_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, own = tmp_path / "service.sock", tmp_path / "state" / "admin.sock"
    monkeypatch.setattr(session, "SYSTEM_SOCKET", str(service))
    (tmp_path / "config.yaml").write_text("channels: {}\n")
    assert default_socket({}, tmp_path) == str(own), "neither is there: the one that `onhand run` would make is named"
    service.touch()
    assert default_socket({}, tmp_path) == str(service)
    own.parent.mkdir()
    own.touch()
    assert default_socket({}, tmp_path) == str(own)


def test_help_is_exit_code_0_and_no_command_at_all_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in listed
        assert main([command, "--help"]) == 0
    assert "..." not in listed.partition("Commands:")[2]  # in a terminal of 80 columns, each says all of its line
    assert main([]) == 2


def test_check_config_tells_everything_that_is_wrong_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    config = tmp_path / "config.yaml"
    config.write_text("listen: nowhere\nwhat: 1\nchannels: {}\n")
    assert main(["check-config", "--config", str(config)]) == 2
    err = capsys.readouterr().err
    assert "listen: " in err
    assert "what: " in err
    assert main(["check-config", "--config", str(config), "--json"]) == 2
    assert '"ok": false' in capsys.readouterr().out
    config.write_text(
        "channels:\n  outlet:\n    adapter: sandbox\n    base_url: http://127.0.0.1:9101\n"
        "    webhook_secrets: [secret]\n"
    )
    assert main(["check-config", "--config", str(config)]) == 0
    assert "outlet" in capsys.readouterr().out
    assert main(["check-config", "--config", str(tmp_path / "nothing")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_restore_without_configuration_is_exit_code_2_and_with_a_wrong_backup_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["restore", str(tmp_path), "--config", str(tmp_path / "nothing")]) == 2
    assert main(["restore", str(tmp_path), "--state-dir", str(tmp_path / "state")]) == 1
    assert "is not a backup" in capsys.readouterr().err


def test_run_demo_and_verify_are_given_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def stand_in(module: str, function: str) -> None:
        made = types.ModuleType(module)
        setattr(made, function, lambda *arguments: given.append(arguments) or 7)  # type: ignore[func-returns-value]
        monkeypatch.setitem(sys.modules, module, made)

    stand_in("daemon.app", "run_daemon")
    stand_in("daemon.theatre.demo", "run_demo")
    stand_in("daemon.theatre.verify", "run_verify")
    stand_in("daemon.theatre.sandbox_cli", "run_sandbox")
    assert main(["run", "--config", "c.yaml"]) == 7
    assert main(["demo", "--orders", "5", "--seconds", "2.5", "--json"]) == 7
    assert main(["verify"]) == 7
    sandbox = ["sandbox", "--port", "0", "--name", "n", "--webhook-url", "u", "--secret", "s", "--skus", "3"]
    assert main(sandbox) == 7
    assert given[0][0] == Path("c.yaml")  # type: ignore[index]  # a tuple
    assert given[1:] == [(5, 2.5, True), (False,), (0, "n", "u", "s", 3, 10, 0)]


@pytest.mark.slow
def test_the_module_is_the_command(short: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "daemon", "status", "--socket", str(short / "s")], capture_output=True, text=True
    )
    assert ran.returncode == 3
    assert ran.stderr.startswith("no daemon answers on ")


@pytest.mark.slow
def test_a_terminal_that_cannot_show_a_letter_still_gets_a_sentence(short: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "daemon", "status", "--socket", str(short / "ÄÖ")],
        capture_output=True, env={"PYTHONIOENCODING": "ascii:strict", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert ran.returncode == 3
    assert b"Traceback" not in ran.stderr


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("onhand, version ")
