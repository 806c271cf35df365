"""Makes a token of a card, and retrieves it."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any, Final

from pipeline.sandbox.cards import read_card
from pipeline.sandbox.context import utc, utc_micros
from pipeline.sandbox.refusals import missing_card

if TYPE_CHECKING:
    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.cards import SoundCard
    from pipeline.sandbox.context import Context, Params, Shown
    from pipeline.sandbox.records import TokenRow

_VAULT: Final = "https://vault.omise.co/tokens/"
"""Tokens carry the real vault's address, as recorded; clients never follow it."""


class Tokens:
    """The vault's own half of the API, asked with the public key."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, account: Account, params: Params) -> Shown:
        """Make a token, write it down in the journal, and only then give it.

        Raises:
            Refusal: `missing_card`, `invalid_card` or `failed_fraud_check`.
            OSError: The journal cannot be written.
        """
        card = params.get("card")
        if not isinstance(card, dict) or not card:
            raise missing_card()
        sound = read_card(card, self._context.rules())
        now = self._context.now()
        token_body, card_body = self._context.id_generator.pair()
        shown = self._shown_card(account, sound, card_body, utc(now))
        ident = self._context.ident(account, "tokn", token_body)
        with self._context.state.transaction():
            self._context.state.add_token(account.name, ident, shown, sound.failure_code)
            # Inside, so that a journal that takes no line leaves no token behind its 500.
            if self._context.journal:
                self._context.journal.note(ident, shown["last_digits"], sound.name, utc_micros(now))
        return _shown_token(ident, shown, used=False, charge_status="unknown")

    def retrieve(self, account: Account, ident: str) -> Shown:
        """Give a token.

        Raises:
            Refusal: `not_found`.
        """
        return self._shown(self._context.known_token(account, ident))

    def _shown(self, row: TokenRow) -> Shown:
        shown = _shown_token(row.ident, row.card, used=row.used, charge_status=row.charge_status)
        if row.used and self._context.assume.card_after_use == "null":
            shown["card"] = None
        return shown

    def _shown_card(self, account: Account, card: SoundCard, body: str, created_at: str) -> Shown:
        print_ = hmac.digest(
            self._context.state.fingerprint_key(account.name), card.number.encode(), "sha256"
        )
        shown: dict[str, Any] = {
            "object": "card",
            "id": self._context.ident(account, "card", body),
            "livemode": account.livemode,
            "location": None,
            "deleted": False,
            **card.address,
            "country": card.country,
            "financing": card.financing,
            "bank": card.bank,
            "brand": card.brand,
            "fingerprint": base64.b64encode(print_).decode(),
            "first_digits": None,
            "last_digits": card.number[-4:],
            "name": card.name,
            "expiration_month": card.expiration_month,
            "expiration_year": card.expiration_year,
            "security_code_check": card.security_code_check,
            "tokenization_method": None,
            "created_at": created_at,
        }
        if self._context.assume.email_on_card == "shown":
            shown["email"] = card.email
        return shown


def _shown_token(ident: str, card: Shown, *, used: bool, charge_status: str) -> Shown:
    return {
        "object": "token",
        "id": ident,
        "livemode": card["livemode"],
        "location": _VAULT + ident,
        "used": used,
        "charge_status": charge_status,
        "card": card,
        "created_at": card["created_at"],
    }
