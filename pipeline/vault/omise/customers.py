"""Keeps cards on customers at Omise's API host, one attempt a call and never a retry.

Of that host nothing but `/account` and `/customers` can be reached from here: paths are made of
these words and of ids that are checked by their shape.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx
import orjson

from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.interface import CustomerAnswer
from pipeline.vault.omise.answers import CARD_ID, TOKEN_ID
from pipeline.vault.omise.customer_answer import CUSTOMER_ID, read_answer
from pipeline.vault.omise.exchange import (
    Line,
    head_fields,
    outcome_of_cancellation,
    outcome_of_failure,
)

if TYPE_CHECKING:
    import asyncio
    import re
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from pipeline.clock import Clock

LIST_MAX: Final = 100
"""The longest page that the vault gives."""

_CUT_SHORT: Final[dict[str, Any]] = {
    "kind": OutcomeKind.AMBIGUOUS,
    "evidence": "an empty page where the list has more",
}

_WITH_BODY: Final = (
    b"%b %b HTTP/1.1\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)
_CUSTOMER_FIELDS: Final = frozenset({"email", "description", "metadata"})


class CustomerClient:
    """Makes, changes and shows customers and their cards (`pipeline.vault.interface.CustomerVault`).

    Every method gives a `CustomerAnswer`, whatever happens; only a cancellation passes through.

    Args:
        line: The way to the API host.
        url: The host's address.
        secret_key: The account's secret key; it is kept only inside the request head.
        api_version: The `Omise-Version` to speak.
        livemode: Whether every answer must be of live mode, or none.
        clock: For a Retry-After without a date beside it.
    """

    def __init__(
        self,
        line: Line,
        *,
        url: str,
        secret_key: str,
        api_version: str,
        livemode: bool,
        clock: Clock,
    ) -> None:
        self._line = line
        self._livemode = livemode
        self._now = clock.now
        self._base, self._fields = head_fields(url, secret_key, api_version)

    async def account(self) -> CustomerAnswer:
        """Send `GET /account`."""
        return await self._request(b"GET", "/account", "account")

    async def make_customer(self, token_id: str, fields: Mapping[str, Any]) -> CustomerAnswer:
        """Send `POST /customers` with a token's card.

        Args:
            token_id: An unused token.
            fields: `email`, `description`, `metadata`; what is missing is not sent.

        Raises:
            ValueError: An id is not one of the vault's, or a field is none of these or no JSON.
        """
        if not fields.keys() <= _CUSTOMER_FIELDS:
            raise ValueError("a customer has an e-mail, a description and metadata only")
        body = {**fields, "card": _checked(token_id, TOKEN_ID)}
        return await self._request(b"POST", "/customers", "customer", body)

    async def add_card(self, customer_id: str, token_id: str) -> CustomerAnswer:
        """Send `PATCH /customers/{id}` with a token's card and nothing else.

        Raises:
            ValueError: An id is not one of the vault's.
        """
        body = {"card": _checked(token_id, TOKEN_ID)}
        return await self._request(b"PATCH", _path(customer_id), "customer", body)

    async def set_default_card(self, customer_id: str, card_id: str) -> CustomerAnswer:
        """Send `PATCH /customers/{id}` with a default card and nothing else.

        Raises:
            ValueError: An id is not one of the vault's.
        """
        body = {"default_card": _checked(card_id, CARD_ID)}
        return await self._request(b"PATCH", _path(customer_id), "customer", body)

    async def delete_card(self, customer_id: str, card_id: str) -> CustomerAnswer:
        """Send `DELETE /customers/{id}/cards/{card}`.

        Raises:
            ValueError: An id is not one of the vault's.
        """
        return await self._request(b"DELETE", _path(customer_id, card_id), "card")

    async def customer(self, customer_id: str) -> CustomerAnswer:
        """Send `GET /customers/{id}`.

        Raises:
            ValueError: The id is not one of the vault's.
        """
        return await self._request(b"GET", _path(customer_id), "customer")

    async def card(self, customer_id: str, card_id: str) -> CustomerAnswer:
        """Send `GET /customers/{id}/cards/{card}`.

        Raises:
            ValueError: An id is not one of the vault's.
        """
        return await self._request(b"GET", _path(customer_id, card_id), "card")

    async def customers(
        self, since: datetime, *, offset: int = 0, limit: int = LIST_MAX, newest_first: bool = False
    ) -> CustomerAnswer:
        """Send `GET /customers` for a page.

        Args:
            since: Only customers made from this second on (the vault's clock), aware.
            offset: How many of them to pass over.
            limit: At most so many, 1 to `LIST_MAX`.
            newest_first: Whether the list begins at its end.
        """
        query = urlencode(
            {
                "limit": min(max(limit, 1), LIST_MAX),
                "offset": max(offset, 0),
                "order": "reverse_chronological" if newest_first else "chronological",
                "from": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
        answer = await self._request(b"GET", f"/customers?{query}", "list")
        is_page = answer.outcome.kind is OutcomeKind.OK
        if is_page and not answer.customers and answer.total > max(offset, 0):
            # Believed, it would prove that a customer is not there.
            return answer._replace(outcome=answer.outcome._replace(**_CUT_SHORT))
        return answer

    def outcome_of(self, cancelled: asyncio.CancelledError) -> Outcome:
        """Give what a cancelled call came to, by the transport's mark in the cancellation."""
        return outcome_of_cancellation(cancelled)

    async def _request(
        self, method: bytes, path: str, wanted: str, body: Mapping[str, Any] | None = None
    ) -> CustomerAnswer:
        target = self._base + path.encode("ascii")
        if body is None:
            message = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, self._fields)
        else:
            content = _encoded(body)
            parts = method, target, self._fields, len(content), content
            message = _WITH_BODY % parts
        try:
            answer = await self._line.exchange(message)
        except httpx.TransportError as failure:
            return CustomerAnswer(outcome_of_failure(failure, "attach.url"))
        return read_answer(answer, wanted, livemode=self._livemode, now=self._now)


def is_customer_id(text: str, *, livemode: bool) -> bool:
    """Tell whether a text has the shape of a customer's id of this mode."""
    found = CUSTOMER_ID(text)
    return found is not None and (found[1] is None) == livemode


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        raise ValueError("a field of the customer is no JSON") from None


def _path(customer_id: str, card_id: str | None = None) -> str:
    path = f"/customers/{_checked(customer_id, CUSTOMER_ID)}"
    return path if card_id is None else f"{path}/cards/{_checked(card_id, CARD_ID)}"


def _checked(text: str, shape: Callable[[str], re.Match[str] | None]) -> str:
    if shape(text) is None:
        raise ValueError("not an id of the vault's")
    return text
