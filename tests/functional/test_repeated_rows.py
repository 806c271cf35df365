"""Rows that repeat an earlier one of their export are one card; rows that only look so are none."""

import pytest

from tests.support.commands import HEADER, sealed, settings
from tests.support.judged import command
from tests.support.sandbox import running

VISA = "4242424242424242"
LIKE_IT = "4929000000004242"
"""Another Visa that ends in the same four digits."""
ROWS = {
    "twice, and nothing else": ["a,Ann,{visa},12,2031,Oslo,c1"] * 2,
    "three times": ["b,Bob,{visa},11,2031,,c2"] * 3,
    "written otherwise": ["w,Ann,{visa},12,2031,Oslo,c1", "w,Ann, 4242-4242-4242-4242,12,31,Oslo,c1"],
    "another card of one look": ["d,Ann,{visa},12,2031,,c1", "d,Ann,{like_it},12,2031,,c1"],
    "another name": ["e,Ann,{visa},12,2031,,c1", "e,Eve,{visa},12,2031,,c1"],
    "another customer": ["f,Ann,{visa},12,2031,,c1", "f,Ann,{visa},12,2031,,c9"],
    "another town": ["g,Ann,{visa},12,2031,Oslo,c1", "g,Ann,{visa},12,2031,,c1"],
    "twice alike and once not": [*["h,Ann,{visa},12,2031,,c1"] * 2, "h,Ann,{visa},11,2031,,c1"],
    "refused, and good": ["i,Ann,,12,2031,,c1", "i,Ann,{visa},12,2031,,c1"],
    "no card": [",,,,,,c8"],
}  # fmt: skip
REPEATED = {"a": 1, "b": 2, "w": 1}


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """One run over chunks of three rows, so that most of the rows are in chunks apart."""
    folder = tmp_path_factory.mktemp("repeated")
    groups = [list(rows) for rows in ROWS.values()]
    # The firsts of all, then the seconds, then the thirds.
    rows = [group[place] for place in range(3) for group in groups if place < len(group)]
    text = "\n".join([HEADER, *rows, ""]).format(visa=VISA, like_it=LIKE_IT)
    export = sealed(folder, text.encode())
    with running(journal=folder / "journal") as vault:
        config = settings(folder, vault.base_url, "chunk_rows = 3")
        run = command(folder / "out", "run", export, "-c", config, "-o", folder / "out", "--json")
        again = command(folder / "out", "run", export, "-c", config, "-o", folder / "out", "--json")
        made = len(vault.entries())
    return folder, export, config, run, again, made


def test_a_row_that_repeats_another_is_skipped_and_its_card_sent_once(carried):
    """Whatever chunk it is in; the run ends as if it were not there, but for the count."""
    *_, run, again, made = carried

    assert made == 3
    assert {row["legacy_id"] for row in run.rows("mapping")} == {"a", "b", "w"}
    assert run.answer["all_time"]["balance"]["skipped"] == sum(REPEATED.values()) + 1
    assert again.code == 0


def test_rows_that_differ_in_anything_stay_duplicates(carried):
    """In the number itself, too, which the ledger does not keep: two cards look the same in it."""
    run = carried[3]
    failed = [row["legacy_id"] for row in run.rows() if row["code"] == "legacy_id_duplicate"]

    assert sorted(failed) == sorted("dd" + "ee" + "ff" + "gg" + "hhh" + "i")


def test_the_balance_holds_and_verify_reads_the_same_from_the_export(carried):
    """A row that is skipped is one that the export has."""
    folder, export, config, run, *_ = carried
    balance = run.answer["all_time"]["balance"]
    verified = command(folder, "verify", folder / "out", "--export", export, "-c", config)

    assert balance["difference"] == 0
    assert balance["rows"] == sum(map(len, ROWS.values()))
    assert verified.code == 0, verified.err + verified.out


def test_check_counts_repeated_rows_as_the_same_card_again(carried):
    """Apart from the rows that have another card under the same id."""
    folder, export, config, *_ = carried
    checked = command(folder, "check", export, "-c", config, "--json")

    assert checked.answer["to_send"] == 3
    assert checked.answer["skipped"] == {"no_card": 1, "repeated": 4}
    assert checked.answer["duplicates"] == {"same_card_again": 4, "legacy_id_duplicate": 12}
