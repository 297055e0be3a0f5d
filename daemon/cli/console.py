"""`onhand console`: one page about the shop, for a browser on this machine."""

from __future__ import annotations

import errno
import json

import click

from daemon.cli.client import RefusedError
from daemon.cli.session import as_json, client, talks


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, metavar="P",
    help="Where it listens, on loopback. Default: any free port.",
)  # fmt: skip
@click.option(
    "--write", is_flag=True,
    help="Let the page give commands too: dead letters, pausing and comparing channels, pushing, pulling and "
    "freezing SKUs. Without it, it only reads.",
)  # fmt: skip
@talks
def console(port: int, write: bool) -> int:
    """The shop on one page, in a browser, until Ctrl-C.

    The printed address holds a secret made anew each time: whoever has it, and is on this machine, may use the page.
    """
    from daemon.console.serve import run_console
    from daemon.ports import new_token

    daemon = client()
    daemon.get("status")  # no daemon: said here, before a browser is opened

    def say(url: str) -> None:
        mode = "commands allowed" if write else "read only"
        click.echo(json.dumps({"url": url, "write": write}) if as_json() else f"{url}   ({mode}; Ctrl-C ends it)")

    try:
        run_console(daemon.path, port, new_token(), write=write, say=say)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        sentence = f"port {port} of 127.0.0.1 cannot be had ({error.strerror})"
        raise RefusedError(0, "port_taken", sentence, "name another with --port, or none for any free one") from None
    return 0
