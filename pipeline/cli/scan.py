"""Runs `cardferry scan PATH...`: looks for card numbers where none may be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, pass_terminal
from pipeline.counts import counted
from pipeline.errors import CardNumberFound, LocalStorageFailed

if TYPE_CHECKING:
    from pipeline.cards.scan import Finding, ScanTotals
    from pipeline.cli.terminal import Terminal

_ENVELOPE_VERSION = 1


@click.command("scan")
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH...",
)
@json_option
@pass_terminal
def scan(terminal: Terminal, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Look for card numbers in files and folders.

    Text, Parquet, SQLite (free pages and journals too) and packed files are searched for
    numbers that are plain, grouped, url-encoded, base64, hexadecimal or UTF-16. Prints path,
    place and last four digits. Exits with 9 when a number was found, and with 5 when none was
    but something could not be searched.
    """
    from pipeline.cards.scan import ScanTotals
    from pipeline.cards.scan import scan as search

    totals = ScanTotals()
    found: list[Finding] = []
    for finding in search(paths, totals):
        if as_json:
            found.append(finding)
        else:
            click.echo(
                f"{finding.path}: {finding.place}: {finding.encoding}, ends in {finding.last_digits}"
            )
    if as_json:
        click.echo(json.dumps(_envelope(found, totals)))
    else:
        _summarize(terminal, totals)
    _conclude(totals)


def _envelope(found: list[Finding], totals: ScanTotals) -> dict[str, object]:
    troubles = [{"path": path, "reason": reason} for path, reason in totals.troubles]
    return {
        "version": _ENVELOPE_VERSION,
        "clean": not found and not troubles,
        "files": totals.files,
        "bytes": totals.bytes,
        "skipped": totals.skipped,
        "findings": [asdict(finding) for finding in found],
        "troubles": troubles,
    }


def _summarize(terminal: Terminal, totals: ScanTotals) -> None:
    for path, reason in totals.troubles:
        terminal.say(f"{path}: not searched wholly: {reason}", always=True)
    terminal.say(
        f"{counted(totals.files, 'file')}, {counted(totals.bytes, 'byte')}, "
        f"{totals.skipped:,} skipped, {counted(totals.findings, 'card number')} found"
    )


def _conclude(totals: ScanTotals) -> None:
    if totals.findings:
        raise CardNumberFound(
            "card numbers stand where none may be",
            next_step="Find out how each got there before removing it (PCI DSS 12.10.7).",
        )
    if totals.troubles:
        raise LocalStorageFailed(
            "no card number was found, but not everything could be searched",
            next_step="Make the listed files readable, then scan again.",
        )
