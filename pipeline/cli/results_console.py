"""Shows results with Rich, and lets whoever called deal with a reader who has gone."""

from __future__ import annotations

from rich.console import Console

from pipeline.cli.folding import folded


class ResultsConsole(Console):
    """A console that raises `BrokenPipeError` when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Raise; Rich would end the process here, with a code of its own."""
        raise BrokenPipeError


def print_line(out: Console, text: str) -> None:
    """Print a line, folded at blanks alone: a digest or a path stays whole, to be pasted."""
    for part in folded(text, out.width if out.is_terminal else None):
        out.print(part, markup=False, soft_wrap=True)
