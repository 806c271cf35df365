"""Runs `cardferry init EXPORT`: drafts a settings file from the head of an export; sends nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from pydantic import SecretStr

from pipeline import process_guards
from pipeline.cards.detect import contains_pan
from pipeline.cli.options import pass_terminal
from pipeline.clock import SystemClock
from pipeline.config.presets import preset_names
from pipeline.errors import ExportRefused
from pipeline.exports.keys import EnvelopeKeys
from pipeline.exports.sealed_export import SealedExport
from pipeline.migration.drafting import drafted, rendered

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal

_HEAD_BYTES: Final = 256 * 1024
_PASSPHRASE: Final = "EXPORT_PASSPHRASE"  # noqa: S105 - the name of a variable.


@click.command("init")
@click.argument("export", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="OpenPGP secret key or age identity that opens the export.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings file to write; default: standard output. Never over an existing one.",
)
@click.option("--preset", metavar="NAME", help="The export is in this known format.")
@pass_terminal
def init(
    terminal: Terminal, export: Path, key: Path | None, out: Path | None, preset: str | None
) -> None:
    """Draft a settings file: format, encoding, columns and expiration as the first rows show them.

    What is unsure stands in it as a comment with the candidates. Nothing is sent, and no value of
    the export comes into the file. A passphrase of the key is read from EXPORT_PASSPHRASE.
    """
    if preset is not None and preset not in preset_names():
        raise click.BadParameter(
            "no known format; `cardferry presets` lists them", param_hint="--preset"
        )
    if out is not None and out.exists():
        raise click.UsageError(f"{out} exists already; name another file, or move it away.")
    process_guards.harden()
    phrase = os.environ.get(_PASSPHRASE)
    keys = EnvelopeKeys(
        key_file=key,
        passphrase=SecretStr(phrase) if phrase else None,
        allow_plaintext=True,
        key_may_be_shared=True,
    )
    with SealedExport(export, keys) as sealed:
        head = _head(sealed)
        name, is_sealed = sealed.name, sealed.kind != "plain"
    draft = drafted(head, SystemClock().now().date(), preset)
    if phrase:
        draft.export["passphrase"] = {"env": _PASSPHRASE}
    where = _key_as_named(key, out)
    text = rendered(draft, name=name, key=where, sealed=is_sealed, file=str(out) if out else "FILE")
    if any(map(contains_pan, text.splitlines())):
        raise ExportRefused(
            "a name of a column holds a card number, and no file may repeat it",
            next_step="Ask for an export whose first line names the columns.",
        )
    if out is None:
        click.echo(text, nl=False)
    else:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
        terminal.say(f"drafted as {out}")
    for sentence in draft.unsure:
        terminal.say(f"unsure: {sentence}")


def _head(sealed: SealedExport) -> bytes:
    head = bytearray()
    with sealed.prove() as blocks:
        for block in blocks:
            head += block
            if len(head) >= _HEAD_BYTES:
                break
    return bytes(head[:_HEAD_BYTES])


def _key_as_named(key: Path | None, out: Path | None) -> str | None:
    """Give the key's path as the file shall name it: beside the file where it lies there."""
    if key is None:
        return None
    folder = (out.parent if out else Path()).resolve()
    whole = key.resolve()
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)
