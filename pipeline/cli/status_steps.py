"""Words what can be done about a migration as `status` finds it: a command wherever one can work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.advice import (
    STATES_WITH_STEPS,
    Given,
    Step,
    command,
    open_steps,
    publish_step,
    shown_path,
)
from pipeline.cli.waiting_words import give_up_step, refused_step, waiting_step
from pipeline.migration.run_account import ROWS_NAMED, WaitingExport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def steps_of(tree: Mapping[str, Any], folder: Path) -> Iterator[Step]:
    """Give what can be done next, the most urgent first.

    Args:
        tree: What `migration.status.status_of` found.
        folder: The migration folder.
    """
    last = tree["last_run"] or {}
    settings = last.get("settings_file")
    # Where the last run found its exports; an inbox may have moved them since.
    places = [Path(place) for place in last.get("exports_in", ())]
    places += [place / name for name in ("done", "refused") for place in places]
    given = Given(folder, (), Path(settings) if settings else None, (), beside_others=True)
    for tree_of_export in tree["waiting_exports"]:
        export = WaitingExport(**tree_of_export)
        if tree["running"] and export.refused is None:
            # Whoever is at work may have been given it; what is left is told once that has ended.
            continue
        yield _of_settings(waiting_step(export, replace(given, exports=_in(places, export.name))))
        if _found(export.name, places) is None or export.refused is not None:
            yield give_up_step(export, given, _found(f"{export.name}.reason.txt", places))
    if tree["open"] and not tree["running"] and not tree["lists_are_current"]:
        yield publish_step(given)
    # Of an export that was refused as a whole the sound rows wait, too: that is told above.
    unsent = {export["sha256"] for export in tree["waiting_exports"] if export["refused"]}
    for state in STATES_WITH_STEPS:
        having = [each for each in tree["open"] if each["state"] == state]
        if state == "rejected":
            having = [each for each in having if each["sha256"] not in unsent]
        yield from _about(state, having, places, given)
    for export in tree["refused"]:
        yield refused_step(export, given, _found(f"{export['name']}.reason.txt", places))


def _about(
    state: str, having: Sequence[Mapping[str, Any]], places: Sequence[Path], given: Given
) -> Iterator[Step]:
    """Give what is done about the rows of some exports that ended in one way."""
    names = list(dict.fromkeys(each["export"] for each in having))
    paths = [path for name in names if (path := _found(name, places)) is not None]
    unseen = sum(each["unseen_tokens_max"] for each in having)
    total = {state: sum(each["rows"] for each in having)}
    first = [{"export": e["export"], "row": row} for e in having for row in e["first_rows"]]
    named = {state: first[:ROWS_NAMED]}
    for step in open_steps(total, replace(given, exports=paths), unseen, named):
        told = _of_settings(step)
        if told.command is not None and len(paths) < len(names):
            told = told._replace(command=None)
        if step.command is not None and told.command is None:
            held = " --held" if step.command.split()[-1] == "--held" else ""
            retry = f"`{command('retry', shown_path(given.folder))} EXPORT... -c CONFIG{held}` does"
            told = Step(f"{step.why}: {retry}, with the settings of its run and {', '.join(names)}")
        yield told


def _of_settings(step: Step) -> Step:
    """Take the command away where nobody knows the settings that it has to be given."""
    if step.command is None or " -c " in step.command:
        return step
    return Step(step.why)


def _in(places: Sequence[Path], name: str) -> list[Path]:
    return [place / name for place in places]


def _found(name: str, places: Sequence[Path]) -> Path | None:
    return next((path for path in [*_in(places, name), Path(name)] if path.exists()), None)
