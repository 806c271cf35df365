"""Finds what of the last publication still holds, so that a night without new rows makes none of it again.

Files and figures are made from the ledger's tables. Where every table holds what it held then (by
the digests that the publication left in the chain of events), but for runs that came since, what was
made of rows is still right: a file is left alone if it has the digest that was published, and the
report's figures are taken from the report. Where rows came or changed, the parts of the mapping that
they are not in are taken over from the file, and a CSV file stays if its rows are the same. What was
changed since, or cannot be read, is made anew; and `verify` makes everything anew.

Where those runs ended well and told of nothing but that they began, knew their exports and ended,
there is nothing to publish at all: every file stays as it is, and the ledger says so.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from pipeline.errors import SUCCESSES
from pipeline.folder_files import open_in_folder, read_in_folder
from pipeline.ledger.publications import BRING_NOTHING, LASTING
from pipeline.outputs.files import REPORT_NAME
from pipeline.outputs.parquet_parts import EarlierParts, EarlierSheet, have_same_rows
from pipeline.outputs.sinks import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.ledger.publications import Publication, PublicationHistory
    from pipeline.ledger.snapshot import Snapshot

_FOR_OTHERS: Final = 0o077


@dataclass(frozen=True)
class Unchanged:
    """The last publication of a folder, whose rows are those of the ledger now.

    Attributes:
        folder: The migration folder.
        published: What was published then.
    """

    folder: Path
    published: Publication

    def held(self, name: str) -> tuple[int, str] | None:
        """Give size and SHA-256 of a file that still is what was published; None if it is not."""
        return held(self.folder / name, self.published.files.get(name))

    @cached_property
    def figures(self) -> dict[str, Any] | None:
        """The report's figures as they were published; None if they are not there any more."""
        try:
            content = read_in_folder(self.folder / REPORT_NAME)
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != self.published.files.get(REPORT_NAME):
            return None
        figures: dict[str, Any] = orjson.loads(content)
        return figures

    def confirmed(self, look: Snapshot, signing_key: str | None) -> str | None:
        """Make sure that there is nothing to publish: each file is there and still says all.

        Args:
            look: The look at the ledger with which this publication was found.
            signing_key: Fingerprint of the key that is to vouch for it; None for whichever did.

        Returns:
            The digest of what lasts, which the ledger then confirms; None if there is anything.
        """
        known, last = look.publication_history(), self.published
        since = look.runs()[known.epoch_of(last) :]
        is_all = (
            known.is_latest_in_place
            and signing_key in {None, last.signing_key}
            and look.kinds_since(last.length) <= BRING_NOTHING
            and look.refused_exports() == look.refused_exports(last.length)
            and all(run.exit_code in SUCCESSES for run in since)
            and self.figures is not None
            and all(held(self.folder / name, sha256) for name, sha256 in last.digests().items())
        )
        return str(look.table_digests()[LASTING]["sha256"]) if is_all else None


def find_unchanged(look: Snapshot, folder: Path, version: str) -> Unchanged | None:
    """Give the last publication if the ledger's rows are what they were then, and None if not.

    Args:
        look: A look at the ledger.
        folder: The migration folder.
        version: Cardferry's version; another one may make other bytes.
    """
    known = look.publication_history()
    if not known.publications or known.publications[-1].version != version:
        return None
    last = known.publications[-1]
    now = look.table_digests(known.epoch_of(last))
    is_same = {name: told["sha256"] for name, told in now.items()} == last.tables
    return Unchanged(folder, last) if is_same else None


class Earlier:
    """What was published last, for whatever of it can be taken over although rows came.

    Args:
        known: What was published.
        folder: The migration folder.
        version: Cardferry's version; nothing of another one is taken over.
    """

    def __init__(self, known: PublicationHistory, folder: Path, version: str) -> None:
        last = known.publications[-1] if known.publications else None
        self._folder = folder
        self._files = last.files if last is not None and last.version == version else {}

    @contextmanager
    def parts(self, name: str) -> Iterator[EarlierParts | None]:
        """Give the parts of a Parquet file, if it is there as it was published."""
        with ExitStack() as stack:
            source = self._opened(stack, name)
            yield None if source is None else EarlierParts(source)

    @contextmanager
    def lines(self, name: str, of: str) -> Iterator[EarlierSheet | None]:
        """Give the lines of a CSV file by parts, if it is there as it was published.

        Args:
            name: Its name.
            of: The name of the Parquet file of the same rows, which is cut into them.
        """
        with ExitStack() as stack:
            sheet, parts = self._opened(stack, name), self._opened(stack, of)
            if sheet is None or parts is None:
                yield None
            else:
                yield EarlierSheet(sheet, EarlierParts(parts))

    def sheet(self, name: str, of: str, made: IO[bytes]) -> tuple[int, str] | None:
        """Give size and SHA-256 of a CSV file that is there as it was published, and still right.

        Args:
            name: Its name.
            of: The name of the Parquet file of the same rows.
            made: That file, as it is now made.
        """
        with ExitStack() as stack:
            source = self._opened(stack, of)
            is_right = source is not None and have_same_rows(source, made)
        return held(self._folder / name, self._files.get(name)) if is_right else None

    def _opened(self, stack: ExitStack, name: str) -> IO[bytes] | None:
        """Open a file; only bytes that are ours are read as Parquet."""
        try:
            source = stack.enter_context(open_in_folder(self._folder / name))
            is_same = digest_of(source)[1] == self._files.get(name)
        except OSError:
            return None
        return source if is_same else None


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
