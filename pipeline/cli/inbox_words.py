"""Words what a look into an inbox came to: a line an export, and below it what mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.cli.advice import STATES_WITH_STEPS, Step, open_steps, report_steps
from pipeline.cli.flow_words import troubles_named
from pipeline.cli.inbox_refusals import arrival_steps, is_unsent, refusal_steps
from pipeline.cli.inbox_stops import LOOK, LOOK_MEANS, goes_on_step, stop_steps
from pipeline.cli.inbox_waiting import unfinished_steps
from pipeline.failure_codes import FAILURE_CODES
from pipeline.logs import lines_of_run
from pipeline.migration.run_account import WaitingExport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.migration.inbox import Entry, Pass


class _Line(NamedTuple):
    text: str
    command: str | None
    always: bool
    run_id: str | None = None


def tell_look(terminal: Terminal, made: Pass, given: Given) -> None:
    """Say what became of each export of a look, and of those that nobody gave.

    With -q only what somebody has to look at is said.

    Args:
        terminal: Where words go.
        made: What the look came to.
        given: The migration folder, the inbox and the settings.
    """
    for text, command, always, run_id in _explained(_lines(made, given)):
        with lines_of_run(run_id):
            terminal.say(text, always=always)
            if command is not None:
                terminal.say_command(command, always=always)


def _lines(made: Pass, given: Given) -> Iterator[_Line]:
    """Give what is said of a look, a line with the command that stands below it, if one does."""
    for entry in made.entries:
        always = entry.exit_code != 0
        run_id = entry.answer.get("run_id")
        yield _Line(f"{entry.name}: {_ending(entry)}", None, always, run_id)
        for line in _indented(_more(entry, given), always=always):
            yield line._replace(run_id=run_id)
    always = made.exit_code != 0
    yield from _indented(_steps_of(made, given), always=always)
    for name in made.untried:
        yield _Line(f"{name}: not tried; the next look takes it", None, always=True)
    yield from _indented(_last_step(made, given), always=always)


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
            yield Step(f"{entry.name} was stopped: {entry.reason}.".replace(":\n  - ", ": "))
            yield from stop_steps(entry)
        if entry.outcome != "refused":
            yield from _rejected_steps(entry, given)
    yield from _steps_of(made, given)
    yield from _last_step(made, given)


def _last_step(made: Pass, given: Given) -> Iterator[Step]:
    """Ask a person to look at the folder, if something failed or something waits."""
    is_asked = made.exit_code != 0 or waiting_of(made)
    if is_asked and (given.folder / "report.html").exists():
        whole, verify = report_steps(given)
        yield whole
        if verify.command not in {step.command for e in made.entries for step in stop_steps(e)}:
            yield verify


def steps_of_one(entry: Entry, made: Pass, given: Given) -> list[Step]:
    """Give what is to be done about one export of a look, as its files lie once the look is over."""
    return list(next_of(replace(made, entries=(entry,)), given))


def unfinished_of(made: Pass) -> list[str]:
    """Name every export whose rows wait after a look, as the last run that could tell found them."""
    told = [e.answer["unfinished"] for e in made.entries if "unfinished" in e.answer]
    names: Sequence[str] = told[-1] if told else ()
    killed = [e.name for e in made.entries if "in_doubt" in e.answer]
    return list(dict.fromkeys([*names, *killed]))


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
        yield from stop_steps(entry)
    yield from _rejected_steps(entry, given)


def _rejected_steps(entry: Entry, given: Given) -> Iterator[Step]:
    """Give what is done about the rejected rows of one export whose other rows went on."""
    first = entry.answer.get("this_run", {}).get("rejected_rows", ())
    rejected = {"rejected": _ended(entry, "rejected")}
    yield from open_steps(rejected, given, named={"rejected": first})


def _steps_of(made: Pass, given: Given) -> Iterator[Step]:
    """Give what ends the wait for files that are gone, goes on, and is done about rows.

    One command does it for all exports that hold some.
    """
    # What was refused in this look is told of with its refusal.
    told = {entry.sha256 for entry in made.entries if is_unsent(entry)}
    for export in waiting_of(made):
        if given.inbox is not None and export.sha256 not in told:
            yield from unfinished_steps(export, given, given.inbox)
    for entry in made.entries:
        if entry.outcome == "stopped":
            yield from goes_on_step(entry, given)
    # Each export's rejected rows are told of with it: each needs a file of its own.
    for state in (state for state in STATES_WITH_STEPS if state != "rejected"):
        having = [entry for entry in made.entries if _ended(entry, state)]
        exports = [entry.path for entry in having if entry.path is not None]
        unseen = sum(_unseen(entry) for entry in having)
        total = {state: sum(_ended(entry, state) for entry in having)}
        named = {
            state: [row for e in having for row in e.answer["this_run"].get(f"{state}_rows", ())]
        }
        yield from open_steps(total, replace(given, exports=exports), unseen, named)
    yield from arrival_steps(made.entries, given)


def _unseen(entry: Entry) -> int:
    """Give how many tokens of an export may exist unseen, over all runs."""
    return int(entry.answer.get("given_exports", {}).get("unseen_tokens_max", 0))


def _ended(entry: Entry, state: str) -> int:
    return int(entry.answer.get("this_run", {}).get("rows", {}).get(state, 0))


def _indented(steps: Iterable[Step], *, always: bool) -> Iterator[_Line]:
    for why, command in steps:
        yield _Line(f"  {why}{':' if command else ''}", command, always)


def _explained(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Say what a look is where one is first spoken of."""
    is_told = False
    for line in lines:
        found = None if is_told else LOOK.search(line.text)
        if found is None:
            yield line
            continue
        is_told = True
        text = f"{line.text[: found.end()]} {LOOK_MEANS}{line.text[found.end() :]}"
        yield line._replace(text=text)
