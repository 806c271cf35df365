"""Runs `cardferry presets [show NAME]`: the known export formats, one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, pass_terminal

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal
    from pipeline.config.presets import Preset


@click.command("presets")
@click.argument("action", type=click.Choice(["show"]), required=False)
@click.argument("name", required=False)
@json_option
@pass_terminal
def presets(terminal: Terminal, action: str | None, name: str | None, *, as_json: bool) -> None:
    """List the export formats that `export.preset` can name, or show one in full.

    `cardferry presets show NAME` prints the settings that the name stands for.
    """
    from pipeline.config.presets import read_preset

    if action is None:
        _list(terminal, as_json=as_json)
        return
    preset = read_preset(name) if name else None
    if preset is None:
        raise click.UsageError("name a known format; `cardferry presets` lists them")
    if as_json:
        terminal.print_json({"preset": _facts(preset)})
    else:
        click.echo(preset.text, nl=False)


def _list(terminal: Terminal, *, as_json: bool) -> None:
    from pipeline.config.presets import preset_names, read_preset

    found = [preset for name in preset_names() if (preset := read_preset(name))]
    if as_json:
        terminal.print_json({"presets": [_facts(preset) for preset in found]})
        return
    width = max(len(preset.name) for preset in found)
    for preset in found:
        click.echo(f"{preset.name:<{width}}  {preset.title}")


def _facts(preset: Preset) -> dict[str, object]:
    return {
        "name": preset.name,
        "title": preset.title,
        "header": list(preset.header),
        "export": dict(preset.export),
    }
