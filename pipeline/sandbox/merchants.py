"""Shows the merchant's account and what it can do (`GET /account`, `GET /capability`).

Attributes as recorded with the 2019-05-29 API; what no sandbox can know is null or a fixed value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.sandbox.context import utc

if TYPE_CHECKING:
    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.context import Context, Params, Shown

_OPENED_AT: Final = 1_559_088_000.0
"""Every account is as old as the newest API version: 2019-05-29."""

_ID_LENGTH: Final = 19


class Merchants:
    """`/account` and `/capability`, asked with the secret key."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def account(self, account: Account, _params: Params) -> Shown:
        """Give the account that the key belongs to."""
        body = f"{int(account.name, 16) % 36**18:0{_ID_LENGTH}d}"[-_ID_LENGTH:]
        return {
            "object": "account",
            "id": self._context.ident(account, "account", body),
            "livemode": account.livemode,
            "location": "/account",
            "team": self._context.ident(account, "team", body),
            "currency": "THB",
            "email": "merchant@example.com",
            "api_version": self._context.version,
            "country": "TH",
            "supported_currencies": ["THB"],
            "auto_activate_recipients": False,
            "chain_enabled": False,
            "chain_return_uri": None,
            "zero_interest_installments": False,
            "metadata_export_keys": {"charge": [], "dispute": [], "refund": [], "transfer": []},
            "webhook_uri": self._context.webhook_uri,
            "created_at": utc(_OPENED_AT),
        }

    def capability(self, _account: Account, _params: Params) -> Shown:
        """Give what charges the account may make: cards of the sandbox's brands, nothing else."""
        return {
            "object": "capability",
            "location": "/capability",
            "banks": [],
            "limits": {"charge_amount": {"min": 2000, "max": 15_000_000}},
            "payment_methods": [
                {
                    "object": "payment_method",
                    "name": "card",
                    "currencies": ["THB"],
                    "card_brands": sorted(self._context.brands),
                    "installment_terms": None,
                    "banks": [],
                }
            ],
            "tokenization_methods": [],
            "zero_interest_installments": False,
            "country": "TH",
        }
