"""Runs `cardferry init EXPORT`: drafts a settings file from the head of an export; sends nothing."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from pipeline.cli.options import pass_terminal
from pipeline.errors import ExportRefused

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal
    from pipeline.exports.sealed_export import SealedExport

_HEAD_BYTES: Final = 256 * 1024
_PASSPHRASE: Final = "EXPORT_PASSPHRASE"  # noqa: S105 - the name of a variable.
_TAKEN_FROM: Final = {
    "`export.key`": "`--key`",
    "what `export.passphrase` points to": f"what the variable {_PASSPHRASE} holds",
    "Set `export.passphrase`": f"Set the variable {_PASSPHRASE} to it, and run this again",
    "set `export.passphrase`": f"set the variable {_PASSPHRASE}",
    "`export.passphrase`": f"the variable {_PASSPHRASE}",
}
"""Settings, as the next step of a refusal names them, and where this command has them from."""


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
    from pipeline import process_guards
    from pipeline.cards.detect import contains_pan
    from pipeline.clock import SystemClock
    from pipeline.config.presets import preset_names
    from pipeline.exports.keys import is_open_to_others
    from pipeline.migration.draft_text import rendered
    from pipeline.migration.drafting import drafted

    if preset is not None and preset not in preset_names():
        raise click.BadParameter(
            "no known format; `cardferry presets` lists them", param_hint="--preset"
        )
    if out is not None and out.exists():
        raise click.UsageError(f"{out} exists already; name another file, or move it away.")
    process_guards.harden()
    opened = _opened(export, key, os.environ.get(_PASSPHRASE) or None)
    draft = drafted(opened.head, SystemClock().now().date(), preset)
    if opened.by_passphrase:
        draft.export["passphrase"] = {"env": _PASSPHRASE}
    name, is_sealed = opened.name, opened.is_sealed
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
    if key is not None and is_open_to_others(key):
        terminal.say(
            f"others can read or write {key}, and a run refuses it then: chmod 600 {shlex.quote(str(key))}"
        )


class _Opened(NamedTuple):
    """The first plain bytes of an export, and how it was opened."""

    name: str
    head: bytes
    is_sealed: bool
    by_passphrase: bool


def _opened(export: Path, key: Path | None, phrase: str | None) -> _Opened:
    """Open an export, by the passphrase only where it does not open without."""
    try:
        return _tried(export, key, None)
    except ExportRefused as refused:
        if phrase is None:
            raise _in_words_of_init(refused) from None
    try:
        return _tried(export, key, phrase)
    except ExportRefused as refused:
        raise _in_words_of_init(refused) from None


def _tried(export: Path, key: Path | None, phrase: str | None) -> _Opened:
    from pydantic import SecretStr

    from pipeline.exports.keys import EnvelopeKeys
    from pipeline.exports.sealed_export import SealedExport

    keys = EnvelopeKeys(
        key_file=key,
        passphrase=SecretStr(phrase) if phrase else None,
        allow_plaintext=True,
        key_may_be_shared=True,
    )
    with SealedExport(export, keys) as sealed:
        head = _head(sealed)
        return _Opened(sealed.name, head, sealed.kind != "plain", phrase is not None)


def _in_words_of_init(refused: ExportRefused) -> ExportRefused:
    """Give a refusal whose next step names what this command takes: it reads no settings."""
    step = refused.next_step
    for setting, here in _TAKEN_FROM.items():
        step = step.replace(setting, here)
    return type(refused)(refused.message, next_step=step)


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
