"""Exit codes and counts speak of one command: its exports, and what it changed."""

import json
import signal

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.sandbox import running

BAD = b"id-%d,Holder,4242,12,2031,Bangkok,cus\n"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


def _run(vault, tmp_path, folder, *exports, code, options=(), command=("run",)):
    config = settings(tmp_path, vault.base_url)
    where = [folder] if command == ("retry",) else []
    out = [] if command == ("retry",) else ["-o", folder]
    words = [*command, *where, *exports, "-c", config, *out, "--json", *options]
    return cardferry(*words, code=code).json


def test_a_bad_row_is_told_once_and_not_for_ever(tmp_path, folder):
    """The run that rejects it ends with 3; the next with 0, and both tell of it apart."""
    with running() as vault:
        first = sealed(tmp_path, rows_csv(5) + BAD % 9)
        later = sealed(tmp_path, rows_csv(3, first=20), "later.csv.pgp")
        bad = _run(vault, tmp_path, folder, first, code=3)
        again = _run(vault, tmp_path, folder, first, code=0)
        good = _run(vault, tmp_path, folder, later, code=0)

    assert (5, 1) == (bad["this_run"]["rows"]["tokenized"], bad["this_run"]["rows"]["rejected"])
    assert {"number_length": 1} == bad["this_run"]["failures"]
    assert {} == again["this_run"]["failures"]
    assert 0 == sum(again["this_run"]["rows"].values())
    assert (3, 0) == (good["this_run"]["rows"]["tokenized"], good["this_run"]["rows"]["rejected"])
    assert {"number_length": 1} == good["all_time"]["failures"]
    assert 8 == good["all_time"]["balance"]["tokenized"]


@pytest.mark.parametrize("plain", [rows_csv(0), None], ids=["empty", "known cards"])
def test_nothing_new_is_all_well(tmp_path, folder, plain):
    """After a run with failures an empty export, or known cards in other bytes, end with 0."""
    with running() as vault:
        first = rows_csv(5) + BAD % 9
        _run(vault, tmp_path, folder, sealed(tmp_path, first), code=3)
        plain = plain if plain is not None else rows_csv(5)
        told = _run(vault, tmp_path, folder, sealed(tmp_path, plain, "b.csv.pgp"), code=0)

    assert {} == told["this_run"]["failures"]


def test_rows_of_an_export_that_was_not_given_wait_and_are_named(tmp_path, folder):
    """They are no part of this command's total or code; summary, JSON and status name the file."""
    with running() as vault:
        first = sealed(tmp_path, rows_csv(10), "night-1.csv.pgp")
        second = sealed(tmp_path, rows_csv(4, first=50), "night-2.csv.pgp")
        cut = _run(vault, tmp_path, folder, first, code=4, options=["--limit", "3"])
        other = _run(vault, tmp_path, folder, second, code=0)
        config = settings(tmp_path, vault.base_url)
        in_words = cardferry("run", second, "-c", config, "-o", folder, code=0)
        status = cardferry("status", folder, "--json").json
        rest = _run(vault, tmp_path, folder, first, code=0)

    assert (7, []) == (cut["this_run"]["waiting"], cut["waiting_exports"])
    [waiting] = other["waiting_exports"]
    assert ("night-1.csv.pgp", 7) == (waiting["name"], waiting["rows"])
    assert (4, 0) == (other["this_run"]["rows"]["tokenized"], other["this_run"]["waiting"])
    assert "waiting: 7 rows of night-1.csv.pgp" in in_words.out
    assert f"run {first} " in in_words.err
    assert ["night-1.csv.pgp"] == [export["name"] for export in status["waiting_exports"]]
    assert ([], 7) == (rest["waiting_exports"], rest["this_run"]["rows"]["tokenized"])


def test_the_plan_of_a_resumed_run_tells_what_was_done_before(tmp_path, folder):
    """Plan and total are of what is left of these exports."""
    with running() as vault:
        export = sealed(tmp_path, rows_csv(10))
        _run(vault, tmp_path, folder, export, code=4, options=["--limit", "6"])
        done = cardferry("run", export, "-c", settings(tmp_path, vault.base_url), "-o", folder)

    assert "10 rows: 6 done before, 4 to send" in done.err
    assert "4/4 rows" in done.err


