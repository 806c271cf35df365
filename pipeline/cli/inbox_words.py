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
    waiting_step,
)
from pipeline.cli.flow_words import troubles_named
from pipeline.failure_codes import FAILURE_CODES
from pipeline.migration.run_account import WaitingExport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.migration.inbox import Entry, Pass

_BEFORE_ANYTHING_ELSE: Final = frozenset({1, 2, 8, 9})
"""After these exit codes no look may go on before somebody has looked."""

_RESEND: Final = "Have it sent again."


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
        for line in _more(entry, given):
            terminal.say(f"  {line}", always=always)
    always = made.exit_code != 0
    _tell_steps(terminal, list(_steps_of(made, given)), always=always)
    for name in made.untried:
        terminal.say(f"{name}: not tried; the next look takes it", always=True)
    for export in waiting_of(made):
        _tell_steps(terminal, [waiting_step(export, given)], always=always)
    if _asks_to_look(made) and (given.folder / "report.html").exists():
        _tell_steps(terminal, [report_step(given)], always=always)


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
            yield Step(f"{entry.name} was refused. {_resend(entry, given)}")
        if entry.outcome == "stopped":
            why = f"{entry.name} was stopped: {entry.reason}. {' '.join(_after_stop(entry))}"
            yield Step(why.replace(":\n  - ", ": "))
    yield from _steps_of(made, given)
    for export in waiting_of(made):
        yield waiting_step(export, given)
    if _asks_to_look(made):
        yield report_step(given)


def _asks_to_look(made: Pass) -> bool:
    """Tell whether a person is to look at the folder: something failed, or something waits."""
    return made.exit_code != 0 or bool(waiting_of(made))


def waiting_of(made: Pass) -> list[WaitingExport]:
    """Give the exports whose rows wait and that lie no longer in the inbox."""
    told = [e.answer["waiting_exports"] for e in made.entries if "waiting_exports" in e.answer]
    here = {*(entry.name for entry in made.entries), *made.untried, *made.unfinished}
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


def _more(entry: Entry, given: Given) -> Iterator[str]:
    """Say why an export ended as it did, and what is done about it where no command does it."""
    if entry.outcome == "refused":
        if entry.path is not None:
            digest = entry.sha256 or "unknown"
            yield f"it lies in {entry.path.parent} now, with its reason beside it (SHA-256 {digest})"
        yield _resend(entry, given)
        return
    run: dict[str, Any] = entry.answer.get("this_run", {})
    if troubles := run.get("troubles"):
        yield f"trouble with the vault: requests met {troubles_named(troubles)}"
    for code, count in run.get("failures", {}).items():
        yield f"{count:,} {code}: {FAILURE_CODES[code].meaning}"
    if entry.outcome == "stopped":
        yield from _after_stop(entry)


def _after_stop(entry: Entry) -> Iterator[str]:
    """Say what is done about an export that was stopped, and what the next look does."""
    if step := entry.answer.get("next_step"):
        yield step
    if entry.exit_code in _BEFORE_ANYTHING_ELSE:
        yield "every look stops here until that is cleared up"
    else:
        yield "the next look goes on with it"


def _resend(entry: Entry, given: Given) -> str:
    """Say what is done about a refused export, and where what comes instead of it is to go."""
    step = entry.answer.get("next_step") or _RESEND
    return (
        f"{step} What comes instead of it goes into {given.inbox} (this file, too, once our settings or "
        "keys were all that was wrong), under this name or another that ends alike; it is taken once it has been left alone for a while, or at once where an empty "
        f"file of its name with .done behind ({entry.name}.done) lies beside it"
    )


def _steps_of(made: Pass, given: Given) -> Iterator[Step]:
    """Give what goes on with what was stopped, and what is done about rows that did not move.

    One command does it for all exports that hold some.
    """
    stops = {entry.exit_code for entry in made.entries if entry.outcome == "stopped"}
    if stops - _BEFORE_ANYTHING_ELSE:
        yield look_again_step(given)
    for state in STATES_WITH_STEPS:
        having = [entry for entry in made.entries if _ended(entry, state)]
        exports = [entry.path for entry in having if entry.path is not None]
        unseen = sum(e.answer["this_run"].get("unseen_tokens_max", 0) for e in having)
        total = {state: sum(_ended(entry, state) for entry in having)}
        rejected = [row for e in having for row in e.answer["this_run"].get("rejected_rows", ())]
        named = {"rejected": rejected}
        yield from open_steps(total, replace(given, exports=exports), unseen, named)


def _ended(entry: Entry, state: str) -> int:
    return int(entry.answer.get("this_run", {}).get("rows", {}).get(state, 0))


def _tell_steps(terminal: Terminal, steps: Sequence[Step], *, always: bool) -> None:
    for why, command in steps:
        terminal.say(f"  {why}{':' if command else ''}", always=always)
        if command is not None:
            terminal.say_command(command, always=always)
