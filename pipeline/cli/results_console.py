"""Shows results with Rich, and lets whoever called deal with a reader who has gone."""

from __future__ import annotations

from rich.console import Console


class ResultsConsole(Console):
    """A console that raises `BrokenPipeError` when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Raise; Rich would end the process here, with a code of its own."""
        raise BrokenPipeError
