"""Words the next steps after a run, as commands that work when they are pasted."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.cards.detect import without_numbers
from pipeline.counts import agreeing, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_NAME = "cardferry"


_OPEN: Final = (
    ("failed", ("failed", "failed"), "{listed} tells why; send again those that can be", ()),
    (
        "held",
        ("is held back", "are held back"),
        (
            "When the vault is well (`{doctor}` tells) and one more token a row does no harm, send {it} "
            "again"
        ),
        ("--held",),
    ),
    (
        "attach_failed",
        ("has a token and no customer", "have a token and no customer"),
        "{listed} tells why; try again those that can be",
        (),
    ),
    (
        "attach_held",
        ("has a token and is held back", "have a token and are held back"),
        "look at the vault first, then go on with",
        ("--held",),
    ),
)
"""How rows ended, in words for one and for many, what is done about it, and by which `retry`."""

STATES_WITH_STEPS: Final = (*(state for state, *_ in _OPEN), "rejected")
"""How rows end that somebody has to do something about."""


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
        inbox: The folder that exports are dropped into, if they came from one.
        quiet_s: How long a file in the inbox must have been left alone, in seconds.
        beside_others: Whether another run may hold the folder when somebody reads this.
    """

    folder: Path
    exports: Sequence[Path] = ()
    config_file: Path | None = None
    overrides: Sequence[str] = ()
    inbox: Path | None = None
    quiet_s: float = 60.0
    beside_others: bool = False

    @property
    def patience(self) -> tuple[str, ...]:
        """The option that waits for another run, where one may be under way: a night's, or its next."""
        may_meet_another = self.beside_others or self.inbox is not None
        return ("--wait-lock", "15m") if may_meet_another else ()

    @property
    def settings(self) -> list[str]:
        """The options that name the same settings."""
        named = [] if self.config_file is None else ["-c", shown_path(self.config_file)]
        return [*named, *(word for text in self.overrides for word in ("--set", text))]


def look_again_step(given: Given) -> Step:
    """Give what goes on at once where the next look into an inbox would."""
    inbox = shown_path(given.inbox or Path())
    options = (*given.settings, "-o", shown_path(given.folder), *given.patience)
    return Step("to go on at once", command("inbox", inbox, *options))


def doubt_words(count: int, then: str | None) -> str:
    """Say of the rows that a killed run had under way what the next run does with them.

    Args:
        count: How many.
        then: The setting `flow.on_ambiguous` of that run.
    """
    it, them = agreeing(count, "its", "their"), agreeing(count, "it", "each of them")
    does = (
        f"holds {them} for a decision (`retry --held`)"
        if then == "hold"
        else f"sends {them} once more, and holds a row whose answer was lost twice"
    )
    return (
        f"{rows(count)} {agreeing(count, 'was', 'were')} under way, and nobody knows whether {it} "
        f"{agreeing(count, 'token was', 'tokens were')} made: nothing has to be done by hand, as the "
        f"next run that is given {it} export {does}"
    )


def open_steps(
    ended: Mapping[str, int],
    given: Given,
    unseen: int = 0,
    named: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Iterator[Step]:
    """Give what is done about rows that a run did not move.

    Args:
        ended: Rows by state, as the run ended them.
        given: The folder, the exports that hold these rows, and the settings.
        unseen: How many tokens of these exports may exist that nobody saw, at most.
        named: Export and row number of the first rows that ended so, by state.
    """
    listed = given.folder / "failures.csv"
    doctor = command("doctor", "-o", shown_path(given.folder), *given.settings)
    again = ["retry", shown_path(given.folder), *map(shown_path, given.exports), *given.settings]
    again += given.patience
    for state, words, remedy, option in _OPEN:
        if count := ended.get(state):
            it = agreeing(count, "the row", "the rows") if state == "held" else ""
            done = remedy.format(it=it, doctor=doctor, listed=listed)
            which = rows_named((named or {}).get(state, ()), count)
            what = f"{rows(count)} {agreeing(count, *words)}{which}"
            if state == "held":
                yield from _held_steps(what, count, unseen)
                yield Step(done, command(*again, *option))
            else:
                yield Step(f"{what}; {done}", command(*again, *option))
    if count := ended.get("rejected"):
        yield from _rejected_steps(count, (named or {}).get("rejected", ()), given)


def _held_steps(what: str, count: int, unseen: int) -> Iterator[Step]:
    """Say of rows that are held back who sends them, and what sending them came to so far."""
    yield Step(f"{what}: no run and no night sends {agreeing(count, 'it', 'them')} by itself.")
    if unseen:
        yield Step(
            f"Up to {counted(unseen, 'token')} may exist unseen, one for each sending without a sure "
            "answer: such a token charges nobody and maps to no legacy id."
        )


def _rejected_steps(count: int, first: Sequence[Mapping[str, Any]], given: Given) -> Iterator[Step]:
    """Give what is done about rows that were rejected, while the others of their files went on."""
    look = f"look at {given.folder / 'failures.csv'}"
    told = f"{rows(count)} rejected{rows_named(first, count)}: {look}, have the sender correct {agreeing(count, 'it', 'them')}"
    which = (
        f"({agreeing(count, 'that row', 'those rows')} alone, or the whole file): cards that were moved "
        "are not sent twice"
    )
    if given.inbox is None:
        yield Step(f"{told}, and run the new export into this folder {which}")
        return
    such = f", such as {new_name(first[0]['export'])}" if first else ""
    yield Step(f"{told}.")
    yield Step(f"Drop the new export into {given.inbox} under a new name{such} {which}.")


def new_name(name: str) -> str:
    """Give a name for what comes instead of a file: `a.csv.pgp` leads to `ab.csv.pgp`."""
    stem, dot, suffixes = name.partition(".")
    return f"{stem}b{dot}{suffixes}"


def rows_named(first: Sequence[Mapping[str, Any]], count: int) -> str:
    """Name the first of some rows by number, as `failures.csv` does: ` (rows 6, 8 of a.csv.pgp)`."""
    if not first:
        return ""
    by_export: dict[str, list[str]] = {}
    for row in first:
        by_export.setdefault(row["export"], []).append(f"{row['row']:,}")
    told = ", ".join(
        f"{agreeing(len(numbers), 'row', 'rows')} {', '.join(numbers)} of {export}"
        for export, numbers in by_export.items()
    )
    more = count - len(first)
    return f" ({told}{f' and {more:,} more' if more > 0 else ''})"


def report_steps(given: Given) -> Iterator[Step]:
    """Give what a folder is looked at and proved with."""
    yield Step(f"The whole story: {given.folder / 'report.html'}")
    why = "This checks that the files are as they were written, and changes nothing"
    yield Step(why, command("verify", shown_path(given.folder)))


def publish_step(given: Given) -> Step:
    """Give what writes the lists of a folder whose last run died before it did."""
    return Step(
        f"{given.folder / 'failures.csv'} is older than what is open here, as the last run did not "
        "come to writing it: this does",
        command("publish", shown_path(given.folder), *given.settings),
    )


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
    """Give a path as an argument; one that begins with a dash would be taken for an option.

    One that holds a card number can only be shown with stars, and has to be filled in by hand.
    """
    text = without_numbers(str(path))
    return f"./{text}" if text.startswith("-") else text


def rows(count: int) -> str:
    """Count rows in words: `1 row`, `2,000 rows`."""
    return counted(count, "row")
