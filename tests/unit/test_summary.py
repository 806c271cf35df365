"""The end of a run in words: what was counted, and the commands that go on from there."""

import io
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli.advice import Given
from pipeline.cli.balance_tables import show_balance, show_failures
from pipeline.cli.folding import folded, print_line
from pipeline.cli.summary import say_next, show_plan
from pipeline.cli.terminal import Terminal
from pipeline.failure_codes import FAILURE_CODES
from pipeline.ledger.attach_needs import AttachNeeds
from pipeline.migration.attach_plan import AttachPlan
from pipeline.migration.run_account import ThisRun, WaitingExport
from pipeline.migration.run_request import Ending, Plan
from pipeline.outputs.wording import TOKENS_PERISH
from tests.support.programs import require

FIGURES = {"balance": {}, "failures": []}


def _said(capsys, ending, given):
    say_next(Terminal(), ending, given)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("this_run", "told"),
    [
        (ThisRun(waiting=1), "1 row of these exports still waits: the"),
        (ThisRun({"failed": 7}, {"attempts_exhausted": 7}), "retry out a.pgp -c my.toml\n"),
        (ThisRun({"held": 7}, {"outcome_unknown": 7}), "retry out a.pgp -c my.toml --held"),
        (ThisRun({"rejected": 7}, {"number_length": 7}), "7 rows rejected: look at out/failures"),
    ],
)
def test_every_state_that_needs_somebody_names_what_to_do(this_run, told, capsys):
    """Rows left, failed, held or rejected each bring a step of their own, and no other does."""
    given = Given(Path("out"), [Path("a.pgp")], Path("my.toml"))

    said = _said(capsys, Ending(3, "run", FIGURES, this_run=this_run), given)

    assert told in said
    assert 1 == sum(word in said for word in ("still waits", "failed;", "held back", "rejected:"))
    assert "verify out" in said


def test_the_first_rejected_rows_are_named_by_number(capsys):
    """As `failures.csv` numbers them; what is not named is counted."""
    first = [{"export": "a.pgp", "row": 6}, {"export": "a.pgp", "row": 7}]
    first += [{"export": "b.pgp", "row": 1_200}]
    this_run = ThisRun({"rejected": 9}, {"number_length": 9}, figures={"rejected_rows": first})

    said = _said(capsys, Ending(3, "run", FIGURES, this_run=this_run), Given(Path("out")))

    assert "9 rows rejected (rows 6, 7 of a.pgp, row 1,200 of b.pgp and 6 more): look at" in said
    assert (
        "have the sender correct them, and run the new export into this folder (those rows alone, or"
        in said
    )


def test_an_export_that_waits_is_named_with_the_command_that_sends_it(tmp_path, capsys):
    """Whoever reads the mail of a night learns which file to give again, and how where it lies."""
    waiting = [WaitingExport("topup-08.csv.age", "ab", 110, None, 2)]
    given = Given(Path("out"), [tmp_path / "a.pgp"], Path("my.toml"), ["flow.rate_per_s=2"])

    nowhere = _said(capsys, Ending(0, "run", FIGURES, waiting=waiting), given)
    (tmp_path / "topup-08.csv.age").touch()
    said = _said(capsys, Ending(0, "run", FIGURES, waiting=waiting), given)

    assert "110 rows of topup-08.csv.age wait: give that file again" in said
    assert "(at most 2 cards may get a second token, which nobody can use)" in said
    assert f"run {tmp_path}/topup-08.csv.age -o out -c my.toml --set flow.rate_per_s=2" in said
    assert "give that file again" in nowhere
    assert "run topup-08" not in nowhere


@pytest.mark.parametrize("name", ["my out", "-out", "--out", "a'b", "$HOME"])
def test_the_commands_can_be_pasted_whatever_the_folder_is_called(name, capsys):
    """A shell gives back the folder's own name, and no command takes it for an option."""
    said = _said(capsys, Ending(0, "run", FIGURES), Given(Path(name)))

    command = said.strip().splitlines()[-1]
    *_, verb, folder = shlex.split(command)
    assert ("verify", Path(name)) == (verb, Path(folder))
    assert not folder.startswith("-")


def test_json_and_a_run_that_was_stopped_get_no_list(capsys):
    """A program reads JSON, and a stopped run has told its next step already."""
    terminal = Terminal()
    terminal.as_json = True

    say_next(terminal, Ending(0, "run", FIGURES), Given(Path("out")))
    say_next(Terminal(), Ending(6, "run", None), Given(Path("out")))

    assert ("", "") == capsys.readouterr()


