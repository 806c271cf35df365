"""A log file that cannot be opened is told in words, in the form that was asked for."""

import json

import pytest

from tests.support.commands import cardferry

NOWHERE = "/nonexistent/x.log"


@pytest.mark.parametrize("more", [[], ["-q"], ["-v"]])
def test_a_log_file_that_cannot_be_opened_is_the_first_word(tmp_path, more):
    """Text begins with what is wrong, and nothing of the log's own stands before it."""
    done = cardferry("status", tmp_path, "--log-file", NOWHERE, *more, code=5, afresh=True)

    first, *others = done.err.splitlines()
    assert f"cardferry: cannot open the log file {NOWHERE}: No such file or directory" == first
    assert ["  Name another file with --log-file, or leave it out."] == others


@pytest.mark.parametrize("more", [[], ["-q"]])
def test_a_log_file_that_cannot_be_opened_is_told_as_json(tmp_path, more):
    """Every line on standard error is JSON; one is the error with its exit code."""
    words = ("status", tmp_path, "--log-format", "json", "--log-file", NOWHERE, *more)
    lines = [json.loads(line) for line in cardferry(*words, code=5, afresh=True).err.splitlines()]

    assert [("error", 5), ("ended", 5)] == [(line["event"], line["exit_code"]) for line in lines]
    assert lines[0]["text"].startswith(f"cannot open the log file {NOWHERE}: ")


def test_a_wrong_command_line_is_told_though_its_log_file_cannot_be_opened():
    """What is wrong with the command line comes first: as JSON, with 2."""
    words = ("status", "--log-format", "json", "--log-file", NOWHERE)
    (line,) = cardferry(*words, code=2, afresh=True).err.splitlines()

    assert "Missing argument 'FOLDER'." == json.loads(line)["text"].splitlines()[0]
