"""The end of a run in words: what was counted, and the commands that go on from there."""

import pytest

from pipeline.cli.summary import say_next, show_failures, show_plan
from pipeline.cli.terminal import Terminal
from pipeline.migration.run import Ending

NOTHING = dict.fromkeys(
    ("tokenized", "rejected", "failed", "held", "already_tokenized", "pending"), 0
)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("pending", "run the same command again to go on    (7 left)"),
        ("failed", "cardferry retry out EXPORT -c CONFIG    (7 failed"),
        ("held", "cardferry retry out EXPORT -c CONFIG --held    (7 held"),
        ("rejected", "look at out/failures.csv, have the rows corrected"),
    ],
)
def test_every_state_that_needs_somebody_names_what_to_do(state, told, capsys, tmp_path):
    """Rows left, failed, held or rejected each bring their own next step, and no other does."""
    folder = tmp_path.relative_to(tmp_path) / "out"
    others = ("(7 left)", "(7 failed", "(7 held", "(7 rejected)")

    say_next(Terminal(), Ending(3, "run", {"balance": {**NOTHING, state: 7}}), folder)

    said = capsys.readouterr().err
    assert told in said
    assert 1 == sum(other in said for other in others)
    assert "cardferry verify out" in said


def test_a_folder_with_a_blank_is_quoted_in_the_commands(capsys, tmp_path):
    """The commands can be pasted as they are."""
    say_next(Terminal(), Ending(0, "run", {"balance": NOTHING}), tmp_path / "my out")

    assert f"cardferry verify '{tmp_path}/my out'" in capsys.readouterr().err


def test_json_and_a_run_that_was_stopped_get_no_list(capsys, tmp_path):
    """A program reads JSON, and a stopped run has told its next step already."""
    terminal = Terminal()
    terminal.as_json = True

    say_next(terminal, Ending(0, "run", {"balance": NOTHING}), tmp_path)
    say_next(Terminal(), Ending(6, "run", None), tmp_path)

    assert ("", "") == capsys.readouterr()


def test_the_plan_names_the_commonest_codes_and_counts_the_others(capsys):
    """Two dozen codes are no line to read before a question."""
    failures = {"name_missing": 1, "number_length": 9, "card_expired": 4, "country_invalid": 2}
    plan = {"rows": 30, "to_send": 14, "rejected": 16, "already_tokenized": 0, "rate_per_s": 2}

    show_plan(Terminal(), {**plan, "failures": failures}, 10, "https://vault.example in live mode")

    said = capsys.readouterr().err.splitlines()
    assert "30 rows: 14 to send, 16 rejected, 0 already tokenized" == said[0]
    assert "not sent: 9 number_length, 4 card_expired, 2 country_invalid and 1 more code" == said[1]
    assert ["10 go to https://vault.example in live mode,", "in about 5 s at 2 a second"] == said[
        2:
    ]


def test_a_narrow_terminal_folds_meanings_beside_their_codes(monkeypatch, capsys):
    """At 80 columns no line is longer, and what is folded stays in its column."""
    monkeypatch.setenv("COLUMNS", "80")

    show_failures(Terminal().out(), {"field_contains_card_number": 3, "name_missing": 1})

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert ["", ""] == [lines[0], lines[-1]]
    column = lines[1].index("meaning")
    folded = lines[4]
    assert " " * column == folded[:column]
    assert folded[column] != " "
