"""The first day of somebody who has never seen onhand: from nothing to a daemon whose disk was lost and restored."""

from __future__ import annotations

import json
import random
import shutil
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import define

from tests.newcomer.terminal import StumbledError, Terminal, environment

REPOSITORY = Path(__file__).resolve().parents[2]
SHOPS = ("north", "south")
EXPECTED_ERRORS = ("push.dead", "alarm.raised", "storage.backup_failed")
"""What this day's mishaps write into the log: a listing that is refused, and a backup over another one."""


@define
class Ports:
    """Free ports on loopback: the daemon's, and one a storefront."""

    daemon: int
    north: int
    south: int

    @classmethod
    def free(cls) -> Ports:
        """Three that nobody uses at the moment, below those that the system gives to outgoing connections."""
        found: list[int] = []
        while len(found) < 3:
            port = random.randrange(20_000, 32_000)
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return cls(*found)


@define
class Day:
    """Each method is a part of the day, and leaves things as the next one finds them."""

    person: Terminal
    ports: Ports

    def configuration(self, adapter_word: str = "adapter") -> str:
        """A config.yaml for two sandbox storefronts. Polls come every second, so that nobody has to wait."""
        return (
            f"listen: 127.0.0.1:{self.ports.daemon}\n"
            "channels:\n"
            "  north:\n"
            "    adapter: sandbox\n"
            f"    base_url: http://127.0.0.1:{self.ports.north}\n"
            "    webhook_secrets: [secret-north]\n"
            "    poll_interval_s: 1\n"
            "  south:\n"
            f"    {adapter_word}: sandbox\n"
            f"    base_url: http://127.0.0.1:{self.ports.south}\n"
            "    webhook_secrets: [secret-south]\n"
            "    buffer: 1               # always keep one unit back here\n"
            "    poll_interval_s: 1\n"
        )

    def url(self, shop: str) -> str:
        """A storefront's address."""
        return f"http://127.0.0.1:{getattr(self.ports, shop)}"

    def sell(self, shop: str, sku: str, quantity: int) -> str:
        """Somebody buys at a storefront; the order's id."""
        order = self.person.curl(f"{self.url(shop)}/orders", {"lines": [{"sku": sku, "quantity": quantity}]})
        return str(order["id"])

    def settled(self, sku: str, north: int, south: int) -> None:
        """Wait until the daemon says that both listings of a SKU show what they should (the north all there is), and
        hold the storefronts to it."""
        self.person.type_until(
            f"onhand sku {sku}", says=(f"{sku}: {north} available", "settled"),
            never=("pending", "in_flight", "held", "dead", "paused"),
        )  # fmt: skip
        for shop, level in zip(SHOPS, (north, south), strict=True):
            items = self.person.curl(f"{self.url(shop)}/listings", quiet=True)["items"]
            shows = {item["sku"]: item["quantity"] for item in items}
            if shows[sku] != level:
                raise StumbledError(f"{shop} shows {shows[sku]} of {sku}, not {level}")

    # -- the parts --

    def configure(self) -> None:
        """Before anything runs: no configuration, a wrong one, a right one."""
        person = self.person
        person.remark("What is there? And what does it say before anything is set up?")
        person.type("onhand --version", says=("onhand, version",))
        person.type("onhand status", code=3, says=("start it with `onhand run`",))
        person.type("onhand run", code=2, says=("config.yaml cannot be read", "--config"))
        person.remark("A configuration, with a slip of the pen.")
        person.write("config.yaml", self.configuration("adaptor"))
        person.type("onhand check-config", code=2, says=("channels.south.adapt", "(line"))
        person.remark("The slip mended.")
        person.write("config.yaml", self.configuration())
        person.type("onhand check-config", says=("is fine; channels: north, south",))

    def start(self) -> None:
        """Two storefronts and the daemon."""
        person = self.person
        person.remark("Two shops to try it with, and the daemon.")
        for shop in SHOPS:
            hook = f"http://127.0.0.1:{self.ports.daemon}/webhooks/{shop}"
            person.begin(
                shop, f"onhand sandbox --port {getattr(self.ports, shop)} --name {shop} --webhook-url {hook} "
                f"--secret secret-{shop} --skus 3",
            )  # fmt: skip
        for shop in SHOPS:
            person.curl(f"{self.url(shop)}/healthz", quiet=True)
        person.begin("daemon", "onhand run")
        person.type_until("onhand status", says=("ready, up since", "north", "south"), never=("NOT READY", "ALARM"))
        person.type("onhand run", code=1, says=("another onhand is already running",))

    def ask_why(self) -> None:
        """A sale, and where it shows."""
        person = self.person
        person.remark("Somebody buys two in the north. What does the south show, and why?")
        order = self.sell("north", "SKU-0001", 2)
        person.type_until("onhand history SKU-0001", says=(f"order {order} line 1: 2 ordered",))
        self.settled("SKU-0001", 8, 7)
        person.type(
            "onhand explain SKU-0001 --channel south",
            says=("it should show 7: available 8, minus the buffer of 1", order),
        )
        person.type("onhand events --sku SKU-0001 --after 1", says=(f"order {order} line 1: 2 ordered", "10 -> 8"))

    def break_a_listing(self) -> None:
        """A shop that refuses one listing: an alarm, a dead letter, and the way out."""
        person = self.person
        person.remark("The south refuses one listing from now on.")
        refusing = {"script": [{"do": "refuse", "listing": "L-0002", "times": None}]}
        person.curl(f"{self.url('south')}/faults", refusing, quiet=True)
        self.sell("north", "SKU-0002", 1)
        person.type_until(
            "onhand status", says=("ALARM PUSHES DEAD south", "what to do: `onhand dead-letters`", "1 stopped")
        )
        person.type("onhand dead-letters", says=("south", "SKU-0002", "mend the listing at the channel, then retry"))
        person.type("onhand dead-letters show 1", says=("it takes no level",))
        person.remark("The shop is mended, and the letter tried again.")
        person.curl(f"{self.url('south')}/faults", {}, quiet=True)
        person.type("onhand dead-letters retry 1", says=("the listing is pushed again",))
        self.settled("SKU-0002", 9, 8)
        person.type_until("onhand status", never=("ALARM", "1 stopped"))

    def break_a_channel(self) -> None:
        """A shop that answers nothing but errors for a while."""
        person = self.person
        person.remark("The south is down altogether; the north sells on.")
        person.curl(f"{self.url('south')}/faults", {"api": {"error_500": 1}}, quiet=True)
        self.sell("north", "SKU-0003", 4)
        person.type_until("onhand status", says=("down", "500 something broke"), never=("NOT READY",))
        person.type("onhand explain SKU-0003 --channel south", says=("the channel is down: 500 something broke",))
        person.curl(f"{self.url('south')}/faults", {}, quiet=True)
        person.remark("It is up again; nobody has to do anything.")
        self.settled("SKU-0003", 6, 5)

    def lose_the_disk(self) -> None:
        """A backup, sales after it, a lost disk, a restore: what the backup does not know, the shops still do."""
        person = self.person
        person.remark("A backup, while it runs. Then both shops go on selling.")
        person.type("onhand backup monday", says=("bytes copied to",))
        person.type("onhand backup monday", code=1, says=("is not empty: name an empty directory",))
        person.type("onhand rebuild --verify", says=("all equal",))
        self.sell("north", "SKU-0001", 1)
        self.sell("south", "SKU-0003", 2)
        self.settled("SKU-0001", 7, 6)
        person.remark("The disk is lost, and a sale is made while nothing runs.")
        person.end("daemon")
        person.type("onhand status", code=3, says=("no daemon answers",))
        person.type("mv state lost")
        self.sell("south", "SKU-0002", 3)
        person.type("onhand restore tuesday", code=1, says=("tuesday is not a backup",))
        person.type("onhand restore monday", says=("bytes restored to", "onhand run", "onhand rebuild --verify"))
        person.type("onhand restore monday", code=1, says=("is not empty", "move the old state away first"))
        person.begin("daemon", "onhand run")
        person.type_until("onhand rebuild --verify", says=("all equal",))

    def right_again(self) -> None:
        """Both shops show what is true: every sale ever made, and the buffer."""
        person = self.person
        person.remark("Every sale is known, also those that the backup had never heard of.")
        self.settled("SKU-0001", 7, 6)
        self.settled("SKU-0002", 6, 5)
        self.settled("SKU-0003", 4, 3)
        person.type_until("onhand status", says=("ready, up since", "dead letters: 0"), never=("ALARM",))
        person.type("onhand rebuild --verify", says=("all equal",))
        for name in ("daemon", *SHOPS):
            person.end(name)
        lines = [json.loads(line) for line in person.log("daemon").splitlines() if line.startswith("{")]
        strange = [line for line in lines if line["severity"] == "error" and line["event"] not in EXPECTED_ERRORS]
        if strange:
            raise StumbledError(f"the daemon's log has errors that nothing explains: {strange[:3]}")

    def whole(self) -> None:
        """All of it, in its order."""
        self.configure()
        self.start()
        self.ask_why()
        self.break_a_listing()
        self.break_a_channel()
        self.lose_the_disk()
        self.right_again()


def install(person: Terminal) -> None:
    """A virtual environment of its own, as README.md says, from a clone of the sources."""
    person.remark("Install it.")
    clone = person.folder / "clone"
    shutil.copytree(REPOSITORY, clone, ignore=shutil.ignore_patterns(".*", "tests", "*.egg-info", "__pycache__"))
    person.type("python3 -m venv .venv")
    person.type(".venv/bin/pip install -q ./clone")
    person.programs["onhand"] = str(person.folder / ".venv/bin/onhand")


def live(folder: Path, say: Callable[[str], None], *, installed: bool) -> int:
    """The whole day in an empty folder; lines typed. `installed`: with the `onhand` beside this interpreter, else
    with one in a virtual environment of its own. Raises `StumbledError`."""
    if installed:
        person = Terminal(folder, environment(PYTHONPATH=str(REPOSITORY)), say)
        person.programs["onhand"] = str(Path(sys.executable).with_name("onhand"))
    else:
        person = Terminal(folder, environment(), say)
        install(person)
    try:
        Day(person, Ports.free()).whole()
    finally:
        person.close()
    return person.typed
