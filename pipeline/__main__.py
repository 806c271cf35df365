"""Begins a command, for `cardferry` and for `python -m pipeline` alike."""

from __future__ import annotations

from pipeline.startup import prepare


def main() -> None:
    """Prepare the process, load the command line and run it."""
    prepare()
    from pipeline.cli import main as run_command  # noqa: PLC0415 - this is what takes time.

    run_command()


if __name__ == "__main__":
    main()
