"""Run every check and report each as a line of JSON; whatever happens, the report goes on to its end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback

from .programme import CHECKS


def say(**report: object) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


for name, check in CHECKS.items():
    began = time.monotonic()
    try:
        seen, holds = check(), True
    except AssertionError as error:
        seen, holds = str(error) or traceback.format_exc(limit=-1).replace("\n", " "), False
    except Exception as error:
        seen, holds = f"{type(error).__name__}: {error} {traceback.format_exc(limit=-2)}".replace("\n", " "), False
    say(check=name, seen=seen, holds=holds, seconds=round(time.monotonic() - began, 1))
journal = subprocess.run(["journalctl", "--no-pager", "--output=short-monotonic"], capture_output=True, text=True)
for line in journal.stdout.splitlines():
    say(journal=line[:2000])
sys.stdout.write("end\n")
sys.stdout.flush()
