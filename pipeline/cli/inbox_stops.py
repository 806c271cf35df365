"""Words what is done about an export that a look into an inbox stopped at, and what goes on with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline.cli.advice import Step, look_again_step, rows
from pipeline.cli.inbox_refusals import SENTENCE_END, command_below
from pipeline.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cli.advice import Given
    from pipeline.migration.inbox import Entry, Pass

LOOK: Final = re.compile(r"\b(?:[Tt]he next|[Ee]very) look\b")
LOOK_MEANS: Final = "(each call of `cardferry inbox` is one look)"

_BEFORE_ANYTHING_ELSE: Final = frozenset({1, 2, 8, 9})
"""After these exit codes no look may go on before somebody has looked."""

_RUN_AGAIN: Final = re.compile(
    r"(?:^|,? (?:then |and )?|\. Then )[Rr]un the same command again(?: to go on)?(?=[.;]| when)"
)
"""What a run says to whoever started it; a look starts the next one by itself."""


def without_run_again(advice: str) -> str:
    """Give an advice without the demand to run the same command again, which the next look does."""
    told = _RUN_AGAIN.sub("", advice).strip(" ;")
    return "" if told.strip(".") == "" or told.startswith("when ") else told


def stop_steps(entry: Entry) -> Iterator[Step]:
    """Give what is done about an export that was stopped, a thought a step."""
    advice = without_run_again(entry.answer.get("next_step") or "")
    if advice:
        yield from map(command_below, SENTENCE_END.split(advice))
    if entry.exit_code in _BEFORE_ANYTHING_ELSE:
        yield Step(_nothing_goes_on(entry, advice))


def _nothing_goes_on(entry: Entry, advice: str) -> str:
    """Say that no look goes on, and what becomes of the export then."""
    told = "Every look stops here until that is cleared up."
    if "--restore" in advice and "this_run" not in entry.answer:
        told = f"Every look stops here until then; this one sent nothing of {entry.name}, the first one after that takes it."
    return told


def goes_on_step(entry: Entry, given: Given) -> Iterator[Step]:
    """Give what goes on with a stopped export by itself, and the command that does so now."""
    if entry.exit_code in _BEFORE_ANYTHING_ELSE:
        return
    waiting = entry.answer.get("this_run", {}).get("waiting", 0)
    what = f"{rows(waiting)} of {entry.name}" if waiting else entry.name
    yield Step(
        f"The next look goes on by itself with {what}; or now", look_again_step(given).command
    )


def after_refusal_step(made: Pass, given: Given) -> Step:
    """Give what carries the files that a look with refused settings left where they were."""
    count = len(made.untried)
    what = (
        f"the {counted(count, 'export')}" if count > 1 else ("the export" if count else "what lies")
    )
    why = f"No export was looked at. The next look {LOOK_MEANS} goes on by itself with {what} in {given.inbox}"
    return Step(f"{why}; or now, once that is mended", look_again_step(given).command)
