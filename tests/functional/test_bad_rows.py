"""Bad rows through the whole program: each has its verdict and costs its neighbours nothing."""

import pytest

from tests.support.bad_rows import CSV_ROWS, JSON_ROWS, OPTIONS, export_of
from tests.support.judged import carry, require_balance, require_clean
from tests.support.sandbox import running

KINDS = {"csv": (CSV_ROWS, False), "jsonl": (JSON_ROWS, True)}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Carry each kind's export once, when it is first asked for; give the runs by kind."""
    runs = {}

    def carried(kind):
        if kind not in runs:
            rows, as_json = KINDS[kind]
            export = export_of(rows, as_json=as_json)
            work = tmp_path_factory.mktemp(kind)
            path = work / f"cards.{kind}"
            path.write_bytes(export.plain)
            with running(journal=work / "journal") as vault:
                run = carry(work, vault.base_url, path, options=OPTIONS)
                runs[kind] = run, export, vault.entries()
        return runs[kind]

    return carried


def cases(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


def require_verdict(carried, row):
    run, export, _ = carried
    place = export.places[row.name]

    assert row.verdict == run.failures().get(place)
    # The rows before and after are good.
    assert {place - 1, place + row.counts_for}.isdisjoint(run.failures())


@cases(CSV_ROWS)
def test_a_bad_csv_row_gets_its_verdict(judged, row):
    """The row's code and field are as expected and both neighbours are tokenized."""
    require_verdict(judged("csv"), row)


@cases(JSON_ROWS)
def test_a_bad_json_line_gets_its_verdict(judged, row):
    """The line's code and field are as expected and both neighbours are tokenized."""
    require_verdict(judged("jsonl"), row)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_rows_leave_totals_that_add_up_and_no_number(judged, kind):
    """Exit code 3, every row in one state, one token a mapped row, and no number anywhere."""
    run, export, journal = judged(kind)

    assert run.code == 3, run.err
    require_balance(run, export.rows)
    assert len(journal) == run.balance["tokenized"]
    require_clean(run, export.numbers)