def test_what_killed_runs_left_unseen_is_not_of_the_run_that_finishes(tmp_path, folder):
    """Two kills with cards in flight: all of time counts them, and no later run takes them for its own."""
    with running(latency_s=0.05, journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url, "in_flight_max = 4")
        export = sealed(tmp_path, rows_csv(60))
        for most in (1, 12):
            run = zygote().start("run", export, "-c", config, "-o", folder)
            wait_until(lambda most=most: len(vault.entries()) >= most)
            run.signal(signal.SIGKILL)
            assert run.wait().killed
        words = ("run", export, "-c", config, "-o", folder, "--json")
        rest, nothing = (cardferry(*words).json for _ in range(2))

    assert 2 <= nothing["all_time"]["unseen_tokens_max"] <= 8
    assert nothing["all_time"] == rest["all_time"]
    assert (0, 0, 0) == (
        nothing["this_run"]["sent"],
        nothing["this_run"]["unseen_tokens_max"],
        rest["this_run"]["unseen_tokens_max"],
    )


def test_each_run_counts_the_tokens_that_it_left_unseen_itself(tmp_path, folder):
    """A held row that is sent again leaves one more; what sending it came to is told of all runs."""
    with running(faults="..DD") as vault:
        config = settings(tmp_path, vault.base_url, 'on_ambiguous = "hold"\nin_flight_max = 1')
        export = sealed(tmp_path, rows_csv(3))
        first = cardferry("run", export, "-c", config, "-o", folder, "--json", code=3).json
        words = ("retry", folder, export, "-c", config, "--held", "--json")
        second = cardferry(*words, code=3).json

    told = [
        [run[part]["unseen_tokens_max"] for part in ("this_run", "all_time", "given_exports")]
        for run in (first, second)
    ]
    assert [[1, 1, 1], [1, 2, 2]] == told
    assert any("Up to 2 tokens may exist unseen" in step["why"] for step in second["next"])


def test_a_command_that_did_nothing_does_not_tell_the_summary_of_an_earlier_run(tmp_path, folder):
    """A misspelt export ends with 6 and the error alone; the summary of all runs stays in `status`."""
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        given = ("-c", config, "-o", folder)
        export = sealed(tmp_path, rows_csv(3) + BAD % 9)
        first = cardferry("run", export, *given, code=3)
        nothing = cardferry("run", tmp_path / "nosuch.age", *given, code=6)
        # What waits of the given exports is this command's own story.
        later = sealed(tmp_path, rows_csv(3, first=20), "later.csv.pgp")
    unreached = cardferry("run", later, *given, "--set", "flow.outage_max_s=1", code=None)

    assert "Finished: 3 of 4 rows have a token" in first.out
    assert ("", True) == (nothing.out, "nosuch.age" in nothing.err)
    assert "Not finished: 3 rows of 7 still wait" in unreached.out


def test_retry_with_nothing_to_retry_says_so(tmp_path, folder):
    """It ends with 0 and changes nothing."""
    with running() as vault:
        export = sealed(tmp_path, rows_csv(3))
        _run(vault, tmp_path, folder, export, code=0)
        config = settings(tmp_path, vault.base_url)
        done = cardferry("retry", folder, export, "-c", config)
        told = _run(vault, tmp_path, folder, export, code=0, command=("retry",))

    assert "there was nothing to retry" in done.err
    assert 0 == told["planned_again"]


def test_only_the_approved_plan_is_sent(tmp_path, folder):
    """Another digest ends with 7 before a card is sent; the one that was shown goes through."""
    with running(journal=tmp_path / "journal") as vault:
        export = sealed(tmp_path, rows_csv(4))
        refused = _run(vault, tmp_path, folder, export, code=7, options=["--plan", "ab" * 32])
        made_before = len(vault.entries())
        digest = refused["plan_digest"]
        done = _run(vault, tmp_path, folder, export, code=0, options=["--plan", digest])

    assert 0 == made_before
    assert digest in refused["next_step"]
    assert 4 == done["this_run"]["rows"]["tokenized"]


def test_a_run_names_the_head_of_its_chain_and_the_files_it_wrote(tmp_path, folder):
    """Whoever keeps the head can prove that nothing was rolled back; the report's is told beside it."""
    with running() as vault:
        told = _run(vault, tmp_path, folder, sealed(tmp_path, rows_csv(2)), code=0)
    report = json.loads((folder / "report.json").read_bytes())

    assert 64 == len(told["chain_head"])
    assert report["trail"]["head"] == told["trail_head"] != told["chain_head"]
    assert str(folder / "mapping.parquet") in told["paths"]
    assert str(folder / "manifest.json") in told["paths"]
