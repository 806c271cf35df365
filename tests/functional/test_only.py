"""A cohort: `run --only FILE` carries some rows now and leaves the others for later."""

import pytest

from pipeline.errors import SettingsRefused
from pipeline.migration.cohort_file import read_cohort
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.sandbox import running


def test_a_cohort_is_carried_and_the_rest_follows(tmp_path):
    """The others are skipped, which is all well (0); without --only every row is carried once."""
    only = tmp_path / "canary.txt"
    only.write_bytes(b"\xef\xbb\xbfid-2\r\n\r\n  id-5 \r\nid-5\r\nnobody\r\n")
    with running(journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url)
        words = ("run", sealed(tmp_path, rows_csv(6)), "-c", config, "-o", tmp_path / "out")
        approved = cardferry(*words, "--only", only, "--plan", "ab" * 32, "--json", code=7).json
        shown = cardferry(*words, "--only", only, "--plan", approved["plan_digest"])
        status = cardferry("status", tmp_path / "out", "--json").json
        stands = cardferry("status", tmp_path / "out").out
        rest = cardferry(*words, "--json").json
        made = len(vault.entries())

    assert {"left_out": 4, "unknown": 1} == approved["cohort"]
    assert "cohort: 4 rows left out; 1 of its ids is in none of these exports" in shown.err
    assert "cohort: 4 rows left out; 1 of its ids is in none of these exports" in shown.out
    assert "2 of 6 rows have a token; 4 rows were left out" in " ".join(shown.out.split())
    assert "4 rows of these exports are left out: the same command without `--only`" in shown.err
    assert ["tokenized", "2", "2"] in [line.split() for line in shown.out.splitlines()]
    assert (2, 4) == tuple(status["states"][s] for s in ("tokenized", "skipped"))
    assert 4 == status["left_out"]
    assert "4 rows were left out (not in the cohort, or given up)" in stands.splitlines()
    assert 4 == rest["this_run"]["rows"]["tokenized"]
    assert 6 == rest["all_time"]["balance"]["tokenized"] == made
    assert "cohort" not in rest


def test_a_cohort_of_strangers_is_told_at_the_end(tmp_path):
    """Where none of its ids is there nothing is sent and no plan shown: the file was the wrong one."""
    only = tmp_path / "others.txt"
    only.write_text("nobody\nno-one\n")
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        words = ("run", sealed(tmp_path, rows_csv(3)), "-c", config, "-o", tmp_path / "out")
        shown = cardferry(*words, "--only", only)

    assert "cohort: 3 rows left out; 2 of its ids are in none of these exports" in shown.out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\n \n", "names no legacy id"),
        (b"\xff\xfe1\x00", "not text in UTF-8"),
        (b"x" * 5000, "longer than any legacy id"),
        (None, "cannot be read"),
    ],
    ids=["empty", "utf-16", "binary", "missing"],
)
def test_a_file_that_is_no_cohort_is_refused(tmp_path, content, why):
    """Nothing is left out by mistake: the settings are refused (7) before anything else."""
    file = tmp_path / "only.txt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsRefused, match=why):
        read_cohort(file)
