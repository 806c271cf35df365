"""Runs `cardferry seal`: makes an export of a file and a public key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import pass_terminal

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal

_STANDARD_INPUT = Path("/dev/stdin")


@click.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--to",
    "recipient",
    metavar="PUBLIC_KEY",
    required=True,
    help="OpenPGP certificate file, file of age recipients, or one age recipient (age1...).",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The export to write; default FILE with .pgp or .age after it.",
)
@click.option(
    "--sign-with",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="SECRET_KEY",
    help="OpenPGP secret key, without a passphrase, to sign the export with.",
)
@click.option("--armor", is_flag=True, help="Write text instead of bytes.")
@click.option("--force", is_flag=True, help="Replace the export if there is one already.")
@pass_terminal
def seal(
    terminal: Terminal,
    file: Path,
    recipient: str,
    out: Path | None,
    sign_with: Path | None,
    *,
    armor: bool,
    force: bool,
) -> None:
    """Encrypt FILE ("-" for standard input) as an export, OpenPGP or age by the key's kind.

    The clear file is left where it is: remove it once its export has arrived.
    """
    from pipeline.exports.seal import recipients_of, seal_file, sealed_name

    key = recipient if recipient.startswith("age1") else Path(recipient)
    dashed = str(file) == "-"
    if out is None and dashed:
        raise click.UsageError("standard input has no name of its own; give -o OUT.")
    target = out or Path(sealed_name(str(file), recipients_of(key)))
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists already; give --force to replace it.")
    seal_file(_STANDARD_INPUT if dashed else file, target, key, sign_with=sign_with, armor=armor)
    terminal.say(f"sealed as {target}")
