"""Words what is done about an export that an inbox has put aside: whom to ask, and what to move back."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.advice import Step, look_again_step, new_name, rows, rows_named, shown_path
from pipeline.cli.durations import duration
from pipeline.cli.waiting_words import give_up
from pipeline.counts import agreeing
from pipeline.errors import ExportDamaged
from pipeline.exports.sealed_file import shown_name
from pipeline.failure_codes import FAILURE_CODES
from pipeline.migration.inbox_files import companions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.advice import Given
    from pipeline.migration.inbox import Entry

_RESEND: Final = "Ask the sender for it again."
SENTENCE_END: Final = re.compile(r"(?<=[.;]) (?=[A-Z`])")
"""Where an advice is parted, so that each thought of it has a line."""

_WITH_COMMAND: Final = re.compile(
    r"(.*?)`([^`]+ (?:check|doctor|publish|verify) [^`]+)` ([a-z].*?)\.?"
)
_GIVE_AGAIN: Final = "give this file again"
_DELETE: Final = "delete this file"
_RECOMMENDED: Final = "Recommended:"


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
    advice = entry.answer.get("next_step") or _RESEND
    for sentence in SENTENCE_END.split(advice):
        yield from _advised_steps(sentence, entry, given)
        if is_unsent(entry) and sentence.startswith(_RECOMMENDED):
            waits = agreeing(
                _waiting(entry), "its waiting row then counts", "its waiting rows then count"
            )
            done = f"Once what comes instead was carried, take this file off the list ({waits} as skipped)"
            yield Step(done, give_up(entry.name, given))
    if entry.answer.get("kind") == ExportDamaged.__name__:
        if entry.sha256:
            yield Step(
                f"Ask the sender for the SHA-256 of their file. If it is another than {_short(entry.sha256)}, "
                "this copy was damaged on its way: have them send theirs again. If it is the same, theirs "
                "is damaged: have it made anew."
            )
        yield _delete_step("Do not put this file back; once its cards are in, delete it", entry)
    elif entry.path is not None and _GIVE_AGAIN not in advice:
        why = f"Only once a setting or a key of ours was changed for it, {_GIVE_AGAIN}."
        yield from _advised_steps(why, entry, given)


def refusal_lines(entry: Entry, given: Given) -> Iterator[str]:
    """Give in lines what is done about one refused export, for the text that lies beside it."""
    for why, line in (*refusal_steps(entry, given), *arrival_steps([entry], given)):
        yield f"{why}:" if line else why
        if line:
            yield f"  {line}"


def arrival_steps(entries: Sequence[Entry], given: Given) -> Iterator[Step]:
    """Say once for all exports with refused or rejected rows where a new file goes, and who takes it."""
    refused = [entry.name for entry in entries if entry.outcome == "refused"]
    lacking = refused or [entry.name for entry in entries if _rejected(entry)]
    if not lacking:
        return
    if refused:
        ending = "".join(Path(refused[0]).suffixes[-2:])
        yield Step(
            f"What comes instead of a refused file goes into {given.inbox}, under any name ending in {ending}."
        )
    yield Step(
        f"The next look takes it once nobody has touched it for {duration(given.quiet_s)}. An empty file of "
        f"its name with .done behind (such as {new_name(lacking[0])}.done) spares that wait. Once it is there, "
        "a look now",
        look_again_step(given).command,
    )


def command_below(sentence: str) -> Step:
    """Give a sentence with its command on a line of its own, if it says what one does."""
    if found := _WITH_COMMAND.fullmatch(sentence):
        this = "this" if found[1] else "This"
        return Step(f"{found[1]}{this} {found[3]}", found[2])
    return Step(sentence)


def _advised_steps(sentence: str, entry: Entry, given: Given) -> Iterator[Step]:
    """Give a sentence of an advice with the command that does what it says, if one does."""
    if (step := command_below(sentence)).command is not None or entry.path is None:
        yield step
    elif _GIVE_AGAIN in sentence:
        told = sentence.replace(_GIVE_AGAIN, "move this file back").removesuffix(".")
        yield Step(told, move_back(entry.path, given))
    elif sentence.endswith(f"{_DELETE}."):
        yield _delete_step(sentence.removesuffix("."), entry)
        # A command of its own: another file of that name may have come, and not be carried yet.
        back = Path(given.inbox or Path()) / entry.path.name
        yield Step("Or, if it was moved back and carried, where it lies then", _shell("rm", back))
    else:
        yield Step(sentence)


def _delete_step(why: str, entry: Entry) -> Step:
    """Give what deletes a file where it was put aside, with what lies beside it; None was moved, none is."""
    if entry.path is None:
        return Step(why)
    beside = (*companions(entry.path), _reason_beside(entry.path))
    return Step(why, _shell("rm -f", entry.path, *beside))


def _unsent_steps(entry: Entry, given: Given) -> Iterator[Step]:
    """Say of a file of which too many rows fail that none of it was sent."""
    run: dict[str, Any] = entry.answer["this_run"]
    for code, count in run.get("failures", {}).items():
        yield Step(f"{count:,} {code}: {FAILURE_CODES[code].meaning}")
    waiting, failed = _waiting(entry), _rejected(entry)
    if failed:
        which = rows_named(run.get("rejected_rows", ()), failed)
        yield Step(f"{rows(failed)} rejected{which}: {given.folder / 'failures.csv'} lists them")
        sound = f"its {waiting:,} sound {agreeing(waiting, 'row', 'rows')}"
        yield Step(f"nothing of this file was sent, {sound} neither")
    else:
        # Its rows were known before: some of them may have been sent by an earlier run.
        waits = agreeing(waiting, "waits", "wait")
        yield Step(f"nothing of this file was sent now: {rows(waiting)} of it still {waits}")


def move_back(path: Path, given: Given) -> str:
    """Give the command that moves a file that was put aside into the inbox, with what says it is finished."""
    inbox = shown_path(given.inbox or Path())
    moved = _shell("mv", path, *companions(path))
    return f"{moved} {quote(f'{inbox}/')} && {_shell('rm -f', _reason_beside(path))}"


def _reason_beside(path: Path) -> Path:
    return path.with_name(f"{shown_name(path)}.reason.txt")


def _shell(program: str, *paths: Path) -> str:
    return " ".join([program, *(quote(shown_path(path)) for path in paths)])


def _short(sha256: str) -> str:
    return f"{sha256[:8]}..."


def _rejected(entry: Entry) -> int:
    return int(entry.answer.get("this_run", {}).get("rows", {}).get("rejected", 0))


def _waiting(entry: Entry) -> int:
    return int(entry.answer.get("this_run", {}).get("waiting", 0))
