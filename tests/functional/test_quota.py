"""A vault with a hidden quota and a migration of two runs: what the first learns, the second knows."""

import json

import pytest

from tests.bench.quota import Case, stub
from tests.support.commands import cardferry, rows_csv, sealed, settings


@pytest.mark.slow
def test_the_next_run_starts_at_the_rate_that_the_last_one_found(tmp_path):
    """The way down from a ceiling far too high is paid for once; the ledger keeps where it led."""
    export = sealed(tmp_path, rows_csv(120))
    quota = Case((20,), 500, 0, 60, 0, 1)
    with stub(quota, 20) as (url, _):
        config = settings(tmp_path, url, "in_flight_max = 16")
        words = ("run", export, "-c", config, "-o", tmp_path / "out", "--limit", "60")
        ends = [cardferry(*words, "--set", "flow.rate_per_s=500", code=None).code for _ in "12"]
    runs = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["runs"]
    first, second = (run["statistics"]["throttled"] for run in runs)

    assert [4, 0] == ends
    assert first > 30
    assert second < first / 2
