"""Lists the codes with which rows fail or are skipped, and what each of them means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """The stage that gave a row its verdict."""

    READ = "read"
    VALIDATE = "validate"
    TOKENIZE = "tokenize"
    ATTACH = "attach"


@dataclass(frozen=True, slots=True)
class FailureCode:
    """One stable way for a row to fail; never renamed once released."""

    code: str
    stage: Stage
    meaning: str
    advice: str
    retryable: bool = False


def _codes(*entries: FailureCode) -> dict[str, FailureCode]:
    return {entry.code: entry for entry in entries}


_READ, _VALIDATE = Stage.READ, Stage.VALIDATE
_TOKENIZE, _ATTACH = Stage.TOKENIZE, Stage.ATTACH

FAILURE_CODES: Final = _codes(
    FailureCode(
        "malformed_row",
        _READ,
        "the row does not parse or has another number of fields than the header",
        "Ask the sender for the row again.",
    ),
    FailureCode(
        "undecodable_text",
        _READ,
        "the row holds bytes that are not text in the configured encoding",
        "Check `export.encoding` or ask for the row in UTF-8.",
    ),
    FailureCode(
        "row_too_long",
        _READ,
        "the row is longer than any card record can be",
        "Look for an unclosed quote in the export.",
    ),
    FailureCode(
        "legacy_id_missing", _VALIDATE, "the row has no legacy id", "Ask the sender for the id."
    ),
    FailureCode(
        "legacy_id_duplicate",
        _VALIDATE,
        "several rows of this export carry this legacy id",
        "Ask the sender which row counts; none of them was sent.",
    ),
    FailureCode(
        "legacy_id_is_card_number",
        _VALIDATE,
        "the legacy id is itself a card number; it is not repeated anywhere",
        "Ask for an export with ids that are not card numbers.",
    ),
    FailureCode(
        "number_missing", _VALIDATE, "the row has no card number", "Ask for the card again."
    ),
    FailureCode(
        "number_not_digits",
        _VALIDATE,
        "the card number holds other characters than digits, spaces and dashes",
        "Ask for the card again.",
    ),
    FailureCode(
        "number_length",
        _VALIDATE,
        "the card number has a length that its brand does not have",
        "Look for dropped or doubled digits in the export.",
    ),
    FailureCode(
        "number_checksum",
        _VALIDATE,
        "the card number's check digit is wrong (ISO/IEC 7812-1)",
        "Look for a mistyped digit; ask the cardholder.",
    ),
    FailureCode(
        "number_masked",
        _VALIDATE,
        "the card number is masked",
        "Ask for an export with whole numbers.",
    ),
    FailureCode(
        "number_damaged",
        _VALIDATE,
        "a spreadsheet turned the card number into a rounded one",
        "Ask for an export that no spreadsheet has opened.",
    ),
    FailureCode(
        "brand_unsupported",
        _VALIDATE,
        "the card's brand is unknown or not among `rules.brands`",
        'Add the brand to `rules.brands` if the account takes it; `["*"]` lets the vault decide.',
    ),
    FailureCode(
        "expiration_invalid",
        _VALIDATE,
        "the expiration is not a month and a year",
        "Ask for the card's expiration.",
    ),
    FailureCode(
        "card_expired",
        _VALIDATE,
        "the card had expired on the day that the rules are judged on",
        'Ask the cardholder for a new card, or set `rules.expired = "tokenize"`.',
    ),
    FailureCode(
        "name_missing",
        _VALIDATE,
        "the row has no cardholder name, which the vault requires",
        "Ask for the cardholder's name.",
    ),
    FailureCode(
        "name_too_long",
        _VALIDATE,
        "the cardholder name is longer than 255 characters",
        "Ask for the name as it stands on the card.",
    ),
    FailureCode(
        "country_invalid",
        _VALIDATE,
        "the country is neither a code nor a number nor an English name of ISO 3166-1",
        'Correct the country, or set `rules.optional_invalid = "drop"` to send the card without it.',
    ),
    FailureCode(
        "value_damaged",
        _VALIDATE,
        "an id, a name or an optional field holds what a spreadsheet or a database left in its place",
        "Ask for an export that no spreadsheet has opened; name words for nothing in `export.null_values`.",
    ),
    FailureCode(
        "field_contains_card_number",
        _VALIDATE,
        "another field than the number holds a card number or track data; it is not repeated",
        "Ask the sender to clean the field.",
    ),
    FailureCode(
        "test_card_in_live_mode",
        _VALIDATE,
        "a published test number stands in an export for live mode",
        "Remove the row; it is nobody's card.",
    ),
    FailureCode(
        "real_card_in_test_mode",
        _VALIDATE,
        "a number that is not a published test number would go to a test vault",
        "Use live mode for real cards, or test numbers for tests.",
    ),
    FailureCode(
        "customer_missing",
        _VALIDATE,
        "the row names no customer, and its card is to be put on one",
        'Ask for the customer, or set `attach.without_customer = "own"`.',
    ),
    FailureCode(
        "customer_id_invalid",
        _VALIDATE,
        "the existing customer that the row names is no customer id of this mode",
        "Correct the id, or leave it empty to have a customer made.",
    ),
    FailureCode(
        "customer_conflict",
        _VALIDATE,
        "rows name two existing customers for one customer of the export",
        "Ask the sender which of the two counts; none of these rows was sent.",
    ),
    FailureCode(
        "vault_rejected",
        _TOKENIZE,
        "the vault refused the card; `vault_code` says why",
        "Look the vault's code up; ask the cardholder for another card.",
    ),
    FailureCode(
        "fraud_check_failed",
        _TOKENIZE,
        "the vault took the card for fraudulent",
        "Talk to the vault before sending this card again.",
    ),
    FailureCode(
        "attempts_exhausted",
        _TOKENIZE,
        "the vault gave no usable answer within `flow.attempts_max` attempts",
        "Run `cardferry retry` when the vault is well.",
        retryable=True,
    ),
    FailureCode(
        "vault_refused_row",
        _TOKENIZE,
        "the vault refuses this row and not the others (403, 404, a redirect, or 429 every time)",
        "Look for what a firewall may dislike in the row, then run `cardferry retry`.",
        retryable=True,
    ),
    FailureCode(
        "outcome_unknown",
        _TOKENIZE,
        "the card was sent and no answer came; a token may exist that nobody saw",
        "Decide with the vault, then `cardferry retry --held`.",
        retryable=True,
    ),
    FailureCode(
        "answer_mismatch",
        _TOKENIZE,
        "the vault's answer spoke of another card; both rows are frozen",
        "Talk to the vault before anything else.",
    ),
    FailureCode(
        "customer_unknown",
        _ATTACH,
        "the customer is not at the vault, or was deleted",
        "Correct the id, or leave it empty to have a customer made.",
    ),
    FailureCode(
        "attach_rejected",
        _ATTACH,
        "the vault refused to put the card on its customer; `vault_code` says why",
        "Look the vault's code up; ask the cardholder for another card.",
    ),
    FailureCode(
        "attach_attempts_exhausted",
        _ATTACH,
        "the vault gave no usable answer about the customer within `flow.attempts_max` attempts",
        "Run `cardferry retry` when the vault is well.",
        retryable=True,
    ),
    FailureCode(
        "attach_token_gone",
        _ATTACH,
        "the token perished before its card came to a customer",
        "Run `cardferry retry`; a new token is made from the export.",
        retryable=True,
    ),
    FailureCode(
        "attach_token_used",
        _ATTACH,
        "the token was used, and its card is not on its customer",
        "Talk to the vault: somebody else may have used the token.",
    ),
    FailureCode(
        "customer_unlocated",
        _ATTACH,
        "a customer may have been made that nobody saw; its cards are held",
        "Look for it at the vault by its metadata, then `cardferry retry --held`.",
    ),
    FailureCode(
        "attach_mismatch",
        _ATTACH,
        "the vault's answer spoke of another card or customer; the row is frozen",
        "Talk to the vault before anything else.",
    ),
)
"""Every code a row can fail with (the contract's *Codes of failures*), in the order of the walk."""


SKIP_CODES: Final = {
    "no_card": "the record is a customer without a card",
    "not_a_card": "the record is another payment method than a card",
    "filtered": "the row is not in the cohort that this run was given",
}
"""Why a row is skipped, which is no failure (the contract's *Codes of failures*)."""
