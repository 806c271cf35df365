"""Begins a command, for `cardferry` and for `python -m pipeline` alike."""

from __future__ import annotations

import sys

from pipeline.cli.short_answers import answer
from pipeline.startup import prepare


def main() -> None:
    """Prepare the process, load the command line and run it."""
    prepare()
    if not answer(sys.argv[1:]):
        from pipeline.cli.command_line import main as run_command  # noqa: PLC0415 - takes time.

        run_command()


if __name__ == "__main__":
    main()
