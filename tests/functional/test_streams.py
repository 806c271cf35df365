"""Whoever reads what a command says may go at any time; the work goes on."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.support.commands import ROOT, rows_csv, sealed, settings
from tests.support.sandbox import running


@pytest.mark.parametrize(
    "redirection", ["2>&-", ">&-", ">&- 2>&-", "| true", "2>&1 >/dev/null | true", "2>/dev/full"]
)
def test_a_run_ends_well_without_anybody_who_listens(tmp_path, redirection):
    """Closed, full or abandoned streams cost words; rows, outputs and exit code are as ever."""
    export = sealed(tmp_path, rows_csv(5))
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        command = (
            f"set -o pipefail; {sys.executable} -m pipeline run {export} -c {config} "
            f"-o {tmp_path / 'out'} -v {redirection}"
        )
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, timeout=60, check=False
        )

    assert done.returncode == 0
    assert pq.read_metadata(tmp_path / "out" / "mapping.parquet").num_rows == 5
