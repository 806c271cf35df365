"""A quiet command that logs JSON: silent at 0, else its words stand on standard error as JSON lines."""

import json
import shlex

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.sandbox import running

BAD = b"x,Ann,12,1,2031,Bangkok,c\n"
QUIET = ("-q", "--log-format", "json")


@pytest.fixture
def config(tmp_path):
    """Settings for a vault that answers."""
    with running() as vault:
        yield settings(tmp_path, vault.base_url)


def said(done):
    return [json.loads(line) for line in done.err.splitlines()]


def test_a_quiet_run_with_failures_says_in_json_what_failed_and_what_is_next(tmp_path, config):
    """What failed and why, the row and its file, the advice and its commands, and the exit code."""
    export = sealed(tmp_path, rows_csv(2) + BAD)
    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", *QUIET, code=3)

    lines = said(done)
    texts = [line["text"] for line in lines]
    assert any(text.startswith("1 number_length: ") for text in texts)
    assert "next:" in texts
    assert any("1 row rejected (row 3 of cards.csv.pgp)" in text for text in texts)
    assert any(["verify", str(tmp_path / "out")] == shlex.split(text)[-2:] for text in texts)
    assert ("ended", 3) == (lines[-1]["event"], lines[-1]["exit_code"])
    assert 1 == len({line["run_id"] for line in lines})


def test_a_quiet_run_says_in_json_what_it_says_in_text(tmp_path, config):
    """Each word that text has on standard error stands among the JSON lines, too."""
    export = sealed(tmp_path, rows_csv(2) + BAD)
    words = ("-c", config, "-o", tmp_path / "out")
    text = cardferry("run", export, *words, "-q", code=3).err
    again = sealed(tmp_path, rows_csv(2, first=11, seed=2) + BAD.replace(b"x", b"y"), "new.csv.pgp")
    told = {line["text"] for line in said(cardferry("run", again, *words, *QUIET, code=3))}

    advice = [line.strip() for line in text.splitlines() if line.strip()]
    assert "next:" == advice[0]
    assert told >= {line.replace("cards.csv.pgp", "new.csv.pgp") for line in advice}


def test_a_quiet_run_that_ends_well_says_nothing_in_json(tmp_path, config):
    """At 0 both streams are empty."""
    export = sealed(tmp_path, rows_csv(2))
    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", *QUIET)

    assert ("", "") == (done.out, done.err)


def test_a_quiet_inbox_says_in_json_which_export_has_failures(tmp_path, config):
    """The look names the export with its failures, and no export that went well."""
    folder = tmp_path / "drop"
    folder.mkdir()
    sealed(folder, rows_csv(2) + BAD, "a.csv.pgp")
    sealed(folder, rows_csv(2, first=11, seed=2), "b.csv.pgp")
    words = ("-c", config, "-o", tmp_path / "out", "--quiet-for", "0s")
    texts = [line["text"] for line in said(cardferry("inbox", folder, *words, *QUIET, code=3))]

    assert any(text.startswith("a.csv.pgp: carried, with new failures") for text in texts)
    assert not any(text.startswith("b.csv.pgp") for text in texts)
