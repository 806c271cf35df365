"""Runs a command line and turns every trouble into an exit code, in one place."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from pipeline import __version__
from pipeline.cli.examples import epilog
from pipeline.cli.exit_codes import EXIT_CODES
from pipeline.cli.local_trouble import lack_of_resources, local_trouble
from pipeline.cli.options import add_common_options
from pipeline.cli.streams import flush_results, guard_streams
from pipeline.cli.terminal import Terminal
from pipeline.errors import CardferryError, LocalStorageFailed, exit_status
from pipeline.excepthooks import describe, install_excepthooks

COMMANDS: Final = {
    "demo": "Carry the sample through a sandbox vault and show the result.",
    "init": "Draft a settings file from the head of an export; send nothing.",
    "presets": "List the known export formats, or show one in full.",
    "check": "Open, prove and validate exports; send nothing, write nothing.",
    "run": "Carry exports into a migration folder; the same command goes on.",
    "carry": "Carry rows of a run on another machine, beside others.",
    "status": "Show how far a migration is.",
    "inbox": "Carry every finished export that lies in a folder.",
    "retry": "Plan retryable failures again and carry them.",
    "publish": "Write every output again from the ledger.",
    "export-mapping": "Write the mapping for systems that read no Parquet.",
    "export-ledger": "Write a ledger that is elsewhere into one SQLite file.",
    "verify": "Recompute every digest and total of a migration, offline.",
    "readback": "Compare what the vault holds with the mapping.",
    "scan": "Look for card numbers in files and folders.",
    "sandbox": "Run an Omise-compatible vault on this machine.",
    "doctor": "Try everything that a night needs, with a remedy a line.",
    "config": "Show the settings in force, secrets masked.",
    "seal": "Encrypt a file as an export.",
}
"""Every command and its one line; a command's module is loaded only when it is called."""

_INTERRUPTED: Final = 130
_SEARCHES_FOR_CYCLES: Final = (20_000, 20, 200)
"""Python 3.11 looks for unreachable cycles after 700 more containers, and through all that there is
after 70,000, which took a twelfth of a run's time. Few of ours are in cycles, rows come by the
thousand, and what was loaded at the start stays to the end."""


class Commands(click.Group):
    """A group that loads a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of a migration."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command and give it the options that all commands share."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"pipeline.cli.{name}"), name)
        end = epilog(cmd_name)
        if end not in (command.epilog or ""):
            command.epilog = "\n\n".join(filter(None, (command.epilog, end)))
        return add_common_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of a misspelt one name the nearest.

        Raises:
            click.UsageError: There is no such command.
        """
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # noqa: PLC0415 - only for who misspells.

        near = get_close_matches(args[0], COMMANDS, n=1)
        if not near:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading one of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the exit codes."""
        del ctx
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cardferry")
def cardferry() -> None:
    """Move stored cards from encrypted exports into a payment vault.

    A card number never leaves memory, every row ends in exactly one state, and someone who was
    not there can check every count afterwards.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code.

    Args:
        arguments: The command line without the program's name; default `sys.argv`.
    """
    install_excepthooks()
    gc.set_threshold(*_SEARCHES_FOR_CYCLES)
    guard_streams()
    terminal = Terminal()
    code = _exit_code(terminal, arguments)
    unwritten = terminal.unwritten or flush_results()
    if unwritten is not None and not code:
        code = _tell_local_trouble(terminal, unwritten)
    terminal.tell_ended(code)
    # The system takes all of it back at once; Python's own last search takes a third of a second.
    gc.freeze()
    sys.exit(code)


def _exit_code(terminal: Terminal, arguments: list[str] | None) -> int:
    try:
        answer: Any = cardferry.main(
            args=arguments, prog_name="cardferry", standalone_mode=False, obj=terminal
        )
        return terminal.ending(answer if isinstance(answer, int) else 0)
    except click.ClickException as wrong:
        return _tell_wrong_command(terminal, wrong, arguments or sys.argv[1:])
    except (click.Abort, KeyboardInterrupt):
        terminal.say("stopped", "Run the same command again to go on.")
        return terminal.ending(_INTERRUPTED)
    except CardferryError as trouble:
        terminal.tell(trouble)
        return terminal.ending(exit_status(trouble))
    except Exception as bug:  # noqa: BLE001 - printed without values.
        cause = lack_of_resources(bug)
        if cause is not None:
            return terminal.ending(_tell_local_trouble(terminal, cause))
        click.echo(describe(bug, where="(a bug: please report these lines)"), err=True)
        return terminal.ending(1)


def _tell_wrong_command(
    terminal: Terminal, wrong: click.ClickException, arguments: list[str]
) -> int:
    """Tell what is wrong with a command line, as JSON where that was asked for."""
    words = " ".join(arguments)
    if "--log-format json" in words or "--log-format=json" in words:
        terminal.log_format = "json"
        terminal.start_logs()
        next_step = "Look at `cardferry --help`."
        terminal.tell_error(wrong.format_message(), next_step, wrong.exit_code, "UsageError")
    else:
        wrong.show()
    return wrong.exit_code


def _tell_local_trouble(terminal: Terminal, trouble: OSError | MemoryError) -> int:
    """Tell what this machine refused; whoever read our output and went needs to be told nothing."""
    code = LocalStorageFailed.exit_code
    if not isinstance(trouble, BrokenPipeError):
        terminal.tell(local_trouble(trouble))
    return code
