"""Checks of onhand.service as it is installed: each returns what was seen, or fails with a sentence."""

from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path
from typing import Any

from .page import same_bytes
from .places import CHANNELS, CONFIG, SECRET_MARK, UNIT_FOLDER
from .systemd import UNIT, events, main_pid, messages, onhand, records, run, show, started_again, systemctl, until
from .wire import asked, health, secret, sell, shown, storefront, webhook

EXPOSURE_MAX = 1.1
DYNAMIC_UIDS = range(61184, 65520)
START_S, SOON_S = 120.0, 30.0
SKU, OTHER = "SKU-0001", "SKU-0002"
PROBE = Path("/run/systemd/system/probe.service")


def machine_booted() -> str:
    """systemd is process 1, and every unit that was to start has."""
    until(lambda: run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), START_S, "booted")
    failed = run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout.split()
    assert not failed, f"failed units: {' '.join(failed)}"
    version = run("systemctl", "--version").stdout.split()[1]
    return f"systemd {version}, up for {float(Path('/proc/uptime').read_text().split()[0]):.0f} s, no failed unit"


def unit_is_the_repository_s() -> str:
    """The unit is the repository's to the byte; all that is added are credentials."""
    same_bytes(UNIT)
    drop_ins = show("DropInPaths")["DropInPaths"].split()
    lines = [line for path in drop_ins for line in Path(path).read_text().split("\n") if line]
    added = [line for line in lines if line != "[Service]"]
    assert len(added) == len(CHANNELS), lines
    assert all(line.startswith("LoadCredential=") for line in added), lines
    complaints = run("systemd-analyze", "verify", "--man=no", f"{UNIT_FOLDER}/{UNIT}").stderr.strip()
    assert not complaints, complaints
    return f"same bytes; {len(added)} LoadCredential lines beside it; systemd-analyze verify says nothing"


def service_starts() -> str:
    """`systemctl start` returns when READY=1 has come."""
    enabled = run("systemctl", "is-enabled", UNIT).stdout.strip()
    assert enabled == "enabled", enabled
    systemctl("stop", UNIT)
    began = time.monotonic()
    systemctl("start", UNIT, timeout_s=START_S)
    took = time.monotonic() - began
    found = show("ActiveState", "SubState", "Type", "NRestarts", "StatusErrno")
    assert (found["ActiveState"], found["SubState"], found["Type"]) == ("active", "running", "notify"), found
    assert found["NRestarts"] == "0", found
    return f"active (running) {took:.1f} s after systemctl start, Type=notify, no restart, enabled"


def exposure() -> str:
    said = run("systemd-analyze", "security", "--no-pager", UNIT).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said[-200:]
    assert float(found[1]) <= EXPOSURE_MAX, f"exposure {found[1]}, above {EXPOSURE_MAX}"
    return f"{found[1]} (at most {EXPOSURE_MAX})"


def process_is_confined() -> str:
    """What the kernel says of the running process."""
    pid = main_pid()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    uids = {int(each) for each in status["Uid"].split()}
    assert len(uids) == 1, uids
    assert uids <= set(DYNAMIC_UIDS), uids
    expected = {
        "NoNewPrivs": "1",
        "Seccomp": "2",
        **dict.fromkeys(("CapEff", "CapPrm", "CapBnd", "CapAmb"), "0" * 16),
    }
    assert {name: status[name] for name in expected} == expected
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max open files +16384 +16384", limits), limits
    assert re.search(r"Max core file size +0 +0", limits), limits
    for namespace in ("mnt", "user"):
        own, first = (Path(f"/proc/{each}/ns/{namespace}").readlink() for each in (pid, 1))
        assert own != first, f"it shares the {namespace} namespace with process 1"
    return f"uid {uids.pop()}, NoNewPrivs 1, Seccomp 2, no capability, mounts and users of its own, no core file"


def forbidden_things_fail() -> str:
    """Another process under the very lines of the unit, with only what is started exchanged."""
    text = (Path(UNIT_FOLDER) / UNIT).read_text()
    drop_in = Path(show("DropInPaths")["DropInPaths"]).read_text().replace("[Service]", "")
    text = re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/usr/bin/python3 /usr/lib/checks/guest/probe.py" + drop_in, text)
    text = re.sub(r"(?m)^Restart=.*$", "Restart=no", text.replace("Type=notify", "Type=oneshot"))
    text = re.sub(r"(?m)^(WatchdogSec|NotifyAccess)=.*$", "", text)
    text = re.sub(r"(?m)^(State|Runtime)Directory=onhand$", r"\1Directory=probe", text)
    PROBE.parent.mkdir(parents=True, exist_ok=True)
    PROBE.write_text(text)
    systemctl("daemon-reload")
    systemctl("start", PROBE.name)
    found = json.loads(next(line for line in messages(PROBE.name) if line.startswith("{")))
    PROBE.unlink()
    systemctl("daemon-reload")
    broken = [name for name, outcome in found["forbidden"].items() if outcome == "done"]
    assert not broken, f"it could {', '.join(broken)}"
    missing = {name: outcome for name, outcome in found["allowed"].items() if outcome != "done"}
    assert not missing, f"it could not: {missing}"
    return (
        f"{len(found['forbidden'])} of {len(found['forbidden'])} refused, {len(found['allowed'])} allowed ones work"
    )


