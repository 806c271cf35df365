"""The validator, a column at a time, against the rules written down one row at a time."""

from __future__ import annotations

from datetime import date
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cards import LENGTHS, PUBLISHED_TEST_NUMBERS, card_number, row
from tests.support.chunks import ALL_BRANDS, rules, validated
from tests.support.frames import frame_of
from tests.support.sampled import examples
from tests.support.slow_rules import slow_code

good_numbers = st.builds(
    lambda seed, brand: card_number(Random(seed), brand),
    st.integers(0),
    st.sampled_from([*LENGTHS]),
) | st.sampled_from(PUBLISHED_TEST_NUMBERS)
numbers = (
    good_numbers
    | st.builds(lambda number, place: number[:place], good_numbers, st.integers(0, 19))
    | st.text("0123456789", max_size=22)
    | st.text("0123456789 -.,eE+*xX", max_size=20)
    | st.builds("{0:.3}E+15".format, good_numbers)
)
letters = st.text(st.characters(categories=["L", "Mn", "So"]), max_size=12)
months = st.sampled_from([f"{m}" for m in range(15)] + [f"{m:02d}" for m in range(15)] + ["", "x"])
years = st.integers(-5, 120).map(str) | st.integers(1900, 2120).map(str) | letters
rows = st.builds(
    row,
    id=letters | st.just("i" * 256),
    card_number=numbers,
    card_holder=letters | st.just("N" * 256),
    exp_month=months,
    exp_year=years,
    country=st.sampled_from(["", "TH", "th", "Us", "T", "THA", "ß", "1"]),
)
all_rules = st.builds(
    rules,
    as_of=st.dates(date(2024, 1, 1), date(2030, 12, 31)),
    expired=st.sampled_from(["reject", "tokenize"]),
    brands=st.frozensets(st.sampled_from(sorted(ALL_BRANDS))),
    livemode=st.booleans(),
    loopback_vault=st.booleans(),
)


def stripped(bad):
    """Give a row under canonical names, as the reader hands it on."""
    names = {"id": "legacy_id", "card_number": "number", "card_holder": "name"}
    names |= {"exp_month": "expiration_month", "exp_year": "expiration_year", "country": "country"}
    return {name: bad[source].strip() for source, name in names.items()}


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(rows, min_size=1, max_size=8), all_rules)
def test_the_verdict_is_that_of_the_slow_definition(some, judged_by):
    """Every row is a card or a rejection, under the code of the first rule it breaks."""
    published = frozenset(PUBLISHED_TEST_NUMBERS)
    expected = [slow_code(stripped(bad), judged_by, published) for bad in some]
    verdict = validated(*some, **{name: getattr(judged_by, name) for name in judged_by.__slots__})
    found = dict.fromkeys(frame_of(verdict.cards).index.tolist())
    found |= {rejection.row: rejection.code for rejection in verdict.rejections}

    assert [found[place] for place in range(1, len(some) + 1)] == expected
    assert len(verdict.cards) + len(verdict.rejections) == len(some)
