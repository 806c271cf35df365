"""Searches customers and charges by words, page by page (`GET /search`).

It is how a migration looks for a customer whose answer got lost. The answer's shape is recorded;
what the real index looks at is not, so e-mail addresses and descriptions are looked into here, and
ids are found only whole. Of the filters `created` is kept to, the others are taken and told in the
answer, as recorded. The real index may also lag, this one never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.sandbox.cards import text_of, whole_number
from pipeline.sandbox.context import utc
from pipeline.sandbox.lists import read_window
from pipeline.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.context import Context, Params, Shown
    from pipeline.sandbox.customers import Customers

_SCOPES: Final = ("customer", "charge")
_PER_PAGE: Final = 30
_PER_PAGE_MAX: Final = 100
_PAGE_MAX: Final = 1_000_000_000


class Searches:
    """`/search`, asked with the secret key."""

    def __init__(self, context: Context, customers: Customers) -> None:
        self._context = context
        self._customers = customers

    def find(self, account: Account, params: Params) -> Shown:
        """Give a page of what holds the query's text, in any case of letters.

        Raises:
            Refusal: `invalid_scope`, `invalid_page` or `invalid_filters`.
        """
        scope, query = params.get("scope"), text_of(params.get("query"))
        if scope not in _SCOPES:
            raise Refusal(400, "invalid_scope", "scope is not included in the list")
        page = _count(params, "page", 1, _PAGE_MAX)
        per_page = min(_count(params, "per_page", _PER_PAGE, _PAGE_MAX), _PER_PAGE_MAX)
        filters = _filters(params)
        since, _, until = text_of(filters.get("created")).partition("..")
        wanted = {
            "order": params.get("order"),
            "limit": per_page,
            "offset": (page - 1) * per_page,
            "from": since,
            "to": _end_of_day(until or since),
        }
        window = read_window(wanted, utc(self._context.now()))
        rows, total = self._context.state.window(account.name, scope, None, window, query)
        found = [row.shown for row in rows]
        if scope == "customer":
            found = [self._customers.whole(account, shown) for shown in found]
        return {
            "object": "search",
            "export": False,
            "data": found,
            "page": page,
            "per_page": per_page,
            "total": total,
            "total_pages": -(-total // per_page),
            "filters": filters,
            "location": "/search",
            "order": "reverse_chronological" if window.newest_first else "chronological",
            "query": query,
            "scope": scope,
            "aggregate_level": None,
        }


def _count(params: Params, name: str, default: int, most: int) -> int:
    number = whole_number(params.get(name) or default)
    if number is None or not 1 <= number <= most:
        raise Refusal(400, "invalid_page", f"{name} is not a valid number")
    return number


def _filters(params: Params) -> dict[str, Any]:
    filters = params.get("filters") or {}
    if not isinstance(filters, dict):
        raise Refusal(400, "invalid_filters", "filters is not a hash")
    return filters


def _end_of_day(moment: str) -> str:
    """Give a day's last second, and a moment as it is."""
    return f"{moment}T23:59:59Z" if len(moment) == len("2025-03-20") else moment
