"""What a profile counts of expirations that the rules accept and a person should look at."""

from __future__ import annotations

from pipeline.cards.export_profile import ExportProfile
from pipeline.cards.validator import validate
from tests.support.cards import row
from tests.support.chunks import AS_OF, chunk_of, rules


def test_expirations_more_than_twenty_years_ahead_are_counted():
    """`07/73` of the Buddhist era is read as 2073; no card is valid for so long."""
    years = ["30", "45", "2046", "47", "73", "2070"]
    chunk = chunk_of(*(row(id=f"a{year}", exp_month="11", exp_year=year) for year in years))
    seen = ExportProfile()
    seen.add(chunk, validate(chunk, rules()), AS_OF)

    assert seen.figures()["expiring_far_ahead"] == 3
