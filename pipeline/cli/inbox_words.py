"""Words what a look into an inbox came to: a line an export, and below it what mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.advice import (
    STATES_WITH_STEPS,
    Step,
    look_again_step,
    open_steps,
    report_step,
)
from pipeline.cli.flow_words import troubles_named
from pipeline.cli.inbox_refusals import SENTENCE_END, arrival_steps, is_unsent, refusal_steps
from pipeline.cli.inbox_waiting import unfinished_steps
from pipeline.failure_codes import FAILURE_CODES
from pipeline.migration.run_account import WaitingExport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.migration.inbox import Entry, Pass

_BEFORE_ANYTHING_ELSE: Final = frozenset({1, 2, 8, 9})
"""After these exit codes no look may go on before somebody has looked."""


def tell_look(terminal: Terminal, made: Pass, given: Given) -> None:
    """Say what became of each export of a look, and of those that nobody gave.

    With -q only what somebody has to look at is said.

    Args:
        terminal: Where words go.
        made: What the look came to.
        given: The migration folder, the inbox and the settings.
    """
    for entry in made.entries:
        always = entry.exit_code != 0
        terminal.say(f"{entry.name}: {_ending(entry)}", always=always)
        _tell_steps(terminal, _more(entry, given), always=always)
    always = made.exit_code != 0
    _tell_steps(terminal, _steps_of(made, given), always=always)
    for name in made.untried:
        terminal.say(f"{name}: not tried; the next look takes it", always=True)
    _tell_steps(terminal, _last_step(made, given), always=always)


def tell_unfinished(terminal: Terminal, made: Pass) -> None:
    """Say which files a look left alone, to whoever wonders why nothing happened."""
    for name in made.unfinished:
        terminal.say(
            f"{name}: not taken yet, as it was touched a moment ago or is still being written; an empty "
            f"file called {name}.done beside it says that it is finished"
        )


def next_of(made: Pass, given: Given) -> Iterator[Step]:
    """Give what is to be done after a look, the most urgent first, for programs."""
    for entry in made.entries:
        if entry.outcome == "refused":
            first, *others = refusal_steps(entry, given)
            yield Step(f"{entry.name} was refused. {first.why}", first.command)
            yield from others
        if entry.outcome == "stopped":
            why = f"{entry.name} was stopped: {entry.reason}. {' '.join(_after_stop(entry))}"
            yield Step(why.replace(":\n  - ", ": "))
    yield from _steps_of(made, given)
    yield from _last_step(made, given)


def _last_step(made: Pass, given: Given) -> Iterator[Step]:
    """Ask a person to look at the folder, if something failed or something waits."""
    is_asked = made.exit_code != 0 or waiting_of(made)
    if is_asked and (given.folder / "report.html").exists():
        yield report_step(given, is_all=False)


def waiting_of(made: Pass) -> list[WaitingExport]:
    """Give the exports whose rows wait and that lie no longer in the inbox."""
    told = [e.answer["waiting_exports"] for e in made.entries if "waiting_exports" in e.answer]
    here = {e.name for e in made.entries if e.outcome != "refused"}
    here |= {*made.untried, *made.unfinished}
    found = [WaitingExport(**export) for export in (told[-1] if told else ())]
    return [export for export in found if export.name not in here]


def _ending(entry: Entry) -> str:
    """Say what became of one export, with the rows of this look."""
    reason = (entry.reason or "").removeprefix(f"{entry.name}: ")
    if entry.outcome == "refused":
        return f"refused and put aside: {reason}"
    run = entry.answer.get("this_run", {})
    counts = [f"{n:,} {state.replace('_', ' ')}" for state, n in run.get("rows", {}).items() if n]
    if run.get("waiting"):
        counts.append(f"{run['waiting']:,} waiting")
    told = f" ({', '.join(counts)})" if counts else ""
    if entry.outcome == "stopped":
        return f"stopped{told}: {reason}"
    return f"carried{', with new failures' if entry.exit_code else ''}{told}"


def _more(entry: Entry, given: Given) -> Iterator[Step]:
    """Say why an export ended as it did, and what is done about it."""
    if entry.outcome == "refused":
        if entry.path is not None:
            digest = entry.sha256 or "unknown"
            lies = f"it lies in {entry.path.parent} now, with its reason beside it"
            yield Step(f"{lies} (SHA-256 {digest})")
        yield from refusal_steps(entry, given)
        return
    run: dict[str, Any] = entry.answer.get("this_run", {})
    if troubles := run.get("troubles"):
        yield Step(f"trouble with the vault: requests met {troubles_named(troubles)}")
    for code, count in run.get("failures", {}).items():
        yield Step(f"{count:,} {code}: {FAILURE_CODES[code].meaning}")
    if entry.outcome == "stopped":
        yield from map(Step, _after_stop(entry))


def _after_stop(entry: Entry) -> Iterator[str]:
    """Say what is done about an export that was stopped, and what the next look does."""
    if step := entry.answer.get("next_step"):
        yield from SENTENCE_END.split(step)
    if entry.exit_code in _BEFORE_ANYTHING_ELSE:
        yield "every look stops here until that is cleared up"
    else:
        yield "the next look goes on with it"


def _steps_of(made: Pass, given: Given) -> Iterator[Step]:
    """Give what ends the wait for files that are gone, goes on, and is done about rows.

    One command does it for all exports that hold some.
    """
    # What was refused in this look is told of with its refusal.
    told = {entry.sha256 for entry in made.entries if is_unsent(entry)}
    for export in waiting_of(made):
        if given.inbox is not None and export.sha256 not in told:
            yield from unfinished_steps(export, given, given.inbox)
    stops = {entry.exit_code for entry in made.entries if entry.outcome == "stopped"}
    if stops - _BEFORE_ANYTHING_ELSE:
        yield look_again_step(given)
    for state in STATES_WITH_STEPS:
        having = [entry for entry in made.entries if _ended(entry, state)]
        if state == "rejected":
            having = [entry for entry in having if not is_unsent(entry)]
        exports = [entry.path for entry in having if entry.path is not None]
        unseen = sum(e.answer["this_run"].get("unseen_tokens_max", 0) for e in having)
        total = {state: sum(_ended(entry, state) for entry in having)}
        rejected = [row for e in having for row in e.answer["this_run"].get("rejected_rows", ())]
        named = {"rejected": rejected}
        yield from open_steps(total, replace(given, exports=exports), unseen, named)
    yield from arrival_steps(made.entries, given)


def _ended(entry: Entry, state: str) -> int:
    return int(entry.answer.get("this_run", {}).get("rows", {}).get(state, 0))


def _tell_steps(terminal: Terminal, steps: Iterable[Step], *, always: bool) -> None:
    for why, command in steps:
        terminal.say(f"  {why}{':' if command else ''}", always=always)
        if command is not None:
            terminal.say_command(command, always=always)
