"""Whoever reads what a command says may go at any time; the work goes on."""

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings
from tests.support.folders import found_in, published
from tests.support.programs import require
from tests.support.sampled import slow
from tests.support.sandbox import running


@pytest.mark.parametrize(
    "redirection",
    [
        *map(slow, ["2>&-", ">&-", "| true", "2>&1 >/dev/null | true", "2>/dev/full"]),
        *("<&- >&- 2>&-", "2>/dev/full | true"),
    ],
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
            [require("bash"), "-c", command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    assert done.returncode == 0
    assert pq.read_metadata(tmp_path / "out" / "mapping.parquet").num_rows == 5


@pytest.mark.parametrize("paper", ["--failures", "--html"])
def test_what_a_check_writes_takes_the_place_of_no_export(tmp_path, paper):
    """The export stays as it is, to the last byte, and the option is named."""
    export = tmp_path / "cards.csv"
    export.write_bytes(rows_csv(2))
    done = cardferry("check", export, "--set", "export.allow_plaintext=true", paper, export, code=2)

    assert paper in done.err
    assert export.read_bytes() == rows_csv(2)


def test_an_exported_mapping_takes_the_place_of_nothing_that_a_migration_needs(tmp_path):
    """Neither of the ledger nor of an output; the folder still verifies."""
    folder = published(tmp_path / "migration")
    for name in ("ledger.sqlite", "manifest.json", "mapping.parquet"):
        cardferry("export-mapping", folder, "--format", "csv", "-o", folder / name, code=2)
    cardferry("export-mapping", folder, "--format", "csv", "-o", folder / "mine.csv")

    assert [] == found_in(folder)


@pytest.mark.parametrize("form", [slow(""), "--json"])
def test_a_result_that_cannot_be_written_is_local_trouble(tmp_path, form):
    """Onto a full disk a finished run ends with 5, says so in words, and has lost nothing."""
    export = sealed(tmp_path, rows_csv(5))
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        done = _shell(f"run {export} -c {config} -o {tmp_path / 'out'} {form} >/dev/full")

    assert (5, 5) == (
        done.returncode,
        pq.read_metadata(tmp_path / "out" / "mapping.parquet").num_rows,
    )
    assert "No space left on device (ENOSPC)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_result_that_cannot_be_written_hides_no_other_ending(tmp_path):
    """A run that ends with 3 does so onto a full disk as well."""
    export = sealed(tmp_path, rows_csv(2) + b"id-9,Holder 9,4242,12,2031,Bangkok,cus-9\n")
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        done = _shell(f"run {export} -c {config} -o {tmp_path / 'out'} >/dev/full")

    assert 3 == done.returncode
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["status {}", "config --example", slow("--help"), slow("status {} --json")]
)
def test_every_result_onto_a_full_disk_ends_with_a_code_and_a_word(finished, command):
    """Nothing that is printed by any command ends in a traceback when the disk is full."""
    done = _shell(f"{command.format(finished)} >/dev/full")

    assert 5 == done.returncode
    assert "ENOSPC" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
def test_a_stream_that_knows_only_ascii_gets_escapes(tmp_path):
    """A folder's name beyond ASCII is shown as escapes, and the run ends as ever."""
    folder = tmp_path / "ส่งออก"
    export = sealed(tmp_path, rows_csv(3))
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        words = f"run {export} -c {config} -o {folder} --set audit.operator=สมชาย"
        done = _shell(words, PYTHONIOENCODING="ascii")
        shown = _shell(f"status {folder}", PYTHONIOENCODING="ascii")

    assert (0, 0) == (done.returncode, shown.returncode), done.stderr + shown.stderr
    assert "\\u0e2a" in done.stdout
    assert done.stdout.isascii()


def test_a_command_without_memory_ends_with_local_trouble(tmp_path):
    """In too small an address space a command says so in words, whatever failed first."""
    export = sealed(tmp_path, rows_csv(3))
    config = settings(tmp_path, "http://127.0.0.1:9")
    # With little more than the least to begin with, what fails first, if anything does, depends on
    # the versions of libraries.
    for megabytes, codes in ((100, {5}), (260, {0, 5})):
        done = _shell(f"check {export} -c {config}", before=f"ulimit -v {megabytes * 1024};")

        assert done.returncode in codes, (megabytes, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_command_that_may_start_no_thread_ends_with_local_trouble(tmp_path):
    """Whatever asked for it, the machine's own name for the lack is told, and no bug."""
    export = sealed(tmp_path, rows_csv(3))
    config = settings(tmp_path, "http://127.0.0.1:9")
    words = ("run", export, "-c", config, "-o", tmp_path / "out")
    done = cardferry(*words, code=5, hook="tests.support.hooks:start_no_thread")

    assert "EAGAIN" in done.err
    assert "bug" not in done.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder whose run has ended; nobody changes it."""
    folder = tmp_path_factory.mktemp("finished")
    with running() as vault:
        config = settings(folder, vault.base_url)
        cardferry("run", sealed(folder, rows_csv(3)), "-c", config, "-o", folder / "out", "-q")
    return folder / "out"


def _shell(words, *, before="", **environment):
    return subprocess.run(
        [require("bash"), "-c", f"{before} {sys.executable} -m pipeline {words}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