def test_a_retry_that_found_nothing_says_so(capsys):
    """Nothing planned again is no silent success."""
    said = _said(capsys, Ending(0, "run", FIGURES, planned_again=0), Given(Path("out")))

    assert "there was nothing to retry" in said


def test_a_retry_that_sent_only_what_waited_does_not_say_that_nothing_was_there(capsys):
    """Rows that a stop had left go with it; no failure was planned again."""
    this_run = ThisRun(rows={"tokenized": 3}, figures={"sent": 3})

    ending = Ending(0, "run", FIGURES, this_run=this_run, planned_again=0)
    said = _said(capsys, ending, Given(Path("out")))

    assert "no failure to plan again: only rows that waited were sent" in said
    assert "nothing to retry" not in said


@pytest.mark.parametrize("columns", [40, 80])
def test_no_word_is_broken_by_a_narrow_terminal(columns):
    """Sentences are folded at blanks, and a folded command is the same command when pasted."""
    sentence = "look at out/failures.csv, have the rows corrected, run the new export " * 2
    command = "cardferry retry /srv/migrations/out cards.csv.pgp -c production.toml --held"

    lines = folded(sentence, columns, "  ", "    ")
    pasted = " \\\n".join(folded(command, columns, "    ", "      ", 2))

    assert max(map(len, lines)) <= columns
    assert sentence.split() == " ".join(lines).split()
    shell = subprocess.run(
        [require("bash"), "-c", f"cardferry() {{ printf '%s\\n' \"$@\"; }}; {pasted}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert command.split()[1:] == shell.stdout.split()
    assert max(map(len, pasted.splitlines())) <= columns


def test_the_plan_names_the_commonest_codes_and_counts_the_others(capsys):
    """Two dozen codes are no line to read before a question."""
    codes = {"name_missing": 1, "number_length": 9, "card_expired": 4, "country_invalid": 2}
    counts = {
        "rows": 30,
        "to_send": 14,
        "done": 0,
        "rejected": 16,
        "already_tokenized": 0,
        "other_details": 0,
    }
    waiting = [WaitingExport("old.pgp", "ab", 3)]

    plan = Plan(counts, codes, waiting, "ff", 2.0)
    show_plan(Terminal(), plan, 10, "https://vault.example in live mode")

    assert [
        "30 rows: 14 to send, 16 rejected, 0 already tokenized",
        "not sent: 9 number_length, 4 card_expired, 2 country_invalid and 1 more code",
        "3 rows of old.pgp wait for that file, not sent now",
        "10 go to https://vault.example in live mode,",
        "in about 5 s at 2 a second",
        TOKENS_PERISH,
        "plan ff",
    ] == capsys.readouterr().err.splitlines()


def test_the_plan_tells_whom_cards_come_to_and_what_that_takes(capsys):
    """Customers to make and given, requests, the slower of both rates, and who will be called."""
    counts = {
        "rows": 30,
        "to_send": 30,
        "done": 0,
        "rejected": 0,
        "already_tokenized": 0,
        "other_details": 0,
    }
    attach = AttachPlan(AttachNeeds(30, 2, 3, 15, 4), 0.5, has_webhook=True)

    show_plan(Terminal(), Plan(counts, {}, (), "ff", 2.0, attach=attach), None, "here")

    assert [
        "30 go to here,",
        "and 30 cards on customers: 15 to make, 3 given, 2 known; 37 requests to the API host,",
        "in about 1 min at 2 tokens and 0.5 API requests a second",
        "the account names a webhook: expect about 37 calls of it",
        "plan ff",
    ] == capsys.readouterr().err.splitlines()[1:]


def test_a_limit_holds_for_the_cards_that_the_plan_speaks_of(capsys):
    """Ten rows of a million take seconds, ten cards come on customers, and few calls are made."""
    counts = {
        "rows": 1000,
        "to_send": 1000,
        "done": 0,
        "rejected": 0,
        "already_tokenized": 0,
        "other_details": 0,
    }
    attach = AttachPlan(AttachNeeds(1000, 2, 30, 500, 0), 10.0, has_webhook=True)

    show_plan(Terminal(), Plan(counts, {}, (), "ff", 2.0, attach=attach), 10, "here")

    assert [
        "10 go to here,",
        "and 10 cards on customers,",
        "in about 5 s at 2 tokens and 10 API requests a second",
        "customers of all 1,000 cards: 500 to make, 30 given, 2 known; 1,030 requests to the API host",
        "the account names a webhook: expect about 11 calls of it",
        "plan ff",
    ] == capsys.readouterr().err.splitlines()[1:]


def test_one_row_goes_and_several_go(capsys):
    """The plan of a single row is a sentence, too."""
    counts = {
        "rows": 1,
        "to_send": 1,
        "done": 0,
        "rejected": 0,
        "already_tokenized": 0,
        "other_details": 0,
    }

    show_plan(Terminal(), Plan(counts, {}, (), "ff", 2.0), None, "here")

    assert "1 goes to here," in capsys.readouterr().err.splitlines()


def test_what_was_done_before_is_told_when_a_run_goes_on(capsys):
    """A resumed run does not speak of rows that it sent before as if they were gone."""
    counts = {
        "rows": 30,
        "to_send": 4,
        "done": 20,
        "rejected": 6,
        "already_tokenized": 0,
        "other_details": 0,
    }

    show_plan(Terminal(), Plan(counts, {}, (), "ff", 2.0), None, "here")

    said = capsys.readouterr().err
    assert "30 rows: 20 done before, 4 to send, 6 rejected, 0 already tokenized" in said


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


def test_a_digest_stays_whole_at_forty_columns():
    """Prose is folded at its blanks; what is to be pasted is longer than the line and one piece."""
    told, digest = io.StringIO(), "ab01" * 16
    out = Console(file=told, force_terminal=True, width=40, color_system=None)

    print_line(out, f"plan {digest}")
    print_line(out, "waiting: 1,100 rows of topup-2026-11-27.csv.age")

    assert ["plan", f"  {digest}"] == told.getvalue().splitlines()[:2]
    assert max(map(len, told.getvalue().splitlines()[2:])) <= 40


def test_no_word_of_a_failure_is_cut_at_forty_columns():
    """On a narrow terminal each code is a line of its own, folded at blanks, meaning and all."""
    told = io.StringIO()
    out = Console(file=told, force_terminal=True, width=40, color_system=None)

    show_failures(out, {"field_contains_card_number": 3, "value_damaged": 1})

    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    for code in ("field_contains_card_number", "value_damaged"):
        assert set(FAILURE_CODES[code].meaning.split()) <= set(told.getvalue().split())


def test_a_summary_fits_into_forty_columns():
    """No line is longer, no heading is cut, and nothing is broken in the middle of a word."""
    balance = dict.fromkeys(("tokenized", "rejected", "pending"), 1_234_567) | {
        **dict.fromkeys(("failed", "held", "skipped", "already_tokenized"), 0),
        "rows": 3_703_701,
        "difference": 0,
    }
    names = ("tokenized", "attached", "reused", "superseded", "attach_failed", "attach_held")
    attach = dict.fromkeys((*names, "unattached", "unseen_cards_max"), 1_234)
    sentence = "Finished: 212 of 263 rows have a token; 51 could not be moved, and each is listed."
    figures = {"balance": balance, "failures": [], "attach": attach, "unseen_tokens_max": 1_234_567}
    told = io.StringIO()
    out = Console(file=told, force_terminal=True, width=40, color_system=None)

    show_balance(out, {**figures, "verdict": {"sentence": sentence}}, ThisRun())

    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert ["rows", "this", "run", "all", "runs"] == lines[0].split()
    assert sentence in " ".join(line.strip() for line in lines)
    assert "superseded," in told.getvalue().split()


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (100, [["failure", "this", "run", "all", "runs"], ["card_expired", "0", "4"]]),
        (
            40,
            [["4", "card_expired", "(0", "in", "this"], ["9", "number_length", "(2", "in", "this"]],
        ),
    ],
)
def test_failures_of_this_run_and_of_all_stand_apart(width, told):
    """A code that only earlier runs had is not told as if this run had failed with it."""
    balance = dict.fromkeys(("failed", "held", "skipped", "already_tokenized", "pending"), 0)
    balance |= {"tokenized": 1, "rejected": 13, "rows": 14, "difference": 0}
    figures = {
        "balance": balance,
        "failures": [{"code": "card_expired", "rows": 4}, {"code": "number_length", "rows": 9}],
        "attach": None,
        "unseen_tokens_max": 0,
        "verdict": {"sentence": "Finished."},
    }
    shown = io.StringIO()
    out = Console(file=shown, force_terminal=True, width=width, color_system=None)

    show_balance(out, figures, ThisRun({"rejected": 2}, {"number_length": 2}))

    begun = [line.split() for line in shown.getvalue().splitlines()]
    for words in told:
        assert words in [line[: len(words)] for line in begun]
    assert width >= max(map(len, shown.getvalue().splitlines()))