def health_is_200() -> str:
    took = until(lambda: health() == 200, SOON_S, "/healthz answers 200")
    return f"GET /healthz: 200 ({took:.1f} s later)"


def root_is_answered() -> str:
    """The command finds the admin socket by itself."""
    done = onhand("status")
    assert done.returncode == 0, done.stderr
    done = onhand("status", "--json")
    found = json.loads(done.stdout)
    assert found["ready"], found["not_ready"]
    assert list(found["channels"]) == list(CHANNELS), found
    return f"exit 0, ready, channels {', '.join(found['channels'])}"


def others_are_not() -> str:
    """Folder and socket keep everybody else out."""
    folder, socket = Path("/run/onhand"), Path("/run/onhand/admin.sock")
    modes = [f"{stat.S_IMODE(each.stat().st_mode):o}" for each in (folder, socket)]
    assert modes == ["750", "660"], modes
    asking = ("--reuid=65534", "--regid=65534", "--clear-groups", "/opt/onhand/bin/onhand", "status")
    done = run("setpriv", *asking)
    assert done.returncode != 0, "nobody was answered"
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
    state = Path("/var/lib/private/onhand")
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    loose = [str(each) for each in state.rglob("*") if stat.S_IMODE(each.stat().st_mode) & 0o077]
    assert not loose, loose
    return f"/run/onhand 750, admin.sock 660, state 700 and nothing in it open; user nobody: exit {done.returncode}"


def sale_reaches_the_other_shop() -> str:
    """Sold at north, told by a signed webhook, shown at south."""
    before = shown("south", SKU)
    order = sell("north", SKU)
    took = until(lambda: shown("south", SKU) == before - 1, SOON_S, "south shows one unit less")
    history = _orders(SKU)
    told = next(each for each in history if each["cause"]["order"] == order["id"])
    assert told["cause"]["by"] == "webhook", told
    return f"south shows {before - 1} after {took:.1f} s, by webhook"


def signatures_are_checked() -> str:
    """Signed: 200, as often as it comes; forged: 401; nothing moves twice."""
    order = sell("north", OTHER)
    until(lambda: asked("skus", OTHER)["available"] == 99, SOON_S, "the sale is known")
    answers = [webhook("north", order, delivery, secret("north")) for delivery in ("by-hand", "by-hand", "again")]
    assert answers == [(200, "accepted"), (200, "known"), (200, "accepted")], answers
    forged = webhook("north", order, "forged", "not-the-secret")
    assert forged[0] == 401, forged
    assert asked("skus", OTHER)["available"] == 99
    return f"signed {answers[0][0]}, repeated {answers[1][0]} ({answers[1][1]}), forged {forged[0]}; sold once"


def alarm_is_told() -> str:
    """A listing that its shop refuses is an alarm: the configured program is told inside the unit's walls, and once
    more when the listing is mended."""
    refuse = {"do": "refuse", "listing": "L-0003", "times": None}
    storefront("south", "POST", "/faults", {"script": [refuse]})
    sell("north", "SKU-0003")
    took = until(lambda: len(events("alarm.told")) == 1, SOON_S, "the program is told that the alarm began")
    assert asked("status")["alarms"][0]["condition"] == "pushes_dead"
    storefront("south", "POST", "/faults", {"script": []})
    done = onhand("dead-letters", "retry", "--all", "--channel", "south")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: len(events("alarm.told")) == 2, SOON_S, "the program is told that the alarm is over")
    told = events("alarm.told")
    assert [(each["condition"], each["state"]) for each in told] == [
        ("pushes_dead", "raised"),
        ("pushes_dead", "cleared"),
    ]
    found = [re.match(r"uid (\d+), on call, (\d+) variables: \{.id.: ", each["said"]) for each in told]
    assert all(found), told
    assert {int(each[1]) for each in found if each} <= set(DYNAMIC_UIDS), told
    (target,) = asked("status")["alarm_targets"]
    assert (target["told"], target["waiting"], target["failing_since"]) == (2, 0, None), target
    return f"told {took:.1f} s after the sale, and at its end: {told[0]['said'][:40]}"


def backup_works() -> str:
    """A hot copy below the state directory, all that the unit lets it write; elsewhere one sentence."""
    done = onhand("backup", "/var/lib/onhand/copy")
    assert done.returncode == 0, done.stderr
    refused = onhand("backup", "/root/copy")
    assert refused.returncode == 1, refused
    assert refused.stderr.strip().count("\n") == 0, refused.stderr
    return f"{done.stdout.strip()}; to /root: exit 1, {refused.stderr.strip()}"


def _orders(sku: str) -> list[dict[str, Any]]:
    """The order lines that moved stock, newest first; the same line read once more by a poll moves nothing."""
    history = asked("skus", sku, "history")["history"]
    return [each for each in history if each["kind"] == "order" and each["before"] != each["after"]]


