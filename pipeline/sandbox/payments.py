"""Makes a charge object of an amount and a status, in the newest shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.sandbox.context import utc
from pipeline.sandbox.description import CHARGE_NULLS
from pipeline.sandbox.lists import empty_list

if TYPE_CHECKING:
    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.context import Context, Shown

_FEE_PERCENT: Final = 3.65
_VAT_PERCENT: Final = 7.0
_EXPIRES_AFTER_S: Final = 7 * 24 * 3600
_NEVER: Final = (
    "multi_capture",
    "zero_interest_installments",
    "expired",
    "refundable",
    "partially_refundable",
    "disputable",
    "voided",
    "can_perform_void",
)
_NOTHING: Final = (
    "failure_code",
    "failure_message",
    "authorize_uri",
    "source",
    "dispute",
    "expired_at",
    *CHARGE_NULLS,
)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the currency's smallest unit."""

    amount: int
    currency: str


def new_charge(context: Context, account: Account, money: Money) -> Shown:
    """Give a new charge, but for its card, its status and what the client said about it."""
    ident = context.ident(account, "chrg", context.id_generator.one())
    now = context.now()
    fee = round(money.amount * _FEE_PERCENT / 100)
    fee_vat = round(fee * _VAT_PERCENT / 100)
    return {
        "object": "charge",
        "id": ident,
        "livemode": account.livemode,
        "location": f"/charges/{ident}",
        "amount": money.amount,
        "currency": money.currency,
        "reference": None,
        "authorization_type": None,
        "authorized_amount": money.amount,
        "captured_amount": 0,
        "net": money.amount - fee - fee_vat,
        "fee": fee,
        "fee_vat": fee_vat,
        "interest": 0,
        "interest_vat": 0,
        "funding_amount": money.amount,
        "funding_currency": money.currency,
        "refunded_amount": 0,
        "transaction_fees": {
            "fee_flat": "0.0",
            "fee_rate": str(_FEE_PERCENT),
            "vat_rate": str(_VAT_PERCENT),
        },
        "platform_fee": {"fixed": None, "amount": None, "percentage": None},
        "refunds": empty_list(f"/charges/{ident}/refunds", utc(now)),
        "created_at": utc(now),
        "authorized_at": utc(now),
        "expires_at": utc(now + _EXPIRES_AFTER_S),
        **dict.fromkeys(_NEVER, False),
        **dict.fromkeys(_NOTHING),
    }


def state_of(status: str, now: str, transaction: str) -> Shown:
    """Give the attributes that follow from a charge's status.

    Args:
        status: `failed`, `pending`, `reversed` or `successful`.
        now: When it came to this, RFC 3339.
        transaction: The id of the transaction, shown when the charge is paid.
    """
    paid = status == "successful"
    return {
        "status": status,
        "authorized": status != "failed",
        "capturable": status == "pending",
        "reversible": status == "pending",
        "paid": paid,
        "reversed": status == "reversed",
        "paid_at": now if paid else None,
        "reversed_at": now if status == "reversed" else None,
        "transaction": transaction if paid else None,
        **({"authorized_at": None} if status == "failed" else {}),
    }
