"""Gives every command its common options, says where words go, and tells a trouble."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.console import Console

from pipeline import logs
from pipeline.errors import CardferryError, KeyUnusable, SettingsRefused, exit_status
from pipeline.logs import wants_colour

ENVELOPE_VERSION: Final = 1
PIPE_COLUMNS: Final = 160
_LEAK_EXIT_CODE: Final = 9


class _Results(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process here, with a code of its own.
        raise BrokenPipeError


class Terminal:
    """Standard output for results, standard error for everything else."""

    def __init__(self) -> None:
        self.as_json = False
        self.verbosity = 0
        self.log_format = "text"
        self.log_file: Path | None = None

    def start_logs(self) -> None:
        """Begin to log as the options of this command say."""
        levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
        level = levels.get(max(self.verbosity, -1), logging.DEBUG)
        logs.configure(level, "json" if self.log_format == "json" else "text", self.log_file)

    @property
    def quiet(self) -> bool:
        """Whether only troubles are told."""
        return self.verbosity < 0

    def out(self) -> Console:
        """Give the console for results; in a pipe a line ends where it ends, not at 80."""
        fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
        return _Results(
            file=sys.stdout,
            width=None if fixed else PIPE_COLUMNS,
            no_color=not wants_colour(sys.stdout),
            highlight=False,
            soft_wrap=True,
        )

    def say(self, *lines: str) -> None:
        """Tell the operator something beside the result."""
        if not self.quiet:
            for line in lines:
                click.echo(line, err=True)

    def print_json(self, answer: dict[str, Any]) -> None:
        """Print the one JSON object of a `--json` command."""
        option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
        click.echo(orjson.dumps({"version": ENVELOPE_VERSION, **answer}, option=option).decode())

    def tell(self, trouble: CardferryError) -> None:
        """Tell a trouble: what happened, and in a second line what to do next."""
        if self.as_json:
            answer: dict[str, Any] = {
                "exit_code": exit_status(trouble),
                "error": trouble.message,
                "next_step": trouble.next_step,
                "key_unusable": isinstance(trouble, KeyUnusable),
            }
            if isinstance(trouble, SettingsRefused):
                answer["problems"] = list(trouble.problems)
            self.print_json(answer)
        self.tell_stop(trouble)

    def tell_stop(self, trouble: CardferryError) -> None:
        """Tell a trouble in words, on standard error."""
        red = wants_colour(sys.stderr)
        head = click.style("cardferry:", fg="red", bold=True) if red else "cardferry:"
        click.echo(f"{head} {trouble.message}", err=True)
        click.echo(f"  {trouble.next_step}", err=True)

    def ending(self, code: int) -> int:
        """Give the exit code, unless the log caught a card number: that outweighs everything."""
        if logs.counts.leaks_caught:
            click.echo(
                "cardferry: a log line held a card number and was withheld\n"
                "  Report this as a bug; keep the log.",
                err=True,
            )
            return _LEAK_EXIT_CODE
        return code


def _terminal(context: click.Context) -> Terminal:
    return context.ensure_object(Terminal)


def _set(name: str) -> Any:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        setattr(_terminal(context), name, value)

    return callback


def _set_verbosity(sign: int) -> Any:
    def callback(context: click.Context, _: click.Parameter, value: int) -> None:
        _terminal(context).verbosity += sign * value

    return callback


def add_common_options(command: click.Command) -> click.Command:
    """Give a command `-v`, `-q`, `--log-format`, `--log-file` and `-h`, once."""
    if any(parameter.name == "log_format" for parameter in command.params):
        return command
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    command.params.extend(
        [
            click.Option(
                ["-v", "--verbose"],
                count=True,
                expose_value=False,
                callback=_set_verbosity(1),
                help="Say more; twice for developers.",
            ),
            click.Option(
                ["-q", "--quiet"],
                count=True,
                expose_value=False,
                callback=_set_verbosity(-1),
                help="Say only troubles.",
            ),
            click.Option(
                ["--log-format"],
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
                expose_value=False,
                callback=_set("log_format"),
                help="Form of log lines on standard error.",
            ),
            click.Option(
                ["--log-file"],
                type=click.Path(dir_okay=False, path_type=Path),
                expose_value=False,
                callback=_set("log_file"),
                help="Append log lines to this file, too.",
            ),
        ]
    )
    invoked = command.callback

    @click.pass_context
    def with_logs(context: click.Context, /, *arguments: Any, **options: Any) -> Any:
        terminal = _terminal(context)
        terminal.as_json = bool(options.get("as_json", terminal.as_json))
        terminal.start_logs()
        return context.invoke(invoked, *arguments, **options) if invoked else None

    command.callback = with_logs
    return command


pass_terminal = click.make_pass_decorator(Terminal, ensure=True)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)
config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file (TOML); default: built-in defaults and CARDFERRY_* variables.",
)
set_option = click.option(
    "--set",
    "overrides",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    help="Set one setting, above file and environment; may be repeated.",
)
exports_argument = click.argument(
    "exports",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="EXPORT...",
)
