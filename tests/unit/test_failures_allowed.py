"""How many rows of an export may fail, and the limit that a refused export would have needed."""

from collections import Counter
from decimal import Decimal

import pytest

from pipeline.errors import TooManyFailures
from pipeline.migration.expectations import (
    failures_allowed,
    least_rate,
    refuse_too_many_failures,
)
from pipeline.model import RowState


@pytest.mark.parametrize(
    ("rows", "rate", "allowed"), [(100, 0.29, 29), (100, 0.57, 57), (3, 0.1, 0), (7, 1.0, 7)]
)
def test_a_share_is_that_of_its_digits(rows, rate, allowed):
    """29 of 100 may fail at 0.29, though binary fractions make a little less than 29 of it."""
    assert allowed == failures_allowed(rows, rate)


@pytest.mark.parametrize(
    ("rows", "failures", "least"),
    [(10, 5, "0.5"), (3, 1, "0.34"), (1_000_000, 7, "0.000007"), (12_345, 12_345, "1")],
)
def test_the_limit_that_is_named_is_the_least_in_its_digits(rows, failures, least):
    """It lets the file through, and the next lower one of so many digits does not."""
    step = Decimal(1).scaleb(-max(2, len(str(rows))))
    states = Counter({RowState.REJECTED: failures, RowState.PLANNED: rows - failures})

    assert least == least_rate(rows, failures)
    refuse_too_many_failures("a.csv", states, float(least))
    with pytest.raises(TooManyFailures, match=f"would have to be {least}"):
        refuse_too_many_failures("a.csv", states, float(Decimal(least) - step))
