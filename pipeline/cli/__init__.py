"""Turns a command line into calls and an exit code: a file a command, and what commands share."""
