"""Words what finishes an export whose rows wait and whose file is not in the inbox any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.advice import Step, new_name, rows
from pipeline.cli.inbox_refusals import move_back
from pipeline.cli.waiting_words import give_up, run_again, to_spare
from pipeline.counts import agreeing
from pipeline.disk import sha256_of
from pipeline.migration.inbox_files import DONE_FOLDER, REFUSED_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.cli.advice import Given
    from pipeline.migration.run_account import WaitingExport


def unfinished_steps(export: WaitingExport, given: Given, inbox: Path) -> Iterator[Step]:
    """Give the fact first, then what is to be done, an act a step.

    Args:
        export: The export, as the ledger knows it.
        given: The migration folder and the settings.
        inbox: The folder that exports are dropped into.
    """
    lies = _found(export, inbox)
    yield Step(_fact(export, inbox, lies))
    if spare := to_spare(export):
        yield Step(f"{spare}; no card is lost.")
    if lies is not None and lies.parent == inbox:
        yield Step("This goes on with it", run_again(lies, given))
        return
    if lies is None:
        yield Step(
            f"1. Copy {export.name} back into {inbox}: from where it was moved to, or else have its sender "
            f"send that very file again. `sha256sum` gives {export.sha256} for it."
        )
    elif export.refused is not None:
        yield Step(
            "1. Have what it was refused for corrected in a new file; or change the setting and move this "
            f"one back ({lies.name}.reason.txt beside it says how)",
            move_back(lies, given),
        )
    else:
        yield Step("1. Move it back", move_back(lies, given))
    yield Step(
        "2. The next look takes it. At once, when it is there, this does",
        run_again(inbox / export.name, given),
    )
    if export.refused is not None:
        done = "Once a new file with these rows was carried, take this one off the list"
        yield Step(done, give_up(export.name, given))
        return
    yield Step(
        "If only its rows can be had, sealed anew, that is another file here (its SHA-256 differs): drop it "
        f"in under a new name, such as {new_name(export.name)}. All of it is read, and cards that were "
        "moved are not sent again."
    )
    yield Step(
        "Once that was carried, or if the cards can never be had, take the old file off the list",
        give_up(export.name, given),
    )


def _fact(export: WaitingExport, inbox: Path, lies: Path | None) -> str:
    """Say how much of an export is not done, and why."""
    of = "" if export.rows_in_file is None else f" of the {rows(export.rows_in_file)}"
    count = f"{export.rows:,}{of}" if of else rows(export.rows)
    told = (
        f"NOT FINISHED: {count} of {export.name} {agreeing(export.rows, 'was', 'were')} not moved; "
    )
    if export.refused is not None:
        told += f"it was refused ({export.refused}), "
    elif export.cut_off_run is not None:
        told += f"its run of {export.cut_off_run} was killed, "
    else:
        told += "its run ended early, "
    if lies is not None:
        return f"{told}and the file lies in {lies.parent}."
    by = "" if export.refused is not None else " (Cardferry did not move it)"
    return f"{told}and the file is no longer in {inbox}{by}."


def _found(export: WaitingExport, inbox: Path) -> Path | None:
    """Find the file where this command leaves it; another one may have come under its name."""
    places = (inbox / place / export.name for place in ("", REFUSED_FOLDER, DONE_FOLDER))
    return next((path for path in places if sha256_of(path) == export.sha256), None)
