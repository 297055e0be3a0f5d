"""The parts of `python -m tests.vm` that need no machine: what it asks for, what it reads, and how it judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.vm.image import Mirror, mirror_of, proxies_of, python_of
from tests.vm.machine import END, PACKAGES, UnfitError, boot, kernels, lacking
from tests.vm.report import Report, table


def line(check: str, holds: bool = True) -> str:
    return json.dumps({"check": check, "seen": "something", "holds": holds, "seconds": 1})


def test_the_release_itself_is_taken_from_the_machine_s_own_mirror() -> None:
    targets = [
        "http://mirror.example/security/|bookworm-security|Debian|Debian-Security|main",
        "http://other.example/apt/|stable|Other|Other|main",
        "http://mirror.example/debian/|bookworm-updates|Debian|Debian|main",
        "http://mirror.example/debian/|bookworm|Debian|Debian|contrib",
        "http://mirror.example/debian/|bookworm|Debian|Debian|main",
    ]
    assert mirror_of(targets) == Mirror("http://mirror.example/debian/", "bookworm")
    with pytest.raises(UnfitError, match="apt-get update"):
        mirror_of(targets[:4])


def test_proxies_of_apt_are_passed_on_and_nothing_else() -> None:
    dump = ['Acquire::Languages "none";', 'Acquire::http::Proxy "http://proxy.example:3128/";', 'DPkg::Proxy "x";']
    assert proxies_of(dump) == [dump[1]]


def test_wheels_are_fetched_for_the_release_s_python() -> None:
    assert python_of(["python3:", "  Installed: (none)", "  Candidate: 3.11.2-1+b1"]) == "3.11"
    with pytest.raises(UnfitError, match="python3"):
        python_of(["python3:", "  Candidate: (none)"])


def test_what_is_missing_is_named_by_its_package() -> None:
    assert lacking(lambda _: True, kernel=True) == []
    assert lacking(lambda name: name != "mke2fs", kernel=False) == ["e2fsprogs", "linux-image-cloud-amd64"]
    assert lacking(lambda _: None, kernel=True) == list(PACKAGES.values())


def test_the_newest_cloud_kernel_with_a_ram_disk_is_booted(tmp_path: Path) -> None:
    for name in ("6.1.0-9-cloud-amd64", "6.1.0-40-cloud-amd64", "6.1.0-41-amd64"):
        (tmp_path / f"vmlinuz-{name}").touch()
        (tmp_path / f"initrd.img-{name}").touch()
    (tmp_path / "vmlinuz-7.0.0-1-cloud-amd64").touch()
    assert [each.image.name for each in kernels(tmp_path)] == [
        "vmlinuz-6.1.0-40-cloud-amd64",
        "vmlinuz-6.1.0-9-cloud-amd64",
    ]


def test_all_that_was_expected_must_be_heard_of_and_hold() -> None:
    report = Report(["start", "stop"])
    report.hear(line("start"))
    assert not report.holds()
    assert "nothing was heard of it" in table(report.complete())
    report.hear(line("stop"))
    assert report.holds()
    report.hear(line("start", holds=False))
    assert not report.holds()
    assert "FAILS" in table(report.complete())


def test_a_check_that_nobody_expects_fails_and_noise_is_kept() -> None:
    report = Report([])
    assert report.holds()
    report.hear("Traceback (most recent call last):")
    report.hear(json.dumps({"journal": "a line"}))
    assert (report.noise, report.journal) == (["Traceback (most recent call last):"], ["a line"])
    report.hear(line("start"))
    assert not report.holds()


def test_the_table_has_a_line_for_each_check_whatever_was_seen() -> None:
    report = Report(["start"])
    report.hear(json.dumps({"check": "start", "seen": "one\ntwo\n", "holds": True, "seconds": 2.5}))
    assert table(report.complete()).splitlines()[1:] == ["start  2.5  holds    one two"]


def reporting(script: str, folder: Path, patience_s: float = 20) -> tuple[str, list[str]]:
    """Boot a shell in the machine's place: why it has no complete report, and what was heard."""
    heard: list[str] = []
    report = folder / "report"
    shell = shutil.which("sh")
    assert shell
    return boot([shell, "-c", script.replace("REPORT", str(report))], report, patience_s, heard.append), heard


def test_a_machine_is_listened_to_until_its_report_ends(tmp_path: Path) -> None:
    # The serial line ends each line in its own way, and what comes after the end is no part of the report.
    trouble, heard = reporting(rf"printf 'one\r\ntwo\r\n{END}\r\nPowering off.\r\n' > REPORT; sleep 20", tmp_path)
    assert (trouble, heard) == ("", ["one", "two"])


def test_a_machine_that_ends_early_says_what_it_said(tmp_path: Path) -> None:
    trouble, heard = reporting("echo one > REPORT; echo no such disk >&2; exit 1", tmp_path)
    assert heard == ["one"]
    assert "no such disk" in trouble


def test_patience_ends(tmp_path: Path) -> None:
    trouble, _ = reporting("exec sleep 20", tmp_path, 0.3)
    assert "did not finish in time" in trouble
