"""The parts of `python -m tests.vm` that need no machine: what it asks for, what it reads, and how it judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.vm.guest.page import typed
from tests.vm.guest.places import PAGE
from tests.vm.image import REPOSITORY, Mirror, leave, mirror_of, proxies_of
from tests.vm.install import Installed, pip_options
from tests.vm.machine import END, PACKAGES, UnfitError, boot, kernels, lacking
from tests.vm.page import HEADING, PLACES, PageError, Place, blocks, commands, filled, place_of, plan
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


README = (REPOSITORY / "README.md").read_text()


def page(*texts: str) -> str:
    """A README.md with these shell blocks in its section, and another before and behind it."""
    shown = "".join(f"\nwords\n\n```sh\n{text}\n```\n" for text in texts)
    return f"# x\n\n```sh\nbefore\n```\n\n{HEADING}\n{shown}\n## Next\n\n```sh\nbehind\n```\n"


def test_every_line_of_the_readme_is_typed_in_its_order() -> None:
    # Read in another way than `blocks` does: whatever stands between the fences of that section.
    section = README.split(f"{HEADING}\n")[1].split("\n## ")[0]
    service, socket = (part.split("```")[0].strip().splitlines() for part in section.split("```sh\n")[1:])
    planned = plan(README)
    assert [*planned.disk, *planned.service] == service
    assert list(planned.socket) == socket
    assert {place_of(line) for line in planned.disk} == {Place.DISK}
    assert {place_of(line) for line in [*planned.service, *planned.socket]} == {Place.MACHINE}
    assert planned.service[-1].endswith("onhand status")


def test_no_place_is_left_over_from_an_earlier_page() -> None:
    planned = plan(README)
    lines = [*planned.disk, *planned.service, *planned.socket]
    typed = {" ".join(words) for line in lines for words in commands(line)}
    assert [each for each in PLACES if not any(f"{words} ".startswith(f"{each} ") for words in typed)] == []


def test_the_machine_is_left_the_very_lines(tmp_path: Path) -> None:
    planned = plan(README)
    leave(tmp_path, planned, Installed("/root/onhand", 12.5))
    left = json.loads((tmp_path / PAGE.lstrip("/")).read_text())
    assert left["socket"] == list(planned.socket)
    assert [each for each in left["service"] if each in planned.service] == [
        each for each in planned.service if "NAME" not in each
    ]
    secrets = [each.split()[1] for each in left["service"] if "/secrets/" in each and each.startswith("editor")]
    assert secrets == ["/etc/onhand/secrets/north-webhook", "/etc/onhand/secrets/south-webhook"]
    assert (left["folder"], left["before"]) == ("/root/onhand", {"lines": len(planned.disk), "took_s": 12.5})


def test_lines_are_taken_as_they_stand_there_of_that_section_alone() -> None:
    assert blocks(page("cd a  # b\n\n# c\ncd \\\nd", "editor e")) == [["cd a  # b", "cd d"], ["editor e"]]
    with pytest.raises(PageError, match="no section"):
        blocks("# x\n")


def test_a_line_without_a_place_is_told() -> None:
    for line, complaint in {
        "curl example.com": "does not say where",
        "cd a && rm -r b": "does not say where 'rm -r b'",
        "apt-get": "does not say where",
        "cd a; editor b": "only && is understood",
        "onhand status | cat": "only && is understood",
        "cd a && editor b": "make it two lines",
    }.items():
        with pytest.raises(PageError, match=complaint):
            place_of(line)
        with pytest.raises(PageError, match=complaint):
            plan(page(line, "editor a"))


def test_lines_out_of_order_and_other_blocks_are_told() -> None:
    assert plan(page("cd a\neditor b", "editor c")).service == ("editor b",)
    for texts in (["editor b\ncd a", "editor c"], ["editor a", "cd b"]):
        with pytest.raises(PageError, match="comes after one that needs systemd"):
            plan(page(*texts))
    for texts in (["editor a"], ["editor a"] * 3, ["editor a", ""]):
        with pytest.raises(PageError, match="two shell blocks"):
            plan(page(*texts))


def test_placeholders_are_filled_in_as_words() -> None:
    lines = ["git clone URL onhand", "editor /a/NAME # FILENAME"]
    assert filled(lines, "URL", ["/srv/x"]) == ["git clone /srv/x onhand", lines[1]]
    assert filled(lines, "NAME", ["b", "c"]) == [lines[0], "editor /a/b # FILENAME", "editor /a/c # FILENAME"]


needs_script = pytest.mark.skipif(shutil.which("script") is None, reason="script (bsdutils) is not installed here")


@needs_script
def test_lines_are_typed_at_a_terminal_and_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    typed(["test -t 0 && test -t 1 && test -t 2  # a terminal", "cd clone && touch a", "touch b"], str(tmp_path))
    assert sorted(each.name for each in (tmp_path / "clone").iterdir()) == ["a", "b"]


@needs_script
def test_the_first_line_that_fails_is_told_with_its_code_and_words_and_ends_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as failed:
        typed(["touch a", "echo some words && (exit 3)", "touch b"], str(tmp_path))
    assert str(failed.value) == "`touch a` exit 0:  | `echo some words && (exit 3)` exit 3: some words"
    assert not (tmp_path / "b").exists()


def test_pip_inside_takes_the_way_to_the_index_and_no_folder_of_this_machine() -> None:
    listed = [
        "global.index-url='https://a.example/simple'", "global.find-links='/opt/wheels'", ":env:.timeout='180'",
        "global.extra-index-url='file:///opt/x https://b.example/simple'", "global.timeout='60'",
        "install.index-url='https://c.example/simple'", "download.proxy='http://d.example'",
    ]  # fmt: skip
    assert pip_options(listed) == {
        "index-url": "https://c.example/simple", "extra-index-url": "https://b.example/simple", "timeout": "180",
    }  # fmt: skip
    assert pip_options(["global.extra-index-url='file:///opt/x'"]) == {}
