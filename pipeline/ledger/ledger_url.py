"""Says where a ledger is, and gives the URL of the one in a migration's folder or beyond it.

A ledger is named by a URL: `sqlite:///folder/ledger.sqlite` in a migration's folder, `sqlite:` for
a temporary one that leaves nothing behind, `postgresql://...` for one that is elsewhere. Then
`ledger.json` in the folder, the pointer, names the environment variable or the file that holds the
URL (never the URL, which may hold a password), and the schema that is the ledger. The schema's name
is random, so that no other ledger is taken for it; a copy of `ledger.json` makes a folder on another
machine one of the same migration.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import orjson

from pipeline.config.addresses import SecretSource
from pipeline.config.credentials import read_secret
from pipeline.disk import write_atomically
from pipeline.errors import SettingsRefused, VerificationFailed
from pipeline.folder_files import read_in_folder, trouble_with_own_file, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping

LEDGER_NAME: Final = "ledger.sqlite"
"""The ledger's file in a migration's folder; its `-journal` is part of it."""

POINTER_NAME: Final = "ledger.json"
SCHEMA_PREFIX: Final = "cardferry_"
_SCHEMA: Final = re.compile(f"{SCHEMA_PREFIX}[0-9a-f]{{32}}").fullmatch
_BYTES_MAX: Final = 64 * 1024


class Pointer(NamedTuple):
    """Where the URL of a ledger is, and the schema."""

    source: SecretSource
    schema: str


@dataclass(frozen=True, slots=True)
class LedgerUrl:
    """The URL of a ledger, and the folder of the files that are made from it.

    Attributes:
        text: The URL; it may hold a password, so it is never shown.
        folder: The migration's folder; None for a temporary ledger.
        schema: In PostgreSQL the schema that is the ledger; its name is random.
        source: Where the URL was read from, to be named in the folder; None in SQLite.
        is_known: Whether the folder names this ledger already, so that it has to be there.
    """

    text: str = field(repr=False)
    folder: Path | None = None
    schema: str = ""
    source: SecretSource | None = None
    is_known: bool = False


TEMPORARY: Final = LedgerUrl("sqlite:")
"""A ledger that is gone once it is closed (`cardferry check`)."""


def ledger_url(folder: Path, environ: Mapping[str, str] = os.environ) -> LedgerUrl:
    """Give the URL of the ledger of a migration's folder, be it there or named there.

    Raises:
        SettingsRefused: The folder names where the URL is, and it cannot be read there.
        VerificationFailed: What names it is not what Cardferry wrote.
    """
    pointer = pointer_of(folder)
    if pointer is None:
        return _in_folder(folder)
    try:
        text = read_secret(pointer.source, environ, strict=True)
    except ValueError as error:
        raise SettingsRefused(
            [f"ledger.url: {error}"],
            next_step=f"{POINTER_NAME} in the folder names the place of the URL; put it there.",
        ) from None
    return LedgerUrl(text, folder, pointer.schema, pointer.source, is_known=True)


def ledger_url_of_run(folder: Path, source: SecretSource | None, text: str | None) -> LedgerUrl:
    """Give the URL of the ledger that a run goes on with, or begins.

    Args:
        folder: The migration's folder.
        source: Where the settings say that the URL is; None for SQLite in the folder.
        text: The URL that was read there.

    Raises:
        SettingsRefused: The folder's ledger is elsewhere than the settings say.
        VerificationFailed: What names it is not what Cardferry wrote.
    """
    pointer = pointer_of(folder)
    if source is None or text is None:
        if pointer is not None:
            raise _elsewhere(f"this folder's ledger is in PostgreSQL ({POINTER_NAME})")
        return _in_folder(folder)
    if pointer is not None:
        return LedgerUrl(text, folder, pointer.schema, source, is_known=True)
    if (folder / LEDGER_NAME).exists():
        raise _elsewhere(f"this folder's ledger is in SQLite ({LEDGER_NAME})")
    return LedgerUrl(text, folder, SCHEMA_PREFIX + secrets.token_hex(16), source)


def ledger_url_to_verify(folder: Path) -> LedgerUrl:
    """Give the URL of what is verified: the file where there is one, as after `export-ledger`.

    Raises:
        SettingsRefused, VerificationFailed: As for `ledger_url`.
    """
    if os.path.lexists(folder / LEDGER_NAME):
        return _in_folder(folder)
    return ledger_url(folder)


def is_begun(folder: Path) -> bool:
    """Tell whether a migration's folder holds a ledger, or names one."""
    return (folder / LEDGER_NAME).is_file() or is_elsewhere(folder)


def is_elsewhere(folder: Path) -> bool:
    """Tell whether a migration's folder names a ledger that is not in it."""
    return os.path.lexists(folder / POINTER_NAME)


def pointer_of(folder: Path) -> Pointer | None:
    """Give what a folder says of a ledger elsewhere; None where it says nothing.

    Raises:
        VerificationFailed: It says what Cardferry never wrote.
    """
    path = folder / POINTER_NAME
    if wrong := trouble_with_own_file(path):
        raise _not_ours(wrong)
    try:
        told = orjson.loads(read_in_folder(path, _BYTES_MAX))
        source = SecretSource.model_validate(told["url"])
        schema = told["schema"]
    except FileNotFoundError:
        return None
    except OSError as trouble:
        raise _not_ours(why_not(trouble)) from None
    except (ValueError, LookupError, TypeError):
        raise _not_ours("does not say where the ledger is") from None
    if told.get("version") != 1 or not isinstance(schema, str) or _SCHEMA(schema) is None:
        raise _not_ours("was written by a newer Cardferry, or by somebody else")
    return Pointer(source, schema)


def is_ledger_name(text: str) -> bool:
    """Tell whether a text is the name of a ledger in PostgreSQL, its schema."""
    return _SCHEMA(text) is not None


def write_pointer(folder: Path, source: SecretSource, schema: str) -> None:
    """Write where the ledger is, durably, unless the folder says so already.

    Raises:
        LocalStorageFailed: The disk refused.
    """
    if pointer_of(folder) == Pointer(source, schema):
        return
    named = {"env": source.env} if source.env else {"file": str(Path(source.file or "").absolute())}
    told = {"version": 1, "url": named, "schema": schema}
    with write_atomically(folder / POINTER_NAME) as file:
        file.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")


def _in_folder(folder: Path) -> LedgerUrl:
    return LedgerUrl(f"sqlite://{quote(str((folder / LEDGER_NAME).absolute()))}", folder)


def _elsewhere(where: str) -> SettingsRefused:
    return SettingsRefused(
        [f"ledger.url: {where}"],
        next_step="Name the same ledger as when it was begun, or use another folder; "
        "a ledger is never moved.",
    )


def _not_ours(wrong: str) -> VerificationFailed:
    return VerificationFailed(
        f"{POINTER_NAME} {wrong}",
        next_step="Put it back from a backup or from the other machine's folder; without it "
        "a new ledger would send every card again.",
    )
