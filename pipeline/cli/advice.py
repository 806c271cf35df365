"""Words the next steps after a run, as commands that work when they are pasted."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.migration.job import Ending

_NAME = "cardferry"


_OPEN: Final = (
    ("failed", "failed; send again those that can be", ()),
    ("held", "held back; ask the vault first, a second token may then exist", ("--held",)),
    ("attach_failed", "have a token and no customer; try again those that can be", ()),
    ("attach_held", "have a token and are held; look at the vault first", ("--held",)),
)
"""What is done about rows that ended so, and with which option of `retry`."""


class Step(NamedTuple):
    """Something to do next: why, and the command that does it, if one does."""

    why: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What a command was given, for commands that are to be given the same.

    Attributes:
        folder: The migration folder.
        exports: The exports' paths.
        config_file: The settings file, if one was named.
        overrides: The `--set` texts.
    """

    folder: Path
    exports: Sequence[Path] = ()
    config_file: Path | None = None
    overrides: Sequence[str] = ()

    @property
    def settings(self) -> list[str]:
        """The options that name the same settings."""
        named = [] if self.config_file is None else ["-c", shown_path(self.config_file)]
        return [*named, *(word for text in self.overrides for word in ("--set", text))]


def give_again(name: str, waiting: int) -> str:
    """Say that rows of an export wait, which a command that was not given it cannot send."""
    return f"{rows(waiting)} of {name} {'wait' if waiting > 1 else 'waits'}: give that file again"


def next_steps(ending: Ending, given: Given) -> Iterator[Step]:
    """Give what can be done with a folder as a run left it, the most urgent first."""
    this_run, failures = ending.this_run, ending.this_run.rows
    exports, folder = list(map(shown_path, given.exports)), shown_path(given.folder)
    again = ["retry", folder, *exports, *given.settings]
    if this_run.waiting:
        yield Step(
            f"{rows(this_run.waiting)} of these exports still wait: the same command goes on"
        )
    for export in ending.waiting:
        yield Step(
            give_again(export.name, export.rows),
            command("run", export.name, "-o", folder, *given.settings),
        )
    for state, why, option in _OPEN:
        if failures.get(state):
            yield Step(f"{rows(failures[state])} {why}", command(*again, *option))
    if failures.get("rejected"):
        yield Step(
            f"{rows(failures['rejected'])} rejected: look at {given.folder / 'failures.csv'}, have "
            "them corrected, and run the new export into the same folder"
        )
    if ending.figures is not None:
        report = given.folder / "report.html"
        yield Step(f"read {report}; check the files with", command("verify", folder))


def command(*words: str) -> str:
    """Give a command line that a shell on this machine understands."""
    return " ".join([program(), *map(quote, words)])


def program() -> str:
    """Give how this program is called here: by its name if that is on the PATH."""
    if shutil.which(_NAME) is not None:
        return _NAME
    started = Path(sys.argv[0])
    if started.name == _NAME:
        return quote(str(started))
    return f"{quote(sys.executable)} -m pipeline"


def shown_path(path: Path) -> str:
    """Give a path as an argument; one that begins with a dash would be taken for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def rows(count: int) -> str:
    """Count rows in words: `1 row`, `2,000 rows`."""
    return "1 row" if count == 1 else f"{count:,} rows"
