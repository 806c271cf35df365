"""Runs `cardferry verify DIR`: names what was changed in a migration folder, offline.

No published file is touched. That somebody looked, and what they found, goes into the ledger's
chain of events: from there the next run's trail has it.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import __version__, process_guards
from pipeline.cards.validator import validate
from pipeline.cli.options import config_option, json_option, pass_terminal, set_option
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings, meaning_digest
from pipeline.disk import open_regular_file
from pipeline.errors import CardferryError, SettingsRefused, VerificationFailed
from pipeline.exports.reader import read
from pipeline.exports.sealed_export import SealedExport
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.lock import is_locked, migration_lock
from pipeline.ledger.planning import Planning
from pipeline.ledger.publications import VERIFICATION
from pipeline.ledger.store import LEDGER_NAME, ledger_url
from pipeline.migration import parts
from pipeline.migration.plan import planned_cards, wipe_chunk
from pipeline.outputs.manifest import MANIFEST_NAME
from pipeline.outputs.verify import verify as verify_folder
from pipeline.outputs.verify_export import JudgedRows, compare_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cards.validator import Rules
    from pipeline.cli.terminal import Terminal
    from pipeline.exports.sealed_export import PlainBlocks
    from pipeline.migration.plan import Reading
    from pipeline.outputs.differences import Difference
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
    pem = None if public_key is None else _read_key(public_key)
    found = verify_folder(folder, SystemClock(), __version__, pem)
    if exports and not any(difference.file == LEDGER_NAME for difference in found.differences):
        found.differences += _compare_exports(folder, exports, config_file, overrides)
    not_noted = _note(folder, exports, found)
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


def _note(folder: Path, exports: Sequence[Path], found: Verification) -> str | None:
    """Write the verification into the chain of events; give the reason where that may not be."""
    ledger_path, system = folder / LEDGER_NAME, process_guards.system_facts()
    if any(difference.file == LEDGER_NAME for difference in found.differences):
        # What has been tampered with is evidence, to the last byte.
        return "the ledger itself does not verify"
    if ledger_path.stat().st_uid != os.geteuid() or not os.access(ledger_path, os.W_OK):
        return "the ledger belongs to somebody else, or may not be written"
    try:
        manifest = sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()
    except OSError:
        manifest = None
    try:
        with migration_lock(folder), closing(Ledger(ledger_url(folder), SystemClock())) as ledger:
            origin = f"{system.host}:{system.pid}"
            ledger.attend(system.login_user or system.user, origin)
            ledger.note(
                VERIFICATION,
                resource=MANIFEST_NAME,
                success=not found.differences,
                differences=len(found.differences),
                first_file=found.differences[0].file if found.differences else None,
                exports=len(exports),
                signature=found.signature,
                manifest=manifest,
            )
    except CardferryError as trouble:
        return trouble.message
    return None


def _compare_exports(
    folder: Path, paths: Sequence[Path], config_file: Path | None, overrides: Sequence[str]
) -> list[Difference]:
    settings, credentials = load_settings(config_file, os.environ, overrides)
    keys, limits = (
        parts.envelope_keys(settings, credentials),
        parts.envelope_limits(settings),
    )
    reading = parts.reading(settings)
    with closing(Ledger(ledger_url(folder), SystemClock(), read_only=True)) as ledger:
        if ledger.recall("settings_digest") != meaning_digest(settings):
            raise SettingsRefused(
                ["vault, export columns or rules differ from those of this migration"],
                next_step="Name the settings file that the run was started with.",
            )
        differences: list[Difference] = []
        for path in paths:
            with SealedExport(path, keys, limits) as sealed:
                sha256 = sealed.digest().sha256
                known = Planning(ledger).find(sha256)
                rules = reading.rules(known.as_of) if known else None
                with sealed.prove() as blocks, ledger.look() as look:
                    judged = _judged(blocks, reading, rules) if rules else iter(())
                    differences += compare_export(look, sha256, path.name, judged)
        return differences


def _judged(blocks: PlainBlocks, reading: Reading, rules: Rules) -> Iterator[JudgedRows]:
    """Read and judge an export as pass 1 does, to its last byte, so that it is proved too."""
    for chunk in read(blocks, reading.options):
        verdict = validate(chunk, rules)
        rejections = [*chunk.rejections, *verdict.rejections]
        yield JudgedRows(chunk.first_row, chunk.last_row, planned_cards(verdict.cards), rejections)
        wipe_chunk(chunk, verdict.cards)
    for _ in blocks:
        pass


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
