"""`cardferry scan` from outside."""

from __future__ import annotations

import json
from random import Random

from click.testing import CliRunner

from pipeline.cli.scan import scan
from pipeline.errors import CardNumberFound, LocalStorageFailed
from tests.support.canaries import make_number

NUMBER = make_number(Random(4))


def test_a_finding_is_printed_without_the_number(tmp_path):
    """The line says path, place, encoding and last four, and the command ends with 9."""
    path = tmp_path / "a.txt"
    path.write_text(f"pan {NUMBER}")
    result = CliRunner().invoke(scan, [str(tmp_path)])

    assert f"{path}: byte 4: plain, ends in {NUMBER[-4:]}\n" == result.stdout
    assert NUMBER not in result.output
    assert isinstance(result.exception, CardNumberFound)
    assert result.exception.exit_code == 9


def test_a_clean_folder_ends_well(tmp_path):
    """Nothing found, nothing on standard output, exit 0."""
    (tmp_path / "a.txt").write_text("tokn_test_5fzc8j")
    result = CliRunner().invoke(scan, [str(tmp_path)])

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 file, 16 bytes, 0 skipped, 0 card numbers found\n"


def test_json_is_one_versioned_object(tmp_path):
    """With --json there is one object on standard output and nothing else."""
    (tmp_path / "a.txt").write_text(NUMBER)
    result = CliRunner().invoke(scan, ["--json", str(tmp_path)])
    envelope = json.loads(result.stdout)

    assert (envelope["version"], envelope["clean"], envelope["files"]) == (1, False, 1)
    assert NUMBER[-4:] == envelope["findings"][0]["last_digits"]
    assert result.stderr == ""


def test_a_file_that_cannot_be_searched_is_no_clean_bill(tmp_path):
    """Without a finding, a damaged file ends the command with 5."""
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08\0 this is no gzip file")
    result = CliRunner().invoke(scan, [str(tmp_path)])

    assert isinstance(result.exception, LocalStorageFailed)
    assert result.exception.exit_code == 5


def test_a_path_that_is_missing_is_a_wrong_command_line(tmp_path):
    """Click's own check: exit 2."""
    assert CliRunner().invoke(scan, [str(tmp_path / "gone")]).exit_code == 2
