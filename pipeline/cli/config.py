"""`cardferry config`: the settings in force out, as TOML, secrets masked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.terminal import Terminal, config_option, json_option, pass_terminal, set_option
from pipeline.config.loading import load_settings, meaning_digest
from pipeline.migration import parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@click.command("config")
@config_option
@set_option
@json_option
@pass_terminal
def config(
    terminal: Terminal, config_file: Path | None, overrides: tuple[str, ...], *, as_json: bool
) -> None:
    """Show the settings in force: defaults, file, CARDFERRY_* environment and --set, in order.

    Secrets are named by their source and never shown; every problem is listed at once.
    """
    settings, _ = load_settings(config_file, os.environ, overrides)
    tree = parts.masked(settings)
    if as_json:
        terminal.print_json({"settings": tree, "settings_digest": meaning_digest(settings)})
        return
    click.echo("\n".join(toml_lines(tree)).lstrip("\n"))


def toml_lines(tree: dict[str, Any], table: str = "") -> Iterator[str]:
    """Give a tree as TOML lines: plain keys first, then one table after the other."""
    for name, value in tree.items():
        if not isinstance(value, dict):
            yield f"{name} = {_value(value)}"
    for name, value in tree.items():
        if isinstance(value, dict):
            full = f"{table}.{name}" if table else name
            yield ""
            yield f"[{full}]"
            yield from toml_lines(value, full)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
