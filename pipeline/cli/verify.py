"""Runs `cardferry verify DIR`: names what was changed in a migration folder, offline."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.folding import print_line
from pipeline.cli.options import folder_argument, json_option, pass_terminal, settings_options
from pipeline.counts import counted
from pipeline.errors import SettingsRefused, VerificationFailed
from pipeline.outputs.wording import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.terminal import Terminal
    from pipeline.outputs.later_events import LaterEvent
    from pipeline.outputs.verify import Verification

_KEY_BYTES_MAX: Final = 64 * 1024
_KINDS_SHOWN: Final = 10
_HASH: Final = re.compile("[0-9a-f]{64}")
_SIGNATURES: Final = {
    "valid": "the signature is valid",
    "invalid": "the signature is not valid",
    "not checked": "the signature was not checked: give --public-key to check it",
    "none": "there is no signature",
}


def _is_hash(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _HASH.fullmatch(value):
        raise click.BadParameter("is no hash: 64 hexadecimal digits in lower case")
    return value


@click.command("verify")
@folder_argument
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
@click.option(
    "--expect-head",
    metavar="HASH",
    callback=_is_hash,
    help="The chain of events must have come by this hash, which an earlier run printed. Only this, "
    "with the hash kept somewhere else, can tell that a whole folder was put back to an earlier "
    "state with all of its files, or that its past was written anew and then signed by a run. What "
    "came after the hash is listed: a run among it that nobody began was forged.",
)
@settings_options
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
    expect_head: str | None,
    as_json: bool,
) -> int:
    """Recompute every digest, total, hash chain and signature of FOLDER, offline.

    FOLDER alone proves that files, ledger and chain of events agree, and that what no run changes
    (the id, card, token and customer of a row) is what every publication in the chain said, also
    where runs or publications were forged after it; and that what was settled and published became
    another thing only where a later run sent something for it, or an operator had it planned again.
    It cannot prove that the chain is the one that was: whoever may write to the ledger can write
    what comes next, runs with requests and answers of their own, and, without a secret to stop
    them, all that was. A past written anew is found by --public-key until a run signs it, and by
    --expect-head for good; a forged future by `cardferry readback`, which asks the vault, and by
    --expect-head with the hash of the last run, which lists what came after it.

    No file but the ledger is written, where it is yours: a verification is an event of the trail.
    Exit code 8, with the file and the place, on any difference.
    """
    from pipeline import process_guards
    from pipeline.clock import SystemClock
    from pipeline.config.loading import load_settings
    from pipeline.migration.verify import verify_migration
    from pipeline.outputs.verify import Trusted

    process_guards.harden()
    system = process_guards.system_facts()
    with terminal.long_work("verifying: every digest, total and event is worked out again"):
        verified = verify_migration(
            folder,
            SystemClock(),
            trusted=Trusted(None if public_key is None else _read_key(public_key), expect_head),
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
            terminal.say(visible(str(difference)))
        raise VerificationFailed(visible(str(found.differences[0])), next_step=_next_step(folder))
    _show(terminal, exports, found)
    if not_noted is not None:
        terminal.say(f"this verification is not in the trail: {not_noted}")
    return 0


def _next_step(folder: Path) -> str:
    from pipeline.ledger.as_published import RESTORE
    from pipeline.ledger.lock import is_locked

    if is_locked(folder):
        return "A run is under way in this folder: verify it again when that has ended."
    return (
        "If a run or publish was cut short, `cardferry publish DIR` mends the files. Otherwise keep a "
        f"copy of the folder as it is and ask who touched it; `{RESTORE}` writes its files again."
    )


def _read_key(path: Path) -> bytes:
    from pipeline.disk import open_regular_file

    try:
        with open_regular_file(path) as file:
            return file.read(_KEY_BYTES_MAX)
    except OSError as error:
        problem = f"--public-key: {path.name}: cannot be read ({error.strerror})"
        raise SettingsRefused([problem], next_step="Give the PEM file of the key.") from None


def _later(words: str, events: Sequence[LaterEvent]) -> list[str]:
    """Tell of events that came after a moment, and who says to have written them.

    Those of one kind and one person stand in one line: a night that brings nothing has four.
    """
    alike: dict[tuple[str, str], list[LaterEvent]] = {}
    for event in events:
        alike.setdefault((event.event, event.actor), []).append(event)
    if not alike:
        return []
    shown = list(islice(map(_of_one_kind, alike.values()), _KINDS_SHOWN))
    more = len(events) - sum(map(len, islice(alike.values(), _KINDS_SHOWN)))
    return [
        words,
        *shown,
        *([f"  and {more:,} more"] if more else []),
    ]


def _of_one_kind(events: list[LaterEvent]) -> str:
    first, last = events[0], events[-1]
    words = f"event {first.seq}"
    if last is not first:
        words = f"{counted(len(events), 'event')} from {first.seq} to {last.seq}"
    process = "process" if last is first else "the last one process"
    return f"  {words}: {visible(last.event)} by {visible(last.actor)}, {process} {visible(last.origin)}"


def _tree(folder: Path, exports: Sequence[Path], found: Verification) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "exit_code": VerificationFailed.exit_code if found.differences else 0,
        "folder": str(folder),
        "verified": not found.differences,
        "signature": found.signature,
        "exports_compared": [path.name for path in exports],
        "not_covered": [asdict(event) for event in found.not_covered],
        "since_head": [asdict(event) for event in found.since_head],
        "totals": manifest.totals if manifest else None,
        "chain": manifest.chain.model_dump() if manifest else None,
        "differences": [asdict(difference) for difference in found.differences],
    }


def _show(terminal: Terminal, exports: Sequence[Path], found: Verification) -> None:
    out = terminal.out()
    manifest = found.manifest
    if manifest is None:
        return
    for line in (
        "everything verifies: files, totals, ledger and chain of events",
        f"{counted(manifest.totals['rows'], 'row')}, {manifest.mapped:,} in the mapping",
        f"{counted(manifest.chain.length, 'event')} in trail.jsonl; the last of them has the hash {manifest.chain.head}",
        _SIGNATURES[found.signature],
        *_later("not yet covered by a manifest, as they came after it:", found.not_covered),
        *_later("came after the expected hash; whoever kept that knows of them:", found.since_head),
        *(f"{visible(path.name)}: every row compared with the export" for path in exports),
    ):
        print_line(out, line)
