"""A run at a terminal: the plan, one question, a live line, and what to do next."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings
from tests.support.crash import zygote
from tests.support.sandbox import spawned

QUESTION = "Send these rows? [y/N]:"


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    """A vault with a journal."""
    with spawned(journal=tmp_path_factory.mktemp("vault") / "journal") as started:
        yield started


def _at_a_terminal(arguments, answer, columns="80"):
    """Run with standard input and error on a terminal; give the code and what it showed."""
    main, side = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        stdin=side,
        stdout=subprocess.DEVNULL,
        stderr=side,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": columns},
    ) as process:
        os.close(side)
        shown, answered = b"", False
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:
                # The last one to hold the other side has closed it.
                break
            shown += part
            if QUESTION.encode() in shown and not answered:
                os.write(main, answer)
                answered = True
            if not part:
                break
    os.close(main)
    return process.returncode, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


@pytest.fixture
def arguments(tmp_path, vault):
    """A run of six rows into a new folder."""
    config = settings(tmp_path, vault.base_url)
    return ["run", sealed(tmp_path, rows_csv(6)), "-c", config, "-o", tmp_path / "out"]


def test_a_no_sends_nothing_and_the_same_command_asks_again(arguments, vault):
    """The plan names the vault and its mode; "n" ends with 4, "y" carries every row."""
    before = len(vault.entries())

    code, shown = _at_a_terminal(arguments, b"n\n")

    assert (4, before) == (code, len(vault.entries()))
    assert 1 == shown.count(QUESTION)
    assert f"6 go to {vault.base_url} in test mode" in shown
    assert "6 rows of these exports still wait: the same command goes on" in " ".join(shown.split())

    code, shown = _at_a_terminal(arguments, b"y\n")

    assert (0, before + 6) == (code, len(vault.entries()))
    assert "6/6 rows" in shown
    assert f"verify {arguments[-1]}" in " ".join(shown.replace("\\", " ").split())


@pytest.mark.slow
def test_yes_and_json_ask_nothing(arguments):
    """With --yes or --json even a terminal is not asked."""
    code, shown = _at_a_terminal([*arguments, "--yes", "--limit", "2"], b"")
    again, shown_again = _at_a_terminal([*arguments, "--json"], b"")

    assert (4, 0) == (code, again)
    assert QUESTION not in shown + shown_again


def test_quiet_says_nothing_when_all_went_well(arguments):
    """With -q a run that ends with 0 leaves both streams empty; --json prints its object still."""
    first = cardferry(*arguments, "-q")
    again = cardferry(*arguments, "-q", "--json")

    assert ("", "") == (first.out, first.err)
    assert 0 == again.json["exit_code"]


def test_quiet_tells_what_somebody_has_to_look_at(tmp_path, vault):
    """With -q a run that ends with 3 shows its summary, and what to do next."""
    export = sealed(tmp_path, rows_csv(2) + b"id-9,Holder 9,4242,12,2031,Bangkok,cus-9\n")
    config = settings(tmp_path, vault.base_url)

    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "-q", code=3)

    assert "number_length" in done.out
    assert "failures.csv" in done.err
    assert "read cards" not in done.err


def test_a_pipe_gets_whole_lines_without_blanks_at_their_ends(tmp_path, vault, monkeypatch):
    """In a pipe no meaning is folded at a terminal's width and no colour is written."""
    # Workers that run tests side by side are given a terminal's width.
    monkeypatch.delenv("COLUMNS", raising=False)
    plain = rows_csv(2) + b"id-9,Holder 9,4242,12,2031,Bangkok,cus-9\n"
    config = settings(tmp_path, vault.base_url)
    export = sealed(tmp_path, plain)

    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", code=3)

    line = next(line for line in done.out.splitlines() if line.startswith("number_length"))
    assert line.endswith("the card number has a length that its brand does not have")
    assert [] == [line for line in done.out.splitlines() if line != line.rstrip()]
    assert "\x1b" not in done.out + done.err


def test_what_is_wrong_with_a_command_line_is_folded_at_blanks(tmp_path):
    """On a narrow terminal no word of it is cut."""
    code, shown = _at_a_terminal(["give-up", tmp_path, "a", "--reason", " "], b"", columns="40")

    assert 2 == code
    assert all(len(line) <= 40 for line in shown.splitlines())
    assert "give a line of at most 200 characters" in " ".join(shown.split())


def test_a_help_fits_its_terminal():
    """No line is too long, no word is cut, and an example that takes two lines can be pasted."""

    def shown(columns, *words):
        environment = {"COLUMNS": str(columns)}
        hook = "tests.support.hooks:on_a_terminal"
        return cardferry(*words, "--help", environment=environment, hook=hook).out

    for words in ([], ["run"], ["give-up"]):
        whole = set(shown(200, *words).split())
        for columns in (40, 80):
            lines = shown(columns, *words).splitlines()
            assert all(len(line) <= columns for line in lines)
            assert set(" ".join(lines).replace("\\", " ").split()) <= whole
    example = (
        'cardferry give-up out/ cards.csv.pgp -c production.toml --reason "sent anew as b.csv.pgp"'
    )
    assert example in " ".join(shown(40, "give-up").replace("\\\n", " ").split())


def test_in_one_stream_the_result_stands_above_what_to_do_next(tmp_path, vault):
    """As in a mail of cron: with -q, too; and what stopped a run comes last."""
    plain = rows_csv(2) + b"id-9,Holder 9,4242,12,2031,Bangkok,cus-9\n"
    config = settings(tmp_path, vault.base_url)
    nowhere = settings(tmp_path, "http://127.0.0.1:9", name="nowhere.toml")
    words = ("run", sealed(tmp_path, plain))
    hurry = {"hook": "tests.support.hooks:hurry"}

    for quiet in ((), ("-q",)):
        out = tmp_path / f"out{len(quiet)}"
        ended = zygote().run(*words, "-c", config, "-o", out, *quiet)
        stopped = zygote().run(*words, "-c", nowhere, "-o", f"{out}-2", *quiet, **hurry)

        assert ended.said.index("chain head") < ended.said.index("next:")
        assert stopped.said.index("chain head") < stopped.said.index("cannot be reached")
