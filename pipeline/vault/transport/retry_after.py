"""Reads the seconds to keep away from a Retry-After header."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_AFTER_MAX_S: Final = 900.0
"""The longest wait that is kept, a quarter of an hour; a vault that names a longer one is asked again then."""

_SECONDS: Final = re.compile(rb"[0-9]{1,20}")
_DATE_BYTES_MAX: Final = 64


def retry_after_s(
    value: bytes | None, date: bytes | None, now: Callable[[], datetime]
) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.

    Args:
        value: The field as it came, `None` if it did not.
        date: The same answer's `Date`; a date in `value` is measured against it, because the
            vault's clock wrote both.
        now: Our wall clock, asked for an answer without a readable `Date`.

    Returns:
        Seconds from the answer's arrival within 0 and `RETRY_AFTER_MAX_S`; zero for the past;
        `None` for what is no Retry-After.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return min(float(value), RETRY_AFTER_MAX_S)
    until = _http_date(value)
    if until is None:
        return None
    wait = (until - (_http_date(date) or now())).total_seconds()
    return min(max(wait, 0.0), RETRY_AFTER_MAX_S)


def _http_date(text: bytes | None) -> datetime | None:
    """Read a date, or give `None`; the parser's own exceptions would quote the text."""
    if text is None or len(text) > _DATE_BYTES_MAX:
        return None
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # A date without a zone is UTC, as HTTP has no other.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
