"""Keeps customers and their cards: what makes a token's card last, and where single use is real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.sandbox.cards import (
    ADDRESS_FIELDS,
    holder_problems,
    join,
    read_country,
    read_year,
    text_of,
    whole_number,
    without_own_number,
)
from pipeline.sandbox.context import utc
from pipeline.sandbox.lists import empty_list, list_object, read_window
from pipeline.sandbox.refusals import bad_request, invalid_card, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.context import Context, Params, Shown
    from pipeline.sandbox.records import ObjectRow

_HOLDER_FIELDS: Final = ("name", "expiration_month", "expiration_year")


def read_metadata(value: object) -> dict[str, Any]:
    """Read metadata: any JSON object.

    Raises:
        Refusal: `bad_request` for anything else.
    """
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise bad_request("metadata is not a hash")
    return value


def optional_text(value: object) -> str | None:
    """Read a free text; nothing and '' are None."""
    return text_of(value) or None


class Customers:
    """`/customers` and `/customers/{id}/cards`, asked with the secret key."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_known(self, account: Account, idents: Iterable[str]) -> None:
        """Keep customers, without a card, under ids that are known beforehand."""
        for ident in idents:
            if self._context.state.get(account.name, "customer", ident) is None:
                self._context.state.add(account.name, "", {}, self._new(account, ident, {}))

    def create(self, account: Account, params: Params) -> Shown:
        """Make a customer, with a token's card when one is given.

        Raises:
            Refusal: What is wrong with the token or the parameters; nothing is made.
        """
        context = self._context
        ident = context.ident(account, "cust", context.id_generator.one())
        shown = self._new(account, ident, params)
        with context.state.transaction():
            context.state.add(account.name, "", {}, shown)
            if not self._attach(account, shown, params.get("card"), "POST"):
                context.note_change(ident, None, "POST")
        return self.whole(account, shown)

    def _new(self, account: Account, ident: str, params: Params) -> Shown:
        return {
            "object": "customer",
            "id": ident,
            "livemode": account.livemode,
            "location": f"/customers/{ident}",
            "deleted": False,
            "metadata": read_metadata(params.get("metadata")),
            "default_card": None,
            "description": optional_text(params.get("description")),
            "email": optional_text(params.get("email")),
            "created_at": utc(self._context.now()),
        }

    def update(self, account: Account, ident: str, params: Params) -> Shown:
        """Change a customer; a token adds its card, which becomes the default of none before.

        Raises:
            Refusal: What is wrong; nothing is changed.
        """
        context = self._context
        shown = dict(context.known(account, "customer", ident).shown)
        for name in ("description", "email"):
            if name in params:
                shown[name] = optional_text(params[name])
        if "metadata" in params:
            new = read_metadata(params["metadata"])
            merges = context.assume.metadata_on_update == "merge"
            shown["metadata"] = {**shown["metadata"], **new} if merges else new
        default = params.get("default_card")
        with context.state.transaction():
            self._attach(account, shown, params.get("card"), "PATCH")
            if default is not None and default != "":
                shown["default_card"] = self._own_card(account, ident, str(default)).ident
            context.state.change(shown)
        return self.whole(account, shown)

    def retrieve(self, account: Account, ident: str) -> Shown:
        """Give a customer.

        Raises:
            Refusal: `not_found`.
        """
        return self.whole(account, self._context.seen(account, "customer", ident).shown)

    def listed(self, account: Account, params: Params) -> Shown:
        """Give a part of the customers."""
        window = read_window(params, utc(self._context.now()))
        rows, total = self._context.state.window(account.name, "customer", None, window)
        shown = [self.whole(account, row.shown) for row in rows]
        return list_object(shown, total, window, "/customers")

    def destroy(self, account: Account, ident: str) -> Shown:
        """Delete a customer and all of its cards.

        Raises:
            Refusal: `not_found`.
        """
        shown = dict(self._context.known(account, "customer", ident).shown)
        shown["deleted"], shown["default_card"] = True, None
        with self._context.state.transaction():
            self._context.state.change(shown, deleted=True)
            self._context.state.delete_children(account.name, ident)
            self._context.note_change(ident, None, "DELETE")
        return self.whole(account, shown)

    def cards(self, account: Account, ident: str, params: Params) -> Shown:
        """Give a part of a customer's cards.

        Raises:
            Refusal: `not_found`.
        """
        self._context.known(account, "customer", ident)
        return self._cards(account, ident, params)

    def linked_accounts(self, account: Account, idents: list[str], params: Params) -> Shown:
        """Give a customer's bank accounts: none here.

        Raises:
            Refusal: `not_found`.
        """
        return self._nothing(account, idents[0], "linked_accounts", params)

    def schedules(self, account: Account, idents: list[str], params: Params) -> Shown:
        """Give a customer's charge schedules: none here.

        Raises:
            Refusal: `not_found`.
        """
        return self._nothing(account, idents[0], "schedules", params)

    def _nothing(self, account: Account, ident: str, name: str, params: Params) -> Shown:
        self._context.known(account, "customer", ident)
        window = read_window(params, utc(self._context.now()))
        return list_object([], 0, window, f"/customers/{ident}/{name}")

    def card(self, account: Account, ident: str, card: str) -> Shown:
        """Give a customer's card.

        Raises:
            Refusal: `not_found`.
        """
        self._context.seen(account, "customer", ident)
        row = self._context.seen(account, "card", card)
        if row.parent != ident:
            raise not_found("card", card)
        return row.shown

    def update_card(self, account: Account, ident: str, card: str, params: Params) -> Shown:
        """Change a card's name, expiry or address; its number and code cannot be changed.

        Raises:
            Refusal: `not_found`, or `invalid_card` with every problem.
        """
        self._context.known(account, "customer", ident)
        shown = dict(self._own_card(account, ident, card).shown)
        wanted = {name: params.get(name, shown[name]) for name in _HOLDER_FIELDS}
        shown["country"], problems = read_country(params.get("country"), shown["country"])
        if problems := holder_problems(wanted, self._context.rules()) + problems:
            raise invalid_card(join(problems))
        last_digits = shown["last_digits"]
        shown["name"] = without_own_number(text_of(wanted["name"]), last_digits)
        shown["expiration_month"] = whole_number(wanted["expiration_month"])
        shown["expiration_year"] = read_year(wanted["expiration_year"])
        for name in ADDRESS_FIELDS:
            if name in params:
                text = without_own_number(text_of(params[name]), last_digits)
                shown[name] = text or None
        self._context.state.change(shown)
        return shown

    def destroy_card(self, account: Account, ident: str, card: str) -> Shown:
        """Delete a card; the latest card that is left becomes the default in its place.

        Raises:
            Refusal: `not_found`.
        """
        context = self._context
        customer = dict(context.known(account, "customer", ident).shown)
        shown = {**self._own_card(account, ident, card).shown, "deleted": True}
        with context.state.transaction():
            context.state.change(shown, deleted=True)
            context.note_change(card, ident, "DELETE")
            if customer["default_card"] == card:
                latest = {"order": "reverse_chronological", "limit": 1}
                left = self._cards(account, ident, latest)["data"]
                customer["default_card"] = left[0]["id"] if left else None
                context.state.change(customer)
        return shown

    def _own_card(self, account: Account, ident: str, card: str) -> ObjectRow:
        row = self._context.known(account, "card", card)
        if row.parent != ident:
            raise not_found("card", card)
        return row

    def _attach(self, account: Account, customer: Shown, token: object, by: str) -> bool:
        """Move a token's card, if one is given, to a customer, inside the caller's transaction."""
        if token is None or token == "":
            return False
        state = self._context.state
        row = self._context.fresh_token(account, token)
        location = f"{customer['location']}/cards/{row.card['id']}"
        state.mark_token(row.ident, None, used=True)
        hidden = {"failure_code": row.failure_code}
        state.add(account.name, customer["id"], hidden, {**row.card, "location": location})
        if customer["default_card"] is None:
            customer["default_card"] = row.card["id"]
        state.change(customer)
        # Inside, so that a journal that takes no line leaves no card behind its 500.
        self._context.note_change(row.card["id"], customer["id"], by, row.ident)
        return True

    def _cards(self, account: Account, ident: str, params: Params) -> Shown:
        window = read_window(params, utc(self._context.now()))
        rows, total = self._context.state.window(account.name, "card", ident, window)
        location = f"/customers/{ident}/cards"
        return list_object([row.shown for row in rows], total, window, location)

    def whole(self, account: Account, shown: Shown) -> Shown:
        """Give a customer with its lists, in the recorded order of keys."""
        location, now = shown["location"], utc(self._context.now())
        lists = {
            "metadata": shown["metadata"],
            "cards": self._cards(account, shown["id"], {}),
            "default_card": shown["default_card"],
            "linked_accounts": empty_list(location + "/linked_accounts", now),
        }
        head = {name: shown[name] for name in ("object", "id", "livemode", "location", "deleted")}
        tail = {name: shown[name] for name in ("description", "email", "created_at")}
        return {**head, **lists, **tail}
