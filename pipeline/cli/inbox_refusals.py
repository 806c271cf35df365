"""Words what is done about an export that an inbox has put aside: whom to ask, and what to move back."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.advice import Step, command, new_name, rows, rows_named, shown_path
from pipeline.cli.durations import duration
from pipeline.cli.waiting_words import give_up
from pipeline.counts import agreeing
from pipeline.errors import ExportDamaged
from pipeline.failure_codes import FAILURE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.advice import Given
    from pipeline.migration.inbox import Entry

_RESEND: Final = "Have it sent again."
_SENTENCE_END: Final = re.compile(r"(?<=[.;]) (?=[A-Z])")


def is_unsent(entry: Entry) -> bool:
    """Tell whether an export was refused once its rows were planned: they wait, and none was sent."""
    return entry.outcome == "refused" and _waiting(entry) > 0


def refusal_steps(entry: Entry, given: Given) -> Iterator[Step]:
    """Give what is done about one refused export, a thought a step.

    Args:
        entry: The export, and what its process said.
        given: The migration folder, the inbox and the settings.
    """
    if is_unsent(entry):
        yield from _unsent_steps(entry, given)
        return
    for sentence in _SENTENCE_END.split(entry.answer.get("next_step") or _RESEND):
        yield Step(
            sentence.replace("the settings file", str(given.config_file or "the settings file"))
        )
    if entry.answer.get("kind") == ExportDamaged.__name__:
        yield Step("Do not put this file back; delete it once its cards are in.")
        if entry.sha256:
            yield Step(
                "If the sender's file has the SHA-256 of this one, it must be made anew; if not, "
                "sending the same file again is enough."
            )
    elif entry.path is not None:
        yield _back_step(
            "Only if something is changed for it on our side, move this file back", entry, given
        )


def arrival_steps(entries: Sequence[Entry], given: Given) -> Iterator[Step]:
    """Say once for all refused exports where what comes instead goes, and when it is taken."""
    refused = [entry.name for entry in entries if entry.outcome == "refused"]
    if not refused:
        return
    ending = "".join(Path(refused[0]).suffixes[-2:])
    again = new_name(refused[0])
    yield Step(
        f"What comes instead of a refused file goes into {given.inbox}, under any name ending in {ending}."
    )
    yield Step(
        f"The next look takes it, if nobody has touched it for {duration(given.quiet_s)} by then or an empty file "
        f"of its name with .done behind lies beside it (such as {again}.done). A look now",
        _look(given),
    )


def _unsent_steps(entry: Entry, given: Given) -> Iterator[Step]:
    """Give what is done about a file of which too many rows fail for any of it to be sent."""
    run: dict[str, Any] = entry.answer["this_run"]
    for code, count in run.get("failures", {}).items():
        yield Step(f"{count:,} {code}: {FAILURE_CODES[code].meaning}")
    waiting, failed = _waiting(entry), int(run.get("rows", {}).get("rejected", 0))
    if failed:
        which = rows_named(run.get("rejected_rows", ()), failed)
        yield Step(f"{rows(failed)} rejected{which}: {given.folder / 'failures.csv'} lists them")
        sound = f"its {waiting:,} sound {agreeing(waiting, 'row', 'rows')}"
        yield Step(f"nothing of this file was sent, {sound} neither")
    else:
        # Its rows were known before: some of them may have been sent by an earlier run.
        waits = agreeing(waiting, "waits", "wait")
        yield Step(f"nothing of this file was sent now: {rows(waiting)} of it still {waits}")
    path = entry.path or (given.inbox or Path()) / entry.name
    check = command("check", shown_path(path), *given.settings)
    yield Step("This shows what fails in it, and sends nothing", check)
    it = agreeing(failed, "this row", "these rows")
    yield Step(
        f"Ask for the whole file with {it} corrected, and drop it into {given.inbox} under a new name, "
        f"such as {new_name(entry.name)}."
    )
    yield Step("Once that was carried, take this file off the list", give_up(entry.name, given))
    yield _back_step(
        f"Or raise rules.max_failure_rate{_named(given)}, and move this file back", entry, given
    )


def _look(given: Given) -> str:
    """Give the command that looks into the inbox again."""
    inbox = shown_path(given.inbox or Path())
    options = (*given.settings, "-o", shown_path(given.folder), *given.patience)
    return command("inbox", inbox, *options)


def _back_step(why: str, entry: Entry, given: Given) -> Step:
    """Give what moves a file from where it was put aside into the inbox; None was moved, none is."""
    return Step(why, None if entry.path is None else move_back(entry.path, given))


def move_back(path: Path, given: Given) -> str:
    """Give the command that moves a file that was put aside into the inbox."""
    inbox = shown_path(given.inbox or Path())
    return f"mv {quote(shown_path(path))} {quote(f'{inbox}/')}"


def _named(given: Given) -> str:
    """Name the settings file, if there is one."""
    return "" if given.config_file is None else f" in {given.config_file}"


def _waiting(entry: Entry) -> int:
    return int(entry.answer.get("this_run", {}).get("waiting", 0))
