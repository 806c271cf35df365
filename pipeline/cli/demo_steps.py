"""Carries the sample through a sandbox vault, reads it back, and shows what became of every row."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from pipeline import process_guards
from pipeline.bundled_files import beside
from pipeline.cli.advice import Given, command, shown_path
from pipeline.cli.folding import print_line
from pipeline.cli.readback import found_in_words
from pipeline.cli.running import perform_run
from pipeline.cli.summary import show_ending
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.metrics import Listeners
from pipeline.migration import export_factory
from pipeline.migration.check import CheckRequest, profile
from pipeline.migration.readback import ReadbackRequest, read_back
from pipeline.migration.run_environment import run_environment
from pipeline.migration.run_request import RunRequest, Tools
from pipeline.sandbox.accounts import DEFAULT_SECRET_KEY
from pipeline.sandbox.options import Options
from pipeline.sandbox.serve import background

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.migration.readback import ReadBack

SAMPLE_NAME: Final = "cards.csv.pgp"
TOPUP_NAME: Final = "topup.csv.pgp"
MODES_NAME: Final = "modes.csv.pgp"
GIVEN_CUSTOMER: Final = "cust_test_0000000000000sample"
"""The existing customer that the sample names; the demo's vault has it from the start."""

_ATTACHING: Final = (
    f"attach.secret_key={DEFAULT_SECRET_KEY}",
    "attach.rate_per_s=500",
    "export.columns.customer=legacy_customer_id",
    "export.columns.customer_id=omise_customer_id",
    "export.columns.is_default=is_default",
)


def carry_sample(terminal: Terminal, folder: Path | None) -> int:
    """Carry the sample and its top-up, show how that ended, and give the exit code.

    Args:
        terminal: Where words go.
        folder: The migration folder; None for a new one under the system's folder for temporary
            files.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="cardferry-demo-"))
    held_guards = process_guards.harden()
    with background(Options(customers=(GIVEN_CUSTOMER,))) as url:
        terminal.say(f"sandbox vault at {url}")
        overrides = [f'vault.url="{url}"', f'attach.url="{url}"', *_ATTACHING]
        settings, credentials = load_settings(beside("configs") / "sandbox.toml", {}, overrides)
        facts = run_environment(held_guards, settings.audit.operator)
        samples = [beside("sample_data") / name for name in (SAMPLE_NAME, TOPUP_NAME)]
        ending = perform_run(
            terminal, RunRequest(samples, folder, facts), settings, credentials, ask=False
        )
        found = None
        if ending.trouble is None:
            found = _read_back(folder, settings, credentials)
    show_ending(terminal, ending, Given(folder))
    if not terminal.as_json and ending.trouble is None:
        _show_read_back(terminal, found)
        _show_modes(terminal, settings, credentials)
        terminal.say("", "next:", f"  open {folder / 'report.html'}, the report for people")
        terminal.say("  check every digest and total:")
        terminal.say_command(command("verify", shown_path(folder)))
        terminal.say("  a migration of your own:")
        terminal.say_command(command("run", "--help"))
    return ending.exit_code


def _read_back(folder: Path, settings: Settings, credentials: Credentials) -> ReadBack:
    """Ask the vault what it holds, while it is there."""
    system = process_guards.system_facts()
    return read_back(
        folder,
        ReadbackRequest(),
        (settings, credentials),
        Tools(SystemClock(), SystemRandom()),
        (system.login_user or system.user, f"{system.host}:{system.pid}"),
    )


def _show_read_back(terminal: Terminal, found: ReadBack | None) -> None:
    if found is not None:
        out = terminal.out()
        print_line(out, "\nread back from the vault, and compared:")
        for line in found_in_words(found):
            print_line(out, f"  {line}")


def _show_modes(terminal: Terminal, settings: Settings, credentials: Credentials) -> None:
    """Show the two codes that no vault on this machine can show: nothing is sent for them."""
    reading, out = export_factory.reading(settings), terminal.out()
    print_line(out, f"\n{MODES_NAME}, a second sample, only checked:")
    for vault, changed in (
        ("against a live vault", replace(reading, livemode=True)),
        ("against a test vault elsewhere", replace(reading, loopback_vault=False)),
    ):
        sample = beside("sample_data") / MODES_NAME
        plan = profile(
            CheckRequest([sample], changed), settings, credentials, SystemClock(), Listeners()
        )
        words = ", ".join(f"{rows} {code}" for code, rows in plan["failures"].items())
        print_line(out, f"  {vault}: {plan['to_send']} would be sent, {words}")
