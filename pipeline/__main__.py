"""Runs the program as `python -m pipeline`, the same as `cardferry`."""

from pipeline.cli import main

main()
