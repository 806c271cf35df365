"""Words what can be done next with a folder as a run or retry left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cli.advice import Given, Step, open_steps, report_steps, rows, rows_named
from pipeline.cli.waiting_words import waiting_step
from pipeline.counts import agreeing
from pipeline.errors import ExportRefused
from pipeline.failure_codes import FAILURE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.migration.run_request import Ending


def new_failures(ending: Ending) -> Iterator[str]:
    """Say how many rows of a run failed for which reason, a reason a line."""
    for code, count in ending.this_run.failures.items():
        yield f"{count:,} {code}: {FAILURE_CODES[code].meaning}"


def next_steps(ending: Ending, given: Given) -> Iterator[Step]:
    """Give what can be done with a folder as a run left it, the most urgent first."""
    # Of an export that was refused once its rows were planned the same command sends nothing.
    is_refused = isinstance(ending.trouble, ExportRefused)
    if (waiting := ending.this_run.waiting) and not is_refused:
        still = f"still {agreeing(waiting, 'waits', 'wait')}"
        yield Step(f"{rows(waiting)} of these exports {still}: the same command goes on")
    if ending.chosen is not None and (left_out := ending.chosen.left_out) and not is_refused:
        are = agreeing(left_out, "is", "are")
        yield Step(
            f"{rows(left_out)} of these exports {are} left out: the same command without `--only` carries {agreeing(left_out, 'it', 'them')}"
        )
    for export in ending.waiting:
        yield waiting_step(export, given)
    figures = ending.this_run.figures
    named = {state: figures.get(f"{state}_rows", ()) for state in ("rejected", "held")}
    ended = dict(ending.this_run.rows)
    if is_refused and (count := ended.pop("rejected", 0)):
        yield _unsent_step(count, named["rejected"], given)
    yield from open_steps(ended, given, ending.this_run.unseen_of_exports, named)
    if ending.figures is not None:
        yield from report_steps(given)


def _unsent_step(count: int, first: Sequence[Mapping[str, Any]], given: Given) -> Step:
    """Say of rows of a refused export that the others of its rows did not move, either."""
    return Step(
        f"{rows(count)} rejected{rows_named(first, count)}, and nothing was sent, the sound rows neither: "
        f"{given.folder / 'failures.csv'} lists {agreeing(count, 'it', 'them')}"
    )
