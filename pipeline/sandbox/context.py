"""Holds what every operation of the vault works with: the state, the ids, the time, the rules."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.sandbox.cards import Rules
from pipeline.sandbox.refusals import invalid_card_token, not_found, used_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.assumptions import Assumptions
    from pipeline.sandbox.id_generator import IdGenerator
    from pipeline.sandbox.journal import Journal
    from pipeline.sandbox.records import ObjectRow, TokenRow
    from pipeline.sandbox.state import State

Params = dict[str, Any]
Shown = dict[str, Any]


def utc(seconds: float) -> str:
    """Give seconds since 1970 as the API writes times: RFC 3339, UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def utc_micros(seconds: float) -> str:
    """Give seconds since 1970 as the journal writes times: the same with microseconds."""
    return utc(seconds)[:-1] + f".{int(seconds % 1 * 1_000_000):06d}Z"


@dataclass(frozen=True, slots=True)
class Context:
    """The vault's state and surroundings.

    Attributes:
        state: Where everything is kept.
        id_generator: Where ids come from.
        now: The wall clock, seconds since 1970.
        assume: What to do where the real vault is unknown.
        brands: The brands that the accounts may take.
        journal: Where everything made or deleted is written down, or None.
        version: The API version of requests that name none.
        webhook_uri: Where `/account` says that events are sent, or None; nothing is sent there.
    """

    state: State
    id_generator: IdGenerator
    now: Callable[[], float]
    assume: Assumptions
    brands: frozenset[str]
    journal: Journal | None
    version: str
    webhook_uri: str | None = None

    def rules(self) -> Rules:
        """Give what a card is judged by at this moment."""
        moment = time.gmtime(self.now())
        return Rules(self.brands, (moment.tm_year, moment.tm_mon), self.assume)

    def ident(self, account: Account, prefix: str, body: str) -> str:
        """Give an id of an account's mode, such as `tokn_test_...`."""
        return f"{prefix}_{body}" if account.livemode else f"{prefix}_test_{body}"

    def note_change(self, made: str, on: str | None, by: str, token: str | None = None) -> None:
        """Write a customer, an attached card or a deletion into the journal, if there is one."""
        if self.journal:
            self.journal.note_change(made, on, by, token, utc_micros(self.now()))

    def known_token(self, account: Account, ident: str) -> TokenRow:
        """Give a token, used or not.

        Raises:
            Refusal: `not_found`, also for a token whose life is over.
        """
        row = self.state.token(account.name, ident)
        life = self.assume.token_life_s
        if row and life and not row.used and row.card["created_at"] <= utc(self.now() - life):
            row = None
        if row is None:
            raise not_found("token", ident)
        return row

    def fresh_token(self, account: Account, ident: object) -> TokenRow:
        """Give a token that may still be used, from what a client sent as its id.

        Raises:
            Refusal: `invalid_card_token`, `not_found` or `used_token`.
        """
        if not isinstance(ident, str) or not ident:
            raise invalid_card_token()
        row = self.known_token(account, ident)
        if row.used:
            raise used_token()
        return row

    def known(self, account: Account, kind: str, ident: object) -> ObjectRow:
        """Give a customer, card or charge that was not deleted.

        Raises:
            Refusal: `not_found`.
        """
        row = self.state.get(account.name, kind, str(ident))
        if row is None or row.deleted:
            raise not_found(kind, str(ident))
        return row

    def seen(self, account: Account, kind: str, ident: str) -> ObjectRow:
        """Give a customer or card for a GET, where a deleted one may be shown by assumption.

        Raises:
            Refusal: `not_found`.
        """
        row = self.state.get(account.name, kind, ident)
        if row is None or (row.deleted and self.assume.deleted_object == "not_found"):
            raise not_found(kind, ident)
        return row
