"""Random tables: every line ends in exactly one row or is named, and no card gets another's id."""

from random import Random

import pytest

from tests.support.tables import carried, random_table


def require_truth(table, seed):
    """Compare what was read with what was written, line by line."""
    found = carried(table)
    wrong = [(key, digits) for key, digits in found.cards if table.last_digits.get(key) != digits]
    ids = [key for key, _ in found.cards]

    assert wrong == [], (seed, table.form)
    assert len(ids) == len(set(ids)), seed
    assert found.rows == len(found.cards) + found.unreadable + len(found.rejected), seed
    # A rejected row that was read has its lines, too; an unreadable line is a row of its own.
    lines = sum(table.lines_of[key] for key in ids) + found.unreadable
    lines += sum(table.lines_of.get(key, 1) for key in found.rejected)
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
