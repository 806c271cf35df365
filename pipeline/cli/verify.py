"""Runs `cardferry verify DIR`: names what was changed in a migration folder, offline."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import process_guards
from pipeline.cli.options import config_option, json_option, pass_terminal, set_option
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.disk import open_regular_file
from pipeline.errors import SettingsRefused, VerificationFailed
from pipeline.ledger.lock import is_locked
from pipeline.migration.verify import verify_migration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.terminal import Terminal
    from pipeline.outputs.verify import Verification

_NEXT_STEP: Final = (
    "If a run or publish was cut short, `cardferry publish DIR` mends the files; "
    "otherwise keep the folder as it is and ask who touched it."
)
_KEY_BYTES_MAX: Final = 64 * 1024
_SIGNATURES: Final = {
    "valid": "the signature is valid",
    "invalid": "the signature is not valid",
    "not checked": "the signature was not checked: give --public-key to check it",
    "none": "there is no signature",
}


@click.command("verify")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--export",
    "exports",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Open this export again, too, and compare it row by row (needs -c); repeat it.",
)
@click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PEM",
    help="The key that must have signed the manifest.",
)
@config_option
@set_option
@json_option
@pass_terminal
def verify(
    terminal: Terminal,
    folder: Path,
    exports: tuple[Path, ...],
    public_key: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Recompute every digest, total, hash chain and signature of FOLDER, offline.

    No file but the ledger is written, where it is yours: a verification is an event of the trail.
    Exit code 8, with the file and the place, on any difference.
    """
    process_guards.harden()
    system = process_guards.system_facts()
    verified = verify_migration(
        folder,
        SystemClock(),
        public_key=None if public_key is None else _read_key(public_key),
        exports=exports,
        settings=load_settings(config_file, os.environ, overrides) if exports else None,
        who=(system.login_user or system.user, f"{system.host}:{system.pid}"),
    )
    found, not_noted = verified.found, verified.not_noted
    if as_json:
        terminal.print_json(_tree(folder, exports, found) | {"noted": not_noted is None})
        return VerificationFailed.exit_code if found.differences else 0
    if found.differences:
        for difference in found.differences[1:]:
            terminal.say(str(difference))
        alive = "A run is under way in this folder: verify it again when that has ended."
        raise VerificationFailed(
            str(found.differences[0]), next_step=alive if is_locked(folder) else _NEXT_STEP
        )
    _show(terminal, exports, found)
    if not_noted is not None:
        terminal.say(f"this verification is not in the trail: {not_noted}")
    return 0


def _read_key(path: Path) -> bytes:
    try:
        with open_regular_file(path) as file:
            return file.read(_KEY_BYTES_MAX)
    except OSError as error:
        problem = f"--public-key: {path.name}: cannot be read ({error.strerror})"
        raise SettingsRefused([problem], next_step="Give the PEM file of the key.") from None


def _tree(folder: Path, exports: Sequence[Path], found: Verification) -> dict[str, Any]:
    manifest = found.manifest or {}
    return {
        "exit_code": VerificationFailed.exit_code if found.differences else 0,
        "folder": str(folder),
        "verified": not found.differences,
        "signature": found.signature,
        "exports_compared": [path.name for path in exports],
        "totals": manifest.get("totals"),
        "chain": manifest.get("chain"),
        "differences": [asdict(difference) for difference in found.differences],
    }


def _show(terminal: Terminal, exports: Sequence[Path], found: Verification) -> None:
    out = terminal.out()
    manifest = found.manifest or {}
    rows, mapped = manifest["totals"]["rows"], manifest["mapped"]
    for line in (
        "everything verifies: files, totals, ledger and chain of events",
        f"{rows:,} rows, {mapped:,} in the mapping, {manifest['chain']['length']:,} events",
        _SIGNATURES[found.signature],
        *(f"{path.name}: every row compared with the export" for path in exports),
    ):
        out.print(line, markup=False)
