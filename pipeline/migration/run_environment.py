"""Collects what is kept of a run: its name, who runs it, where, with which settings and guards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline import __version__, process_guards
from pipeline.cards.detect import contains_pan
from pipeline.clock import timestamp
from pipeline.config.loading import masked, meaning_digest, reading_digest
from pipeline.ledger.records import EXPORTS_IN, READING_DIGEST, SETTINGS_DIGEST, SETTINGS_FILE
from pipeline.logs import EventLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from random import Random

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.outputs.signature import Signer

log = EventLog("run")


def run_name(clock: Clock, random: Random) -> str:
    """Give a run's name: its start and a word that tells two of one second apart."""
    moment = timestamp(clock.now()).replace("-", "").replace(":", "")
    return f"{moment}-{random.getrandbits(32):08x}"


def signer_of(credentials: Credentials) -> Signer | None:
    """Give who signs by the key that the settings name; None where they name none.

    Raises:
        SettingsRefused: The key cannot be used (`Signer.from_pem`).
    """
    if credentials.signing_key is None:
        return None
    from pipeline.outputs.signature import Signer  # noqa: PLC0415 - many runs sign nothing.

    return Signer.of(credentials)


def facts_of_run(who: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """Give what the ledger keeps of a run: who, where, with which version and settings."""
    return {
        **who,
        "version": __version__,
        "settings": masked(settings),
        SETTINGS_DIGEST: meaning_digest(settings),
        READING_DIGEST: reading_digest(settings),
        "in_flight_max": settings.flow.in_flight_max,
        "on_ambiguous": settings.flow.on_ambiguous,
    }


def paths_given(
    exports: Sequence[Path], settings_file: Path | None, *, are_settings_whole: bool
) -> dict[str, object]:
    """Give where exports and settings of a run lie, but for a path that could hold a card number.

    Args:
        exports: As they were given.
        settings_file: The same, if one was named.
        are_settings_whole: Whether the file says everything, and no option more.
    """
    folders = dict.fromkeys(_text(path.parent) for path in exports)
    named = None
    if settings_file is not None and are_settings_whole:
        named = _text(settings_file)
    return {
        SETTINGS_FILE: None if named is None or contains_pan(named) else named,
        EXPORTS_IN: [folder for folder in folders if not contains_pan(folder)],
    }


def _text(path: Path) -> str:
    """Give a path in whole; bytes that are no text are replaced, and then nobody finds it by that."""
    return os.fsencode(path.absolute()).decode("utf-8", "replace")


def run_environment(held: process_guards.GuardReport, operator: str | None) -> dict[str, object]:
    """Give who runs this, where, and which memory guards held."""
    system = process_guards.system_facts()
    leaky = process_guards.leaky_environment()
    if leaky:
        log.warning("the environment makes libraries print more", variables=len(leaky))
    return {
        "operator": operator or system.login_user or system.user,
        "user": system.user,
        "host": system.host,
        "pid": system.pid,
        "python": system.python,
        "terminal": system.terminal,
        "scheduler": system.scheduler,
        "guards": held.as_dict(),
        "leaky_environment": list(leaky),
    }
