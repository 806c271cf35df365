"""Words what can be done about rows that wait for a file, and about files that were refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.advice import Given, Step, command, rows, shown_path
from pipeline.counts import agreeing, counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.migration.run_account import WaitingExport

_ADD_WHY: Final = "add --reason and, in quotes, why"


def that_wait(export: WaitingExport) -> str:
    """Say that rows of an export wait."""
    return f"{rows(export.rows)} of {export.name} {agreeing(export.rows, 'waits', 'wait')}"


def give_again(export: WaitingExport) -> str:
    """Say that rows of an export wait, which a command that was not given it cannot send."""
    words = that_wait(export)
    if export.cut_off_run is not None:
        words += f" since the run of {export.cut_off_run} was killed"
    if export.refused is not None:
        words += f", as it was refused ({export.refused})"
        words += (
            ": have that corrected in a new file, or change the setting and give that file again"
        )
    else:
        words += ": give that file again"
    if spare := to_spare(export):
        words += f" ({spare[0].lower()}{spare[1:]})"
    return words


def to_spare(export: WaitingExport) -> str:
    """Say what it means that tokens of rows that wait may exist unseen; nothing where none may."""
    if not (unseen := export.unseen_tokens_max):
        return ""
    return f"At most {counted(unseen, 'card')} may get a second token, which nobody can use"


def waiting_step(export: WaitingExport, given: Given) -> Step:
    """Give what sends rows of an export that a command was not given.

    The ledger knows a file's name and digest, and not where it lay: a command is given only where
    it can work, which is with a file that lies beside the given ones, or here.
    """
    why, name = give_again(export), Path(export.name)
    beside = [path.parent / name for path in given.exports]
    found = next((path for path in [*beside, name] if path.exists()), None)
    if found is None:
        return Step(f"{why}, with the same settings and folder")
    return Step(why, run_again(found, given))


def run_again(path: Path, given: Given) -> str:
    """Give the command that carries one file into the migration."""
    options = ("-o", shown_path(given.folder), *given.settings, *given.patience)
    return command("run", shown_path(path), *options)


def give_up_step(export: WaitingExport, given: Given, beside: Path | None) -> Step:
    """Give what ends the wait for rows whose file is lost for good, or was refused.

    Args:
        export: The export, as the ledger knows it.
        given: The migration folder and the settings.
        beside: The text that an inbox put beside a refused file, if there is one.
    """
    when = "if that file is lost for good"
    if export.refused is not None:
        when = "once what comes instead of it was carried, or if its cards can never be had"
        when = when if beside is None else f"{shown_path(beside)} says how it is mended; {when}"
    return Step(
        f"{export.name}: {when}, its rows can be given up (SHA-256 {export.sha256}): nothing "
        f"of them is sent, the reason stays in the report, and the file itself undoes it; {_ADD_WHY}",
        give_up(export.name, given),
    )


def refused_step(export: Mapping[str, Any], given: Given, beside: Path | None) -> Step:
    """Give what is done about an export that was refused and not taken since.

    Args:
        export: Its name, digest and reason, as the ledger knows them.
        given: The migration folder and the settings.
        beside: The text that an inbox put beside the file, if there is one.
    """
    says = "" if beside is None else f"; {shown_path(beside)} says how"
    return Step(
        f"{export['name']} was refused ({export['why']}): have it sent again so that this is mended{says}. "
        "Once what comes instead of it was carried, or somebody has decided to do without it, take it off "
        f"this list; {_ADD_WHY}",
        give_up(export["name"], given),
    )


def give_up(name: str, given: Given) -> str:
    """Give the command that ends the wait for an export, but for the reason.

    A word in its place would be taken for the reason by whoever pastes the command; without it the
    command asks for one and does nothing.
    """
    options = (*given.settings, *given.patience)
    return command("give-up", shown_path(given.folder), shown_path(Path(name)), *options)
