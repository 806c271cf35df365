"""Turns arguments into an exit code: the command line, and the one place that catches troubles."""

from __future__ import annotations

import gc
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from pipeline import __version__
from pipeline.cli.examples import epilog
from pipeline.cli.streams import settle_streams
from pipeline.cli.terminal import Terminal, add_common_options
from pipeline.errors import CardferryError, exit_status
from pipeline.excepthooks import describe, install_excepthooks

COMMANDS: Final = {
    "demo": "Carry the sample through a sandbox vault and show the result.",
    "check": "Open, prove and validate exports; send nothing, write nothing.",
    "run": "Carry exports into a migration folder; the same command goes on.",
    "status": "Show how far a migration is.",
    "inbox": "Carry every finished export that lies in a folder.",
    "retry": "Plan retryable failures again and carry them.",
    "publish": "Write every output again from the ledger.",
    "verify": "Recompute every digest and total of a migration, offline.",
    "scan": "Look for card numbers in files and folders.",
    "sandbox": "Run an Omise-compatible vault on this machine.",
    "config": "Show the settings in force, secrets masked.",
    "seal": "Encrypt a file as an export.",
}
"""Every command and its one line; a command's module is loaded only when it is called."""

_SEARCHES_FOR_CYCLES: Final = (20_000, 20, 200)
"""Python 3.11 looks for unreachable cycles after 700 more containers, and through all that there is
after 70,000, which took a twelfth of a run's time. Few of ours are in cycles, rows come by the
thousand, and what was loaded at the start stays to the end."""

EXIT_CODES: Final = {
    0: "every row settled, nothing held",
    1: "a bug (types and places are printed, never values)",
    2: "wrong command line",
    3: "finished, but some rows were rejected, failed or held",
    4: "stopped, resumable: vault unavailable, outage, or rows left by --limit",
    5: "local I/O trouble; nothing lost, run again",
    6: "export refused: wrong key, damaged, unsigned, security codes, header",
    7: "settings wrong or refused; every problem is listed",
    8: "ledger, trail or manifest does not verify",
    9: "a card number where none may be",
    11: "another run holds this migration",
    130: "stopped by SIGINT after draining; resumable",
    143: "stopped by SIGTERM after draining; resumable",
}
"""What each exit code means; README and every help text are made from it."""


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
        module = import_module(f"pipeline.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
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
        near = get_close_matches(args[0], COMMANDS, n=1)
        if args[0] in COMMANDS or not near:
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
    gc.set_threshold(*_SEARCHES_FOR_CYCLES)
    settle_streams()
    install_excepthooks()
    code = _exit_code(arguments)
    # The system takes all of it back at once; Python's own last search takes a third of a second.
    gc.freeze()
    sys.exit(code)


def _exit_code(arguments: list[str] | None) -> int:
    terminal = Terminal()
    try:
        answer: Any = cardferry.main(
            args=arguments, prog_name="cardferry", standalone_mode=False, obj=terminal
        )
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except (click.Abort, KeyboardInterrupt):
        terminal.say("stopped", "Run the same command again to go on.")
        return 130
    except CardferryError as trouble:
        terminal.tell(trouble)
        return exit_status(trouble)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except Exception as bug:  # noqa: BLE001 - printed without values, and it is a bug.
        click.echo(describe(bug, where="(a bug: please report these lines)"), err=True)
        return 1
    return terminal.ending(answer if isinstance(answer, int) else 0)