def _facts() -> list[object]:
    """What must survive: the stock of every SKU, and every order line that moved it."""
    stock = [asked("skus", f"SKU-{number:04d}") for number in range(1, 6)]
    kept = [(each["sku"], each["available"], each["on_hand"], each["held"], each["versions"]) for each in stock]
    return [kept, [(each["seq"], each["before"], each["after"]) for sku in (SKU, OTHER) for each in _orders(sku)]]


def _is_whole(before: list[object]) -> None:
    until(lambda: health() == 200, SOON_S, "ready again")
    assert (now := _facts()) == before, f"the state was {before} and is {now}"
    shop = shown("south", SKU)
    sell("north", SKU)
    until(lambda: shown("south", SKU) == shop - 1, SOON_S, "a sale after it reaches south")


def kill_is_survived() -> str:
    before, pid, restarts = _facts(), main_pid(), int(show("NRestarts")["NRestarts"])
    systemctl("kill", "--signal=KILL", UNIT)
    took = until(lambda: started_again(pid), START_S, "started again after SIGKILL")
    found = show("NRestarts")
    assert int(found["NRestarts"]) == restarts + 1, found
    _is_whole(before)
    return f"active again after {took:.1f} s (RestartSec=2), same stock and orders, the next sale arrives"


def hang_is_noticed() -> str:
    before, pid, restarts = _facts(), main_pid(), int(show("NRestarts")["NRestarts"])
    systemctl("kill", "--signal=STOP", "--kill-whom=main", UNIT)
    took = until(lambda: started_again(pid), START_S, "started again after the watchdog")
    assert int(show("NRestarts")["NRestarts"]) == restarts + 1
    assert any("Watchdog timeout" in line for line in messages()), "the journal does not name the watchdog"
    _is_whole(before)
    return f"killed by the watchdog and active again after {took:.1f} s (WatchdogSec=30), state the same"


def stop_drains() -> str:
    """An orderly stop; a sale meanwhile is found by the poll afterwards."""
    stopped = len(events("daemon.stopped"))
    began = time.monotonic()
    systemctl("stop", UNIT)
    took = time.monotonic() - began
    found = show("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
    assert found == {"ActiveState": "inactive", "Result": "success", "ExecMainCode": "1", "ExecMainStatus": "0"}, (
        found
    )
    until(lambda: len(events("daemon.stopped")) == stopped + 1, SOON_S, "daemon.stopped in the journal")
    assert took < 30, f"{took:.1f} s, as long as TimeoutStopSec"
    assert not Path("/run/onhand").exists(), "its runtime folder is still there"
    level = shown("south", SKU)
    sell("north", SKU)
    systemctl("start", UNIT)
    later = until(lambda: shown("south", SKU) == level - 1, SOON_S * 2, "the sale made meanwhile reaches south")
    return (
        f"gone after {took:.1f} s, exit 0, daemon.stopped logged; a sale meanwhile arrives {later:.1f} s after start"
    )


def books_agree() -> str:
    done = onhand("rebuild", "--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    for sku in (SKU, OTHER):
        counts = {shown(name, sku) for name in CHANNELS} | {asked("skus", sku)["available"]}
        assert len(counts) == 1, f"{sku}: {counts}"
    return done.stdout.strip()


def wrong_configuration_is_said_once() -> str:
    """Exit 2 is no reason to start again."""
    good = Path(CONFIG).read_text()
    systemctl("stop", UNIT)
    try:
        Path(CONFIG).write_text(good.replace('"listen"', '"lisen"'))
        assert run("systemctl", "start", UNIT).returncode != 0
        time.sleep(5)  # more than RestartSec
        found = show("ActiveState", "NRestarts", "ExecMainStatus")
        assert found == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "2"}, found
        assert any("lisen" in line for line in messages()), "the journal does not say what is wrong"
    finally:
        Path(CONFIG).write_text(good)
    systemctl("start", UNIT)
    return "exit 2, said in the journal, not tried again; mended and started"


def journal_is_clean() -> str:
    """No traceback, no secret; all that the program itself says is JSON or one sentence."""
    whole = run("journalctl", "--output=cat", "--no-pager", "--all").stdout
    for mark in ("Traceback", SECRET_MARK):
        assert mark not in whole, next(line for line in whole.splitlines() if mark in line)[:300]
    own = [str(each["MESSAGE"]) for each in records() if each.get("_COMM") == "onhand"]
    assert own, "the program said nothing at all"
    bad = [json.loads(line) for line in own if line.startswith("{")]
    severe = [each["event"] for each in bad if each["severity"] == "error"]
    planted = ["alarm.raised", "push.dead"]  # one of each, by `alarm_is_told`
    assert sorted(set(severe) - {"storage.backup_failed"}) == planted, f"errors in the log: {sorted(severe)}"
    assert [severe.count(each) for each in planted] == [1, 1], f"errors in the log: {sorted(severe)}"
    return f"{len(whole.splitlines())} lines of all units, {len(own)} of onhand: no traceback, no secret, no error"
