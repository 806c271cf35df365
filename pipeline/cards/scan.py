"""Looks for card numbers in files and folders, and tells each place.

Every regular file is searched as bytes; Parquet, SQLite and packed files are opened up as well.
Nothing found is ever repeated beyond its last four digits, not even in a path. Links are not
followed and pipes and devices not opened; both are counted.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from pipeline.cards.detect import Strictness, contains_pan
from pipeline.cards.scan_numbers import find_numbers
from pipeline.cards.scan_parquet import MAGIC as PARQUET_MAGIC
from pipeline.cards.scan_parquet import ParquetUnreadable, search_parquet
from pipeline.cards.scan_sqlite import HEAD_BYTES, is_sqlite, search_sqlite
from pipeline.cards.scan_streams import Unpacking, search_packed, search_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.cards.scan_numbers import Sighting

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ALL_BUT_FOUR: Final = re.compile(r"[0-9](?=(?:[^0-9]*[0-9]){4})")


@dataclass(frozen=True, slots=True)
class Finding:
    """One card number where none may be.

    `place` is a byte offset, a Parquet row and column (from 1), a SQLite page or a place inside
    something packed. Of a path that holds a number itself, all digits but the last are masked.
    """

    path: str
    place: str
    encoding: str
    last_digits: str


@dataclass(slots=True)
class ScanTotals:
    """What a search has looked at so far."""

    files: int = 0
    bytes: int = 0
    findings: int = 0
    skipped: int = 0
    """Links, pipes, sockets and devices."""
    troubles: list[tuple[str, str]] = field(default_factory=list)
    """Paths that could not be searched, or not wholly, each with the reason."""


def scan(paths: Iterable[Path], totals: ScanTotals | None = None) -> Iterator[Finding]:
    """Search files and folders for card numbers, in the order of their names.

    Args:
        paths: Files or folders; a link named here is followed, those found inside are not.
        totals: Filled while the search goes on. A search with `troubles` does not
            prove that there is no number.
    """
    totals = ScanTotals() if totals is None else totals
    for path in paths:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # What somebody asks about must not count as clean because nobody can look.
            totals.troubles.append((_shown(path), "neither a file nor a folder"))
            continue
        for file in _files(path.resolve(), totals):
            for place, seen in _search_file(file, totals):
                totals.findings += 1
                yield Finding(_shown(file), place, seen.encoding, seen.last_digits)


def _files(root: Path, totals: ScanTotals) -> Iterator[Path]:
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            mode = path.lstat().st_mode
            entries = sorted(path.iterdir(), reverse=True) if stat.S_ISDIR(mode) else []
        except OSError as trouble:
            totals.troubles.append((_shown(path), _reason(trouble)))
            continue
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            totals.skipped += 1
        waiting += entries


def _search_file(path: Path, totals: ScanTotals) -> Iterator[tuple[str, Sighting]]:
    for seen in find_numbers(os.fsencode(path.name)):
        yield "file name", seen
    try:
        with _open(path) as stream:
            totals.files += 1
            totals.bytes += os.fstat(stream.fileno()).st_size
            yield from _search_open(path, stream, totals)
    except OSError as trouble:
        totals.troubles.append((_shown(path), _reason(trouble)))


def _search_open(
    path: Path, stream: IO[bytes], totals: ScanTotals
) -> Iterator[tuple[str, Sighting]]:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if is_sqlite(head):
        # The raw bytes of a database are not searched besides: its records have no separators,
        # and an id beside a last four would pass for a number.
        yield from search_sqlite(stream)
        return
    if head.startswith(PARQUET_MAGIC):
        # Nor are those of Parquet that can be read: compression joins what was apart.
        try:
            yield from search_parquet(stream)
        except ParquetUnreadable:
            totals.troubles.append((_shown(path), "damaged or encrypted Parquet"))
        else:
            return
        stream.seek(0)
    for offset, seen in search_stream(stream):
        yield f"byte {offset}", seen
    stream.seek(0)
    allowance = Unpacking()
    yield from search_packed(stream, allowance)
    totals.troubles += [(_shown(path), trouble) for trouble in allowance.troubles]


def _open(path: Path) -> IO[bytes]:
    descriptor = os.open(path, _OPEN_FLAGS)
    # Between the listing and now, the name may have been given to something else.
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "no plain file any more")
    return os.fdopen(descriptor, "rb")


def _reason(trouble: OSError) -> str:
    return os.strerror(trouble.errno) if trouble.errno else "cannot be read"


def _shown(path: Path) -> str:
    """Give the path for people: numbers masked, and what is not text escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    text = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    if contains_pan(text, Strictness.STRICT):
        return _ALL_BUT_FOUR.sub("*", text)
    return text
