"""Random tables: every line ends in exactly one row or is named, and no card gets another's id."""

from random import Random

import pytest

from pipeline.config.policies import Quoting
from tests.support.tables import HEADER, Form, Table, carried, random_table


def require_truth(table, seed):
    """Compare what was read with what was written, line by line."""
    found = carried(table)
    wrong = [(key, digits) for key, digits in found.cards if table.last_digits.get(key) != digits]
    ids = [key for key, _ in found.cards]

    assert wrong == [], (seed, table.form)
    assert len(ids) == len(set(ids)), seed
    assert found.rows == len(found.cards) + found.unreadable + len(found.rejected), seed
    # A rejected row that was read has its lines, too; an unreadable line is a row of its own.
    # An id over two lines is none: a cut line's quote was closed by the next line's stray one.
    lines = sum(table.lines_of[key] for key in ids) + found.unreadable
    lines += sum(table.lines_of.get(key, own) for key, own in found.rejected)
    assert lines == table.lines, (seed, table.form)
    if not table.is_spoilt:
        assert len(ids) == len(table.last_digits), (seed, table.form)
        assert found.unreadable == 0


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_every_line_ends_in_one_row_and_no_id_gets_another_card(seed, spoilt):
    """Whatever the dialect, the cuts and the stray quotes."""
    random = Random(f"{seed} {spoilt}")
    require_truth(random_table(random, random.randint(1, 120), spoilt=spoilt), seed)


def test_a_cut_id_that_the_next_line_closes_is_one_rejected_row_of_both_lines():
    """Such a record is well formed, so it may be the sender's; nothing can be known of its lines."""
    form = Form(",", Quoting.RFC4180, "\r\n", blanks=False, chunk_rows=500, block_bytes=4096)
    plain = (
        ",".join(HEADER) + '\r\n"row-27\r\nrow-28""","O\'Brien",,4601382532880116,3,2031,Oslo\r\n'
    )
    table = Table(form, plain.encode(), lines=2, is_spoilt=True)
    require_truth(table, "by hand")

    assert [("", 2)] == carried(table).rejected


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_a_million_rows_none_is_wrong_and_none_is_lost():
    """The same over 1,000,000 rows, half of them in tables that are spoilt."""
    rows, seed = 0, 1000
    while rows < 1_000_000:
        random = Random(seed)
        count = random.choice([50, 500, 5_000, 20_000])
        require_truth(random_table(random, count, spoilt=bool(seed % 2)), seed)
        rows += count
        seed += 1
