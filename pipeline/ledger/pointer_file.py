"""Says in a migration's folder where a ledger is that is not kept in it; never with its password.

`ledger.json` names the environment variable or the file that holds the URL, and the schema that is
the ledger. Its name is random, so that no other ledger is taken for it; a copy of the file makes a
folder on another machine one of the same migration.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from pipeline.config.addresses import SecretSource
from pipeline.disk import write_atomically
from pipeline.errors import VerificationFailed
from pipeline.folder_files import read_in_folder, trouble_with_own_file, why_not

POINTER_NAME: Final = "ledger.json"
SCHEMA_PREFIX: Final = "cardferry_"
_SCHEMA: Final = re.compile(f"{SCHEMA_PREFIX}[0-9a-f]{{32}}").fullmatch
_BYTES_MAX: Final = 64 * 1024


class Pointer(NamedTuple):
    """Where the URL of a ledger is, and the schema."""

    source: SecretSource
    schema: str


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


def _not_ours(wrong: str) -> VerificationFailed:
    return VerificationFailed(
        f"{POINTER_NAME} {wrong}",
        next_step="Put it back from a backup or from the other machine's folder; without it "
        "a new ledger would send every card again.",
    )
