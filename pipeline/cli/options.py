"""Defines the options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.cli.durations import DURATION
from pipeline.cli.terminal import Terminal
from pipeline.startup import allow_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Command = TypeVar("Command", bound="Callable[..., Any]")


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
    command.params.extend(_common_options())
    invoked = command.callback

    @click.pass_context
    def with_logs(context: click.Context, /, *arguments: Any, **options: Any) -> Any:
        terminal = _terminal(context)
        terminal.as_json = bool(options.get("as_json", terminal.as_json))
        terminal.given = (context.info_name, context.params)
        terminal.start_logs()
        allow_interrupts()
        return context.invoke(invoked, *arguments, **options) if invoked else None

    command.callback = with_logs
    return command


def _common_options() -> list[click.Parameter]:
    return [
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
            help="Say nothing at exit code 0, and no progress.",
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            expose_value=False,
            callback=_set("log_format"),
            help="Form of log lines; json makes all of standard error JSON lines.",
        ),
        click.Option(
            ["--log-file"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_set("log_file"),
            help="Append the log to this file, too: start, plan, changes, errors and end.",
        ),
    ]


pass_terminal = click.make_pass_decorator(Terminal, ensure=True)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)
wait_lock_option = click.option(
    "--wait-lock",
    "wait_s",
    type=DURATION,
    default="0s",
    metavar="DURATION",
    help="Wait so long (90s, 15m) for another run of this migration to end.",
)
_config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file (TOML); default: built-in defaults and CARDFERRY_* variables.",
)
_set_option = click.option(
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
folder_argument = click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


def require_other_file(option: str, output: Path | None, needed: Iterable[Path | None]) -> None:
    """Make sure that a file that is to be written takes the place of none that is needed.

    Raises:
        click.BadParameter: It would.
    """
    if output is None or not output.exists():
        return
    for path in needed:
        if path is not None and path.exists() and output.samefile(path):
            raise click.BadParameter(
                f"{output.name} is needed as it is; name another file", param_hint=option
            )


def settings_options(command: Command) -> Command:
    """Give a command `-c` and `--set`."""
    return _config_option(_set_option(command))
