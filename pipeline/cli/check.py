"""Runs `cardferry check EXPORT... -c CONFIG`: pass 1 alone; sends and leaves nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from pipeline import process_guards
from pipeline.cli.live_progress import Lines
from pipeline.cli.options import (
    config_option,
    exports_argument,
    json_option,
    pass_terminal,
    set_option,
)
from pipeline.cli.summary import duration, show_failures
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings, meaning_digest
from pipeline.exports.sealed_export import SealedExport
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.planning import Planning
from pipeline.ledger.store import TEMPORARY
from pipeline.metrics import Listeners
from pipeline.migration import parts
from pipeline.migration.plan import prove_and_plan
from pipeline.migration.run import plan_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.cli.terminal import Terminal
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.metrics import Listener
    from pipeline.migration.plan import Reading


@click.command("check")
@exports_argument
@config_option
@set_option
@json_option
@pass_terminal
def check(
    terminal: Terminal,
    exports: tuple[Path, ...],
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Open, prove and validate exports, and say what a run would send and how long it takes.

    Nothing is sent and nothing is written. Exit code 3 when some rows would be rejected.
    """
    process_guards.harden()
    settings, credentials = load_settings(config_file, os.environ, overrides)
    listener = Listeners() if terminal.quiet else Lines(sys.stderr)
    plan = profile(exports, settings, credentials, listener)
    if as_json:
        terminal.print_json({"exit_code": 3 if plan["failures"] else 0, **plan})
    else:
        _show(terminal, plan)
    return 3 if plan["failures"] else 0


def profile(
    exports: Sequence[Path],
    settings: Settings,
    credentials: Credentials,
    listener: Listener,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Plan exports in a ledger that leaves nothing behind, and give the plan and the origins.

    Args:
        exports: Their paths.
        settings: The settings in force.
        credentials: The secrets they name.
        listener: Shows rows as they are read.
        reading: How to read and judge them; default: as the settings say.

    Raises:
        ExportRefused: An export cannot be accepted.
    """
    clock = SystemClock()
    ledger = Ledger(TEMPORARY, clock)
    try:
        ledger.begin_run("check", {}, meaning_digest(settings))
        planning = Planning(ledger)
        reading = reading or parts.reading(settings)
        keys, limits = (
            parts.envelope_keys(settings, credentials),
            parts.envelope_limits(settings),
        )
        today = settings.rules.as_of or clock.now().date()
        opened = []
        for path in exports:
            with (
                SealedExport(path, keys, limits) as sealed,
                listener.reading(sealed.name) as counter,
            ):
                file, _ = prove_and_plan(sealed, planning, reading, today, counter)
                opened.append({"name": file.name, "size": file.size, "sha256": file.sha256})
        return {"exports": opened, **plan_of(ledger, settings)}
    finally:
        ledger.close()


def _show(terminal: Terminal, plan: dict[str, Any]) -> None:
    out = terminal.out()
    for export in plan["exports"]:
        out.print(f"{export['name']}: {export['size']:,} bytes", markup=False)
        out.print(f"  sha256 {export['sha256']}", markup=False)
    for title, mix in (("brands", plan["brands"]), ("expiring in", plan["expiration_years"])):
        if mix:
            words = ", ".join(f"{name} {count:,}" for name, count in mix.items())
            out.print(f"{title}: {words}", markup=False)
    show_failures(out, plan["failures"])
    out.print(
        f"{plan['rows']:,} rows: {plan['to_send']:,} would be sent, {plan['rejected']:,} rejected",
        markup=False,
    )
    out.print(
        f"sending takes about {duration(plan['seconds_at_rate'])} "
        f"at {plan['rate_per_s']:g} a second",
        markup=False,
    )
