"""Shows the settings in force as TOML that can be read again, and the commented example."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import json_option, pass_terminal, settings_options

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal
    from pipeline.config.models import Settings


@click.command("config")
@settings_options
@click.option("--example", is_flag=True, help="Print every setting with unit and default instead.")
@json_option
@pass_terminal
def config(
    terminal: Terminal,
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    example: bool,
    as_json: bool,
) -> None:
    """Show the settings in force: defaults, file, CARDFERRY_* environment and --set, in order.

    Secrets are named by their source and never shown; every problem is listed at once.
    """
    from pipeline.bundled_files import beside
    from pipeline.config.loading import load_settings, masked, meaning_digest

    if example:
        click.echo((beside("configs") / "production.example.toml").read_text("utf-8"), nl=False)
        return
    settings, _ = load_settings(config_file, os.environ, overrides)
    if as_json:
        tree = masked(settings)
        terminal.print_json({"settings": tree, "settings_digest": meaning_digest(settings)})
    else:
        click.echo(as_toml(settings), nl=False)


def as_toml(settings: Settings) -> str:
    """Give settings as TOML that `-c` reads again, from wherever it lies: paths are absolute."""
    import tomli_w

    from pipeline.config.loading import masked

    return tomli_w.dumps(_with_absolute_paths(settings, masked(settings)))


def _with_absolute_paths(settings: Any, tree: dict[str, Any]) -> dict[str, Any]:
    """Put absolute paths into a tree wherever the settings hold a path."""
    shown: dict[str, Any] = {}
    for name, value in tree.items():
        held = getattr(settings, name, None)
        if isinstance(value, dict):
            shown[name] = _with_absolute_paths(held, value)
        elif isinstance(held, Path):
            shown[name] = str(held.absolute())
        elif isinstance(held, tuple) and all(isinstance(item, Path) for item in held):
            shown[name] = [str(item.absolute()) for item in held]
        else:
            shown[name] = value
    return shown
