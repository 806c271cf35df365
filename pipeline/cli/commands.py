"""Lists the commands; each is loaded only when it is called, and what it needs with it.

The module of a command says what it takes, and imports what it works with inside the command: who
asks for its help waits for none of that.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from pipeline import __version__
from pipeline.cli.help_text import HelpContext
from pipeline.errors import EXIT_CODES

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
    "give-up": "Give up exports whose files will not come again, with a reason.",
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


class Commands(click.Group):
    """A group that loads a command's module when the command is called."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of a migration."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command and give it the options that all commands share."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        from pipeline.cli.examples import epilog  # A list of commands has none.
        from pipeline.cli.options import add_common_options  # Nor options.

        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"pipeline.cli.{name}"), name)
        end = epilog(cmd_name)
        if end not in (command.epilog or ""):
            command.epilog = "\n\n".join(filter(None, (command.epilog, end)))
        command.context_class = HelpContext
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
        from difflib import get_close_matches  # Only for who misspells.

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
