"""Looks into an inbox once or again and again, and tells what each look came to.

Every export is carried by a process of its own, whose command line is made here.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.cards.detect import without_numbers
from pipeline.cli.advice import doubt_words
from pipeline.cli.child_runs import KILLED, ChildRuns
from pipeline.cli.inbox_refusals import refusal_lines
from pipeline.cli.inbox_stops import after_refusal_step
from pipeline.cli.inbox_words import (
    next_of,
    steps_of_one,
    tell_look,
    tell_unfinished,
    unfinished_of,
    waiting_of,
)
from pipeline.cli.running import watch_command
from pipeline.clock import SystemClock
from pipeline.config.loading import read_settings
from pipeline.disk import private_folder
from pipeline.errors import CardferryError, MigrationLocked, SettingsRefused, VaultUnavailable
from pipeline.ledger.lock import migration_lock
from pipeline.migration.inbox import Inbox, InboxRules, Pass, left_alone
from pipeline.migration.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.config.loading import ReadSettings
    from pipeline.migration.inbox import Carried, Entry
    from pipeline.migration.inbox_files import InboxFile
    from pipeline.migration.watch import Watch

LOCK_NAME: Final = ".inbox.lock"
_GO_ON: Final = frozenset({0, 3, 6, VaultUnavailable.exit_code, MigrationLocked.exit_code})
"""Exit codes of a pass after which another look, later, makes sense."""

_WORST_LAST: Final = (0, 3, 6, 4, 11, 5, 7, 8, 9, 2, 1)


def carry_inbox(terminal: Terminal, given: Given, *, wait_s: float, every_s: float | None) -> int:
    """Carry what lies in an inbox, tell monitors and people of it, and give the exit code.

    Args:
        terminal: Where words go.
        given: The inbox, the migration folder and the settings of the command line.
        wait_s: How long to wait for another run of the folder to end.
        every_s: The time between two looks; None for one look.

    Raises:
        CardferryError: It could not begin.
    """
    found = read_settings(given.config_file, os.environ, given.overrides)
    watch = watch_command(terminal, found, given.folder, carries=False)
    try:
        found.refuse()
    except SettingsRefused as refused:
        return _tell_refused(terminal, refused, found, given)
    private_folder(given.folder)
    passes, stopped = _look(terminal, found, watch, given, wait_s=wait_s, every_s=every_s)
    terminal.when_ended = lambda code, tree: watch.end(code, tree, notify=_is_news(passes, code))
    code = stopped or _worst(passes)
    terminal.answer = _tree(passes, code, given)
    if terminal.as_json:
        terminal.print_json(terminal.answer)
    return code


def _look(
    terminal: Terminal,
    found: ReadSettings,
    watch: Watch,
    given: Given,
    *,
    wait_s: float,
    every_s: float | None,
) -> tuple[list[Pass], int | None]:
    """Look once, or again and again; give what the looks came to, and 128 plus a stopping signal."""
    settings, folder, out = found.settings, given.inbox or Path(), given.folder
    command = _command(terminal, given, wait_s)
    passes: list[Pass] = []
    with ChildRuns() as stopping, migration_lock(out, LOCK_NAME, wait_s=wait_s):
        rules = InboxRules(
            given.quiet_s,
            plain=settings.export.allow_plaintext,
            when_done=settings.watch.inbox_done,
        )

        def carry(file: InboxFile) -> Carried:
            return _with_doubt(stopping.run(command(file)), out)

        worker = Inbox(
            folder, out, rules, carry, SystemClock(), partial(refusal_lines, given=given)
        )
        while not stopping.seen:
            if passes and not passes[-1].entries:
                # Of looks that found nothing only the last is kept: there may be years of them.
                passes.pop()
            passes.append(worker.empty())
            tell_look(terminal, passes[-1], given)
            if every_s is None:
                tell_unfinished(terminal, passes[-1])
            if every_s is None or passes[-1].exit_code not in _GO_ON:
                break
            _tell_monitors(watch, passes[-1], given)
            stopping.wait(every_s)
    return passes, stopping.exit_code


def _tell_refused(
    terminal: Terminal, refused: SettingsRefused, found: ReadSettings, given: Given
) -> int:
    """Tell of settings that are wrong, and of the exports that wait for better ones."""
    plain = found.settings.export.allow_plaintext
    rules = InboxRules(given.quiet_s, plain=plain, when_done="leave")
    made = left_alone(given.inbox or Path(), given.folder, rules, SystemClock())
    step = after_refusal_step(made, given)
    terminal.tell(refused, _tree([made], refused.exit_code, given) | {"next": [step._asdict()]})
    terminal.say(f"  {step.why}:", always=True)
    terminal.say_command(step.command or "", always=True)
    return refused.exit_code


def _command(terminal: Terminal, given: Given, wait_s: float) -> Callable[[InboxFile], list[str]]:
    """Give what builds the command line that carries one export."""
    options = ["-o", str(given.folder.absolute()), "--yes", "--json", "--within-inbox"]
    options += ["--wait-lock", f"{wait_s:g}s"]
    if given.config_file is not None:
        options += ["-c", str(given.config_file.absolute())]
    options += [word for override in given.overrides for word in ("--set", override)]
    options += ["-v"] * terminal.verbosity if terminal.verbosity > 0 else []
    options += ["-q"] if terminal.quiet else []
    options += ["--log-format", terminal.log_format]
    if terminal.log_file is not None:
        options += ["--log-file", str(terminal.log_file.absolute())]
    # -P: a folder named like our package in the current folder must not be taken for it.
    start = [sys.executable, "-P", "-m", "pipeline", "run"]

    def command(file: InboxFile) -> list[str]:
        wanted = [] if file.sha256_beside is None else ["--sha256-beside", file.sha256_beside]
        return [*start, *options, *wanted, "--", str(file.path.absolute())]

    return command


def _with_doubt(ended: Carried, out: Path) -> Carried:
    """Add to the end of a run that was killed what becomes of the rows that it had under way."""
    if ended.answer.get("kind") != KILLED:
        return ended
    try:
        doubt = status_of(out, SystemClock())["in_doubt"]
    except CardferryError:
        # The next look says what is wrong with the ledger.
        return ended
    if doubt is None:
        return ended
    words = doubt_words(doubt["rows"], doubt["then"])
    return replace(ended, answer={**ended.answer, "next_step": words, "in_doubt": doubt})


def _tell_monitors(watch: Watch, made: Pass, given: Given) -> None:
    """Show and tell how a pass ended that others follow, and that the next one begins."""
    watch.end(
        made.exit_code,
        _tree([made], made.exit_code, given),
        notify=_is_news([made], made.exit_code),
    )
    watch.begin()


def _is_news(passes: Sequence[Pass], code: int) -> bool:
    """Tell whether anything happened that a person may want to read."""
    return bool(code) or any(made.entries for made in passes)


def _worst(passes: Sequence[Pass]) -> int:
    """Give the code that a person has to know of first."""
    codes = [made.exit_code for made in passes]
    return max(codes, key=lambda c: _WORST_LAST.index(c) if c in _WORST_LAST else 99, default=0)


def _run_of(entry: Entry, made: Pass, given: Given) -> dict[str, Any]:
    """Give what a run said of itself, with the steps that are true once its file was put away."""
    answer = dict(entry.answer)
    if "next" in answer:
        answer["next"] = [step._asdict() for step in steps_of_one(entry, made, given)]
    return answer


def _tree(passes: Sequence[Pass], code: int, given: Given) -> dict[str, Any]:
    return {
        "exit_code": code,
        "exports": [
            {
                "name": entry.name,
                "outcome": entry.outcome,
                "exit_code": entry.exit_code,
                "reason": entry.reason,
                "path": None if entry.path is None else without_numbers(str(entry.path)),
                "sha256": entry.sha256,
                "run": _run_of(entry, made, given),
            }
            for made in passes
            for entry in made.entries
        ],
        "unfinished": unfinished_of(passes[-1]) if passes else [],
        "not_taken": list(passes[-1].unfinished) if passes else [],
        "untried": list(passes[-1].untried) if passes else [],
        "waiting_exports": [asdict(export) for export in waiting_of(passes[-1])] if passes else [],
        "next": [step._asdict() for made in passes for step in next_of(made, given)],
    }
