"""Tells what the sandbox does with the charges of each published test card.

All of them tokenize; the effect comes at charge time, as `failure_code`. The list is the API's own
(api-testing), with its older rows; it is the only place outside tests and samples where whole
card numbers stand.
"""

from __future__ import annotations

from typing import Final

_BY_FAILURE: Final = {
    "insufficient_fund": (
        "4111111111140011",
        "5555551111110011",
        "3530111111190011",
        "6250947000000014",
    ),
    "stolen_or_lost_card": (
        "4111111111130012",
        "5555551111100012",
        "3530111111180012",
        "6250947000000022",
    ),
    "failed_processing": (
        "4111111111120013",
        "5555551111190013",
        "3530111111170013",
        "377138160000009",
        "6447032400001111005",
        "36021042111108",
        "6250947000000030",
    ),
    "payment_rejected": (
        "4111111111110014",
        "5555551111180014",
        "3530111111160014",
        "6250947000000048",
        # The four that fail to enrol in 3-D Secure.
        "4111111111150002",
        "5555551111120002",
        "3530111111100002",
        "6250947000000071",
        # The five that fail 3-D Secure's validation; their code is inferred from the four above.
        "4111111111140003",
        "5555551111110003",
        "3530111111190003",
        "377138161111003",
        "6250947000000089",
    ),
    "failed_fraud_check": (
        "4111111111190016",
        "5555551111160016",
        "3530111111140016",
        "6250947000000055",
    ),
    "invalid_account_number": (
        "4111111111180017",
        "5555551111150017",
        "3530111111130017",
        "6250947000000063",
    ),
    "invalid_security_code": (
        "4111111111160001",
        "5555551111130001",
        "3530111111110001",
    ),
}

FAILURES: Final = {number: code for code, numbers in _BY_FAILURE.items() for number in numbers}
"""The failure code of every test card whose charges fail."""

MESSAGES: Final = {
    "insufficient_fund": "insufficient funds in the account or the card has reached the credit limit",
    "stolen_or_lost_card": "card is stolen or lost",
    "failed_processing": "the payment processing failed",
    "payment_rejected": "the payment was rejected by the issuer",
    "failed_fraud_check": "card was marked as fraudulent",
    "invalid_account_number": "the account number is invalid",
    "invalid_security_code": "the security code is invalid",
}
"""What `failure_message` says; only the codes are documented, the sentences are inferred."""
