"""Keeps how far reading back has come in a file, so that a stopped one goes on and memory stays flat."""

from __future__ import annotations

import os
from collections import Counter as Tally
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from pipeline.errors import LocalStorageFailed
from pipeline.folder_files import trouble_with_own_file
from pipeline.metrics import Counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.migration.readback_findings import Checked

PROGRESS_NAME: Final = ".readback.tmp"
"""A temporary file of ours, which is there only while a reading back is under way or was stopped."""


class Numbers:
    """A set of small numbers that keeps a bit for each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, numbers: Iterable[int]) -> None:
        """Take numbers in."""
        for number in numbers:
            missing = (number >> 3) + 1 - len(self._bits)
            if missing > 0:
                self._bits.extend(bytes(missing))
            self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bits) and bool(self._bits[place] & 1 << (number & 7))


class ReadbackProgress:
    """A file of JSON lines: first what is read back, then a line for each step.

    Args:
        folder: The migration folder.
        about: What is read back; one that was begun for something else is thrown away.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._path = folder / PROGRESS_NAME
        self._about = orjson.loads(orjson.dumps(dict(about)))
        self.findings: Tally[str] = Tally()
        self.offset = 0
        self.seen = Numbers()
        self.plan: list[int] | None = None
        self.counter = Counter()
        """Shows how many cards were read."""
        trouble = trouble_with_own_file(self._path)
        if trouble is not None:
            raise LocalStorageFailed(f"{PROGRESS_NAME} {trouble}", next_step="Take it away.")
        try:
            whole = self._resume()
            self._file = _opened(self._path, keep=whole)
        except OSError as error:
            raise LocalStorageFailed(
                f"{PROGRESS_NAME} cannot be written ({error.strerror})",
                next_step="Make the folder writable for this user, then run again.",
            ) from None
        if not whole:
            self._write({"about": self._about})

    def choose(self, row_ids: Sequence[int]) -> list[int]:
        """Keep which rows are the sample; one that was chosen before is kept."""
        if self.plan is None:
            self.plan = sorted(row_ids)
            self._write({"plan": self.plan})
        return self.plan

    def step(self, offset: int, seen: Sequence[int], rows: Sequence[Checked]) -> None:
        """Keep a step: how far it came, whom it saw, and what was found."""
        self.offset = offset
        self.seen.add(seen)
        self.findings.update(row.finding for row in rows)
        self._write({"offset": offset, "seen": list(seen), "rows": [tuple(row) for row in rows]})
        self.counter.add(len(rows))

    def rows(self) -> Iterator[list[tuple[Any, ...]]]:
        """Give everything that was found so far, in blocks."""
        self._file.flush()
        for line in self._lines():
            yield [tuple(row) for row in line.get("rows", ())]

    def finish(self) -> None:
        """Forget the progress: there is nothing to go on with."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the next reading back goes on from it."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()

    def _resume(self) -> int:
        """Take in what an earlier reading back left; give how many bytes of it are whole."""
        whole = 0
        for line, end in self._lines_with_ends():
            if whole == 0 and line.get("about") != self._about:
                return 0
            whole = end
            self.plan = line.get("plan", self.plan)
            self.offset = line.get("offset", self.offset)
            self.seen.add(line.get("seen", ()))
            self.findings.update(row[6] for row in line.get("rows", ()))
        return whole

    def _lines(self) -> Iterator[dict[str, Any]]:
        return (line for line, _ in self._lines_with_ends())

    def _lines_with_ends(self) -> Iterator[tuple[dict[str, Any], int]]:
        try:
            file = _opened(self._path, keep=None)
        except FileNotFoundError:
            return
        end = 0
        with file:
            for line in file:
                try:
                    read = orjson.loads(line)
                except orjson.JSONDecodeError:
                    # The end of a line that a kill cut short.
                    return
                end += len(line)
                yield read, end


def _opened(path: Path, keep: int | None) -> IO[bytes]:
    """Open the file to read it, or to write on after so many bytes."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    if keep is None:
        return os.fdopen(os.open(path, os.O_RDONLY | flags), "rb")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    os.ftruncate(descriptor, keep)
    os.lseek(descriptor, keep, os.SEEK_SET)
    return os.fdopen(descriptor, "wb")
