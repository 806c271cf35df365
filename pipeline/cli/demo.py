"""`cardferry demo`: the sample in, a whole migration out, through a sandbox vault of its own."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import pipeline
from pipeline import assembly
from pipeline.cli.carrying import carry_and_show
from pipeline.cli.check import profile
from pipeline.cli.terminal import Terminal, json_option, pass_terminal
from pipeline.config.loading import load_settings
from pipeline.progress import Silence
from pipeline.sandbox.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_NAME: Final = "cards.csv.pgp"
MODES_NAME: Final = "modes.csv.pgp"
_PACKAGE: Final = Path(pipeline.__file__).parent


@click.command("demo")
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Migration folder; default: a new one under the system's folder for temporary files.",
)
@json_option
@pass_terminal
def demo(terminal: Terminal, folder: Path | None, *, as_json: bool) -> int:
    """Carry the encrypted sample through a sandbox vault and show what became of every row.

    Needs no settings, no account and no network. The sample has bad rows on purpose, so the
    exit code is 3.
    """
    del as_json
    folder = folder or Path(tempfile.mkdtemp(prefix="cardferry-demo-"))
    with _sandbox() as url:
        terminal.say(f"sandbox vault at {url}")
        code = carry_and_show(
            terminal,
            [beside("sample_data") / SAMPLE_NAME],
            beside("configs") / "sandbox.toml",
            [f'vault.url="{url}"'],
            folder,
            ask=False,
        )
    if not terminal.as_json:
        _show_modes(terminal)
    return code


def _show_modes(terminal: Terminal) -> None:
    """Show the two codes that no vault on this machine can show: nothing is sent for them."""
    settings, credentials = load_settings(beside("configs") / "sandbox.toml", {})
    reading = assembly.reading(settings)
    for title, changed in (
        ("the second sample, checked for a live vault", replace(reading, livemode=True)),
        ("the same, checked for a test vault elsewhere", replace(reading, loopback_vault=False)),
    ):
        sample = beside("sample_data") / MODES_NAME
        plan = profile([sample], settings, credentials, Silence(), changed)
        words = ", ".join(f"{rows} {code}" for code, rows in plan["failures"].items())
        terminal.out().print(f"{title}: {plan['to_send']} would be sent, {words}", markup=False)


def beside(name: str) -> Path:
    """Find a folder that a checkout has beside the package and a wheel inside it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


@contextmanager
def _sandbox() -> Iterator[str]:
    try:
        from pipeline.sandbox.serve import background  # noqa: PLC0415 - an extra.
    except ImportError:
        raise click.UsageError(
            "the demo needs the sandbox, which is not installed\n"
            "Install it with: pip install 'cardferry[sandbox]'"
        ) from None
    with background(Options()) as url:
        yield url
