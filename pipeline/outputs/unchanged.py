"""Finds what of the last publication still holds, so that a night without new rows makes none of it again.

Files and figures are made from the ledger's tables. Where every table holds what it held then (by
the digests that the publication left in the chain of events), and the runs of then are still the
first of its runs, what was made of rows is still right: a file is left alone if it has the digest
that was published, and the report's figures are taken from the report. What was changed since, or
cannot be read, is made anew; and `verify` makes everything anew.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.folder_files import open_in_folder, read_in_folder
from pipeline.ledger.lasting_proof import LASTING
from pipeline.outputs.files import REPORT_NAME
from pipeline.outputs.sinks import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.ledger.publications import Publication
    from pipeline.ledger.snapshot import Snapshot

_FOR_OTHERS: Final = 0o077
_RUNS: Final = "runs"
_GROWS: Final = frozenset({_RUNS, LASTING})
"""What a run changes that brings no rows; `lasting` is worked out of tables that are compared here."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The last publication of a folder, whose rows are those of the ledger now.

    Attributes:
        folder: The migration folder.
        files: SHA-256 of each file as it was published, by its name.
    """

    folder: Path
    files: Mapping[str, str]

    def held(self, name: str) -> tuple[int, str] | None:
        """Give size and SHA-256 of a file that still is what was published; None if it is not."""
        return held(self.folder / name, self.files.get(name))

    def figures(self) -> dict[str, Any] | None:
        """Give the report's figures as they were published; None if they are not there any more."""
        try:
            content = read_in_folder(self.folder / REPORT_NAME)
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != self.files.get(REPORT_NAME):
            return None
        figures: dict[str, Any] = orjson.loads(content)
        return figures


def find_unchanged(
    look: Snapshot, tables: Mapping[str, Mapping[str, object]], folder: Path, version: str
) -> Unchanged | None:
    """Give the last publication if the ledger's rows are what they were then, and None if not.

    Args:
        look: A look at the ledger.
        tables: Its tables' digests (`Snapshot.table_digests`).
        folder: The migration folder.
        version: Cardferry's version; another one may make other bytes.
    """
    publications = look.account().publications
    if not publications or publications[-1].version != version:
        return None
    last = publications[-1]
    now = {name: told["sha256"] for name, told in tables.items()}
    same_rows = all(now[name] == last.tables.get(name) for name in now if name not in _GROWS)
    if same_rows and _runs_go_on(look, now, last):
        return Unchanged(folder, last.files)
    return None


def held(path: Path, sha256: str | None) -> tuple[int, str] | None:
    """Give size and SHA-256 of a file of ours alone that has this digest; None of any other."""
    try:
        with open_in_folder(path) as file:
            facts = os.fstat(file.fileno())
            is_private = facts.st_uid == os.geteuid() and not facts.st_mode & _FOR_OTHERS
            found = digest_of(file) if is_private and sha256 is not None else None
    except OSError:
        return None
    return found if found is not None and found[1] == sha256 else None


def _runs_go_on(look: Snapshot, now: Mapping[str, object], last: Publication) -> bool:
    """Tell whether the runs are those of the publication, or those and one more."""
    then = last.tables.get(_RUNS)
    return then is not None and then in {now[_RUNS], look.digest_of_earlier_runs()}
