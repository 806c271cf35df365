"""Retry-After in every form that it comes in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.vault.transport.retry_after import RETRY_AFTER_MAX_S, retry_after_s

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
DATE = b"Thu, 01 Jan 2026 09:00:00 GMT"


def read(value, date=DATE):
    return retry_after_s(value, date, lambda: NOW)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0.0),
        (b"1", 1.0),
        (b"120", 120.0),
        (b"86400", RETRY_AFTER_MAX_S),
        (b"99999999999999999999", RETRY_AFTER_MAX_S),
        (b"Thu, 01 Jan 2026 09:00:30 GMT", 30.0),
        (b"Thursday, 01-Jan-26 09:00:30 GMT", 30.0),
        (b"Thu Jan  1 09:00:30 2026", 30.0),
        (b"Thu, 01 Jan 2026 08:59:00 GMT", 0.0),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_S),
        (b"-5", None),
        (b"1.5", None),
        (b"soon", None),
        (b"", None),
        (b"1" * 21, None),
        (b"Thu, 99 Jan 2026 09:00:30 GMT", None),
        (b"\xff\xfe", None),
        ("٣".encode(), None),
        (None, None),
    ],
)
def test_seconds_and_dates_are_read_and_garbage_is_not(value, expected):
    """Seconds, or a date against the answer's own Date, within a quarter of an hour."""
    assert expected == read(value)


@pytest.mark.parametrize("date", [None, b"garbage", b"x" * 1000])
def test_without_a_readable_date_our_own_clock_measures(date):
    """An answer that does not say when it was written was written now."""
    assert 30.0 == read(b"Thu, 01 Jan 2026 12:00:30 GMT", date)


@given(value=st.binary(max_size=80), date=st.none() | st.binary(max_size=80))
def test_no_header_makes_it_fail(value, date):
    """Any bytes give nothing or seconds within the bounds."""
    wait = read(value, date)

    assert wait is None or 0.0 <= wait <= RETRY_AFTER_MAX_S
