"""Searches customers and charges by words, page by page (`GET /search`).

It is how a migration looks for a customer whose answer got lost. The answer's shape is recorded;
what the real index looks at is not, so ids, e-mail addresses and descriptions are looked at here,
and a filter is refused rather than ignored. The real index may also lag, this one never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
        page = whole_number(params.get("page") or 1)
        if page is None or not 1 <= page <= _PAGE_MAX:
            raise Refusal(400, "invalid_page", "page is not a valid number")
        if params.get("filters"):
            raise Refusal(400, "invalid_filters", "filters are currently not supported")
        wanted = {
            "order": params.get("order"),
            "limit": _PER_PAGE,
            "offset": (page - 1) * _PER_PAGE,
        }
        window = read_window(wanted, utc(self._context.now()))
        rows, total = self._context.state.window(account.name, scope, None, window, query)
        found = [row.shown for row in rows]
        if scope == "customer":
            found = [self._customers.whole(account, shown) for shown in found]
        return {
            "object": "search",
            "order": "reverse_chronological" if window.newest_first else "chronological",
            "scope": scope,
            "query": query,
            "filters": {},
            "page": page,
            "per_page": _PER_PAGE,
            "location": "/search",
            "total_pages": -(-total // _PER_PAGE),
            "total": total,
            "data": found,
        }
