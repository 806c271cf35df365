"""Opens the ledger that a command goes on with, or a run begins: where the settings or the folder say."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from pipeline.config.addresses import SecretSource
from pipeline.disk import private_folder
from pipeline.errors import SettingsRefused
from pipeline.ledger.bearing import ALONE, Waits
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LedgerUrl, is_ledger_name, ledger_url, ledger_url_of_run
from pipeline.ledger.lock import migration_lock
from pipeline.ledger.sharing.ledger_to_join import ledger_to_join
from pipeline.migration.run_request import OPENING_LEDGER, WAITING_FOR_RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.migration.run_request import RunRequest, Tools
    from pipeline.signals import DeferredSignals


def ledger_place(settings: Settings, credentials: Credentials, folder: Path) -> LedgerUrl:
    """Give where the ledger of a migration's folder is, or is to be begun.

    Raises:
        SettingsRefused: The folder's ledger is elsewhere than the settings say.
        VerificationFailed: What names it is not what Cardferry wrote.
    """
    source, secret = settings.ledger.url, credentials.ledger_url
    return ledger_url_of_run(
        folder,
        source if isinstance(source, SecretSource) else None,
        None if secret is None else secret.get_secret_value(),
    )


def shared_ledger_place(
    settings: Settings, credentials: Credentials, folder: Path | None, name: str | None = None
) -> LedgerUrl:
    """Give where the ledger is that a carrier joins.

    Args:
        settings: The carrier's settings.
        credentials: The secrets they name.
        folder: The migration's folder, or one with a copy of its `ledger.json`; None to look in the
            database for the one run that hands rows out.
        name: The ledger's name in the database, in place of a folder.

    Raises:
        LocalStorageFailed: No run hands rows out there, or the server does not answer.
        SettingsRefused: The settings name no ledger in PostgreSQL, several runs hand rows out in
            its database, the folder names none, or the name is none.
    """
    source, secret = settings.ledger.url, credentials.ledger_url
    if not isinstance(source, SecretSource) or secret is None:
        raise SettingsRefused(["ledger.url: carriers share a ledger in PostgreSQL"])
    there = LedgerUrl(secret.get_secret_value(), source=source, is_known=True)
    if name is not None:
        if not is_ledger_name(name):
            raise SettingsRefused(["--ledger: is no ledger's name, as it stands in ledger.json"])
        return replace(there, schema=name)
    if folder is not None:
        place = ledger_place(settings, credentials, folder)
        if not place.is_known:
            raise SettingsRefused(
                ["--out: this folder names no ledger"],
                next_step="Copy ledger.json of the migration's folder there, or leave --out away.",
            )
        return place
    return ledger_to_join(there)


@contextmanager
def held_ledger(
    request: RunRequest, given: tuple[Settings, Credentials], tools: Tools, signals: DeferredSignals
) -> Iterator[Ledger]:
    """Hold the folder, which is made if it is not there, and open its ledger for writing.

    Args:
        request: The folder, and how long to wait for another run of it.
        given: The settings in force and their secrets: where the ledger is, and what signs.
        tools: The clock dates what is written; what takes long is told.
        signals: Keeps stopping signals out of commits.

    Raises:
        SettingsRefused: The folder's ledger is elsewhere than the settings say, or its server
            does not let us in; or cards are to be attached, and the settings name no API host.
        LocalStorageFailed: The disk refused, or the server does not answer.
        MigrationLocked: Another run holds it, here or on another machine, and did not end in time.
        VerificationFailed: It is no ledger, damaged, or gone.
    """
    if request.unattached and given[0].attach is None:
        raise SettingsRefused(
            [
                "attach: what earlier runs left is to be attached, and these settings name no API host"
            ],
            next_step="Add `[attach]` to the settings, then run the same command again.",
        )
    private_folder(request.folder)

    def opened() -> Ledger:
        waits = Waits(request.wait_s, given[0].flow.outage_max_s)
        place = ledger_place(*given, request.folder)
        return Ledger(place, tools.clock, signals=signals, waits=waits)

    with opened_alone(request.folder, request.wait_s, tools, opened) as ledger:
        yield ledger


@contextmanager
def opened_alone(
    folder: Path, wait_s: float, tools: Tools, opened: Callable[[], Ledger] | None = None
) -> Iterator[Ledger]:
    """Hold a folder and open its ledger, and tell which of the two takes long.

    Args:
        folder: The migration folder.
        wait_s: How long to wait for a run of it to end.
        tools: The clock dates what is written; what takes long is told.
        opened: Opens the ledger once the folder is held; default: the one that the folder names.

    Raises:
        LocalStorageFailed: The disk refused, or the server does not answer.
        MigrationLocked: Another run holds it, here or on another machine, and did not end in time.
        VerificationFailed: It is no ledger, damaged, or gone.
    """

    def opened_here() -> Ledger:
        return Ledger(ledger_url(folder), tools.clock, waits=ALONE._replace(lock_s=wait_s))

    with ExitStack() as stack:
        with tools.long_work(WAITING_FOR_RUN):
            stack.enter_context(migration_lock(folder, wait_s=wait_s))
        with tools.long_work(OPENING_LEDGER):
            ledger = stack.enter_context(closing((opened or opened_here)()))
        yield ledger


def carried_columns(ledger: Ledger, settings: Settings) -> str:
    """Give every column ever carried into this mapping, as a JSON list."""
    known = orjson.loads(ledger.recall("carry") or "[]")
    return orjson.dumps([*known, *(c for c in settings.export.carry if c not in known)]).decode()
