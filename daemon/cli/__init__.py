"""The `onhand` command: everything but run, demo, verify and sandbox talks to the daemon's admin socket."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from daemon import __version__
from daemon.cli import channels, commands, console, drift, launch, letters, links, queries, replay, sheets
from daemon.cli.client import NoDaemonError, RefusedError
from daemon.config_yaml import ConfigError
from daemon.storage.files import StoreError

__all__ = ["main"]

DONE, REFUSED, WRONG, NO_DAEMON, INTERRUPTED = 0, 1, 2, 3, 130


@click.group()
@click.version_option(__version__, prog_name="onhand")
def onhand() -> None:
    """Keeps one true stock number on every sales channel.

    Exit codes: 0 done; 1 a check failed or the daemon refused; 2 wrong usage or configuration; 3 no daemon on
    the socket.
    """


for _command in (
    launch.run, launch.demo, launch.verify, launch.check_config, launch.sandbox,
    queries.status, channels.channels, queries.sku, queries.skus, queries.history, queries.explain, queries.events,
    channels.shadow_report, commands.count, commands.adjust, letters.dead_letters, commands.push, commands.pull,
    channels.reconcile,
    commands.rebuild, commands.backup, launch.restore, channels.webhooks, commands.freeze, commands.unfreeze,
    drift.drift, sheets.import_sheet, sheets.export_sheet, replay.replay, links.links, console.console,
):  # fmt: skip
    onhand.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's own) and return its exit code; errors are said on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a SKU still shows something
    try:
        code = onhand.main(args=arguments, prog_name="onhand", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG
    except click.UsageError as error:
        return _say(f"{_one_line(error.format_message())}: see `{_path(error)} --help`", WRONG)
    except click.ClickException as error:
        return _say(_one_line(error.format_message()), WRONG)
    except click.Abort:
        return INTERRUPTED
    except ConfigError as error:
        return _say(str(error), WRONG)
    except NoDaemonError as error:
        return _say(str(error), NO_DAEMON)
    except (RefusedError, StoreError) as error:
        return _say(str(error), REFUSED)
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        return _say(f"{error.strerror or error}{named}: mend it, then try again", REFUSED)
    return code if isinstance(code, int) else DONE


def _say(sentence: str, code: int) -> int:
    click.echo(sentence, err=True)
    return code


def _one_line(message: str) -> str:
    return " ".join(message.split()).rstrip(".")


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "onhand"
