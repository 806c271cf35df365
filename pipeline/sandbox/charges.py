"""Makes charges with a token, a customer, or a customer's card.

There is no money and no 3-D Secure here. The published test cards fail with their codes, every
other card succeeds; a failed charge is an answer (200), not an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.sandbox.cards import text_of, whole_number
from pipeline.sandbox.context import utc
from pipeline.sandbox.customers import optional_text, read_metadata
from pipeline.sandbox.lists import list_object, read_window
from pipeline.sandbox.payments import Money, new_charge, state_of
from pipeline.sandbox.refusals import (
    Refusal,
    bad_request,
    invalid_charge,
    missing_card,
    not_found,
)
from pipeline.sandbox.testcards import MESSAGES

if TYPE_CHECKING:
    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.context import Context, Params, Shown

_MINIMA: Final = {
    "THB": 2000,
    **dict.fromkeys(("JPY", "SGD", "MYR", "USD", "EUR", "GBP", "AUD", "CAD", "CNY", "HKD"), 100),
}
"""The least amount of each currency, in its smallest unit; only baht's is recorded."""

_NOT_PENDING: Final = {
    "successful": ("failed_capture", "charge cannot be captured"),
    "reversed": ("failed_reverse", "only uncaptured authorized charges can be reversed"),
}
"""What a charge that waits for nothing is refused with, by where it should have gone."""

Source = tuple["Shown", str | None, str | None, str | None]
"""A card, the code that its charges fail with, its customer's id, its token's id."""


def _signed(text: str) -> tuple[int, str]:
    return (-1, text[1:]) if text.startswith("-") else (1, text)


def _read_money(params: Params) -> Money:
    sign, digits = _signed(text_of(params.get("amount")).strip())
    amount = whole_number(digits)
    if amount is None:
        raise bad_request("amount is not a number")
    currency = text_of(params.get("currency")).strip().upper()
    if currency not in _MINIMA:
        raise invalid_charge("currency is currently not supported")
    least = _MINIMA[currency]
    if sign * amount < least:
        subunits = f"{least} ({currency.lower()} subunits)"
        raise invalid_charge(f"amount must be greater than or equal to {subunits}")
    return Money(amount, currency)


def _captured(part: object | None, authorized: int) -> int:
    """Give how much of a charge is captured: all of it, or the part that is asked for."""
    if part is None or part == "":
        return authorized
    amount = whole_number(part)
    if amount is None or not 1 <= amount <= authorized:
        raise Refusal(400, "failed_capture", "capture amount must not exceed authorized amount")
    return amount


def _said(params: Params) -> Shown:
    """Give what the client says about a charge besides card and money."""
    texts = {name: optional_text(params.get(name)) for name in ("description", "ip", "return_uri")}
    captures = str(params.get("capture", True)).lower() not in ("false", "0")
    metadata = read_metadata(params.get("metadata"))
    return {"capture": captures, "metadata": metadata, **texts}


class Charges:
    """`/charges`, asked with the secret key."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, account: Account, params: Params) -> Shown:
        """Charge a card, once for a token.

        Raises:
            Refusal: What is wrong with the token, the customer or the money; nothing is made.
        """
        context = self._context
        money, said = _read_money(params), _said(params)
        card, failure_code, customer, token = self._source(account, params)
        status = "failed" if failure_code else "successful" if said["capture"] else "pending"
        made = new_charge(context, account, money)
        if status == "successful":
            made["captured_amount"] = money.amount
        shown = {**made, **said, **self._state(account, status)}
        shown["card"], shown["customer"] = card, customer
        if failure_code:
            shown["failure_code"] = failure_code
            shown["failure_message"] = MESSAGES[failure_code]
        with context.state.transaction():
            context.state.add(account.name, token or "", {}, shown)
            if token:
                uses = status != "failed" or context.assume.failed_charge == "uses_token"
                context.state.mark_token(token, status, used=uses)
        return shown

    def retrieve(self, account: Account, ident: str) -> Shown:
        """Give a charge.

        Raises:
            Refusal: `not_found`.
        """
        return self._context.known(account, "charge", ident).shown

    def listed(self, account: Account, params: Params) -> Shown:
        """Give a part of the charges."""
        window = read_window(params, utc(self._context.now()))
        rows, total = self._context.state.window(account.name, "charge", None, window)
        return list_object([row.shown for row in rows], total, window, "/charges")

    def update(self, account: Account, ident: str, params: Params) -> Shown:
        """Change a charge's description or metadata.

        Raises:
            Refusal: `not_found`, `bad_request`.
        """
        shown = dict(self._context.known(account, "charge", ident).shown)
        if "description" in params:
            shown["description"] = optional_text(params["description"])
        if "metadata" in params:
            new = read_metadata(params["metadata"])
            merges = self._context.assume.metadata_on_update == "merge"
            shown["metadata"] = {**shown["metadata"], **new} if merges else new
        self._context.state.change(shown)
        return shown

    def capture(self, account: Account, ident: str, params: Params) -> Shown:
        """Capture a charge that was made with `capture=false`, in part with `capture_amount`.

        Raises:
            Refusal: `not_found`, or `failed_capture` when there is nothing to capture.
        """
        return self._settle(account, ident, "successful", params.get("capture_amount"))

    def reverse(self, account: Account, ident: str, _params: Params) -> Shown:
        """Give up a charge that was not captured yet.

        Raises:
            Refusal: `not_found`, or `failed_reverse`.
        """
        return self._settle(account, ident, "reversed")

    def _settle(
        self, account: Account, ident: str, status: str, part: object | None = None
    ) -> Shown:
        row = self._context.known(account, "charge", ident)
        if row.shown["status"] != "pending":
            raise Refusal(400, *_NOT_PENDING[status])
        shown = {**row.shown, **self._state(account, status)}
        if status == "successful":
            shown["captured_amount"] = _captured(part, shown["authorized_amount"])
        with self._context.state.transaction():
            self._context.state.change(shown)
            if row.parent:
                self._context.state.mark_token(row.parent, status, used=True)
        return shown

    def _state(self, account: Account, status: str) -> Shown:
        context = self._context
        transaction = context.ident(account, "trxn", context.id_generator.one())
        return state_of(status, utc(context.now()), transaction)

    def _source(self, account: Account, params: Params) -> Source:
        customer, card = params.get("customer"), params.get("card")
        if not customer and not card:
            raise missing_card()
        if not customer:
            token = self._context.fresh_token(account, card)
            return token.card, token.failure_code, None, token.ident
        owner = self._context.known(account, "customer", customer)
        wanted = card or owner.shown["default_card"]
        if not wanted:
            raise missing_card()
        row = self._context.known(account, "card", wanted)
        if row.parent != owner.ident:
            raise not_found("card", str(wanted))
        return row.shown, row.hidden["failure_code"], owner.ident, None
