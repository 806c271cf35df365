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


class Code(StrEnum):
    """Every code of a failed or skipped row, by stage; never renamed once released."""

    MALFORMED_ROW = "malformed_row"
    UNDECODABLE_TEXT = "undecodable_text"
    ROW_TOO_LONG = "row_too_long"
    LEGACY_ID_MISSING = "legacy_id_missing"
    LEGACY_ID_DUPLICATE = "legacy_id_duplicate"
    LEGACY_ID_IS_CARD_NUMBER = "legacy_id_is_card_number"
    NUMBER_MISSING = "number_missing"
    NUMBER_NOT_DIGITS = "number_not_digits"
    NUMBER_LENGTH = "number_length"
    NUMBER_CHECKSUM = "number_checksum"
    NUMBER_MASKED = "number_masked"
    NUMBER_DAMAGED = "number_damaged"
    BRAND_UNSUPPORTED = "brand_unsupported"
    EXPIRATION_INVALID = "expiration_invalid"
    CARD_EXPIRED = "card_expired"
    NAME_MISSING = "name_missing"
    NAME_TOO_LONG = "name_too_long"
    COUNTRY_INVALID = "country_invalid"
    VALUE_DAMAGED = "value_damaged"
    FIELD_CONTAINS_CARD_NUMBER = "field_contains_card_number"
    TEST_CARD_IN_LIVE_MODE = "test_card_in_live_mode"
    REAL_CARD_IN_TEST_MODE = "real_card_in_test_mode"
    CUSTOMER_MISSING = "customer_missing"
    CUSTOMER_ID_INVALID = "customer_id_invalid"
    CUSTOMER_CONFLICT = "customer_conflict"
    VAULT_REJECTED = "vault_rejected"
    FRAUD_CHECK_FAILED = "fraud_check_failed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    VAULT_REFUSED_ROW = "vault_refused_row"
    OUTCOME_UNKNOWN = "outcome_unknown"
    ANSWER_MISMATCH = "answer_mismatch"
    CUSTOMER_UNKNOWN = "customer_unknown"
    ATTACH_REJECTED = "attach_rejected"
    ATTACH_ATTEMPTS_EXHAUSTED = "attach_attempts_exhausted"
    ATTACH_TOKEN_GONE = "attach_token_gone"  # noqa: S105 - a code, no secret.
    ATTACH_TOKEN_USED = "attach_token_used"  # noqa: S105 - a code, no secret.
    CUSTOMER_UNLOCATED = "customer_unlocated"
    ATTACH_MISMATCH = "attach_mismatch"
    NO_CARD = "no_card"
    NOT_A_CARD = "not_a_card"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class FailureCode:
    """One stable way for a row to fail; never renamed once released."""

    code: Code
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
        Code.MALFORMED_ROW,
        _READ,
        "the row does not parse or has another number of fields than the header",
        "Ask the sender for the row again.",
    ),
    FailureCode(
        Code.UNDECODABLE_TEXT,
        _READ,
        "the row holds bytes that are not text in the configured encoding",
        "Check `export.encoding` or ask for the row in UTF-8.",
    ),
    FailureCode(
        Code.ROW_TOO_LONG,
        _READ,
        "the row is longer than any card record can be",
        "Look for an unclosed quote in the export.",
    ),
    FailureCode(
        Code.LEGACY_ID_MISSING, _VALIDATE, "the row has no legacy id", "Ask the sender for the id."
    ),
    FailureCode(
        Code.LEGACY_ID_DUPLICATE,
        _VALIDATE,
        "several rows of this export carry this legacy id",
        "Ask the sender which row counts; none of them was sent.",
    ),
    FailureCode(
        Code.LEGACY_ID_IS_CARD_NUMBER,
        _VALIDATE,
        "the legacy id is itself a card number; it is not repeated anywhere",
        "Ask for an export with ids that are not card numbers.",
    ),
    FailureCode(
        Code.NUMBER_MISSING, _VALIDATE, "the row has no card number", "Ask for the card again."
    ),
    FailureCode(
        Code.NUMBER_NOT_DIGITS,
        _VALIDATE,
        "the card number holds other characters than digits, spaces and dashes",
        "Ask for the card again.",
    ),
    FailureCode(
        Code.NUMBER_LENGTH,
        _VALIDATE,
        "the card number has a length that its brand does not have",
        "Look for dropped or doubled digits in the export.",
    ),
    FailureCode(
        Code.NUMBER_CHECKSUM,
        _VALIDATE,
        "the card number's check digit is wrong (ISO/IEC 7812-1)",
        "Look for a mistyped digit; ask the cardholder.",
    ),
    FailureCode(
        Code.NUMBER_MASKED,
        _VALIDATE,
        "the card number is masked",
        "Ask for an export with whole numbers.",
    ),
    FailureCode(
        Code.NUMBER_DAMAGED,
        _VALIDATE,
        "a spreadsheet turned the card number into a rounded one",
        "Ask for an export that no spreadsheet has opened.",
    ),
    FailureCode(
        Code.BRAND_UNSUPPORTED,
        _VALIDATE,
        "the card's brand is unknown or not among `rules.brands`",
        'Add the brand to `rules.brands` if the account takes it; `["*"]` lets the vault decide.',
    ),
    FailureCode(
        Code.EXPIRATION_INVALID,
        _VALIDATE,
        "the expiration is not a month and a year",
        "Ask for the card's expiration.",
    ),
    FailureCode(
        Code.CARD_EXPIRED,
        _VALIDATE,
        "the card had expired on the day that the rules are judged on",
        'Ask the cardholder for a new card, or set `rules.expired = "tokenize"`.',
    ),
    FailureCode(
        Code.NAME_MISSING,
        _VALIDATE,
        "the row has no cardholder name, which the vault requires",
        "Ask for the cardholder's name.",
    ),
    FailureCode(
        Code.NAME_TOO_LONG,
        _VALIDATE,
        "the cardholder name is longer than 255 characters",
        "Ask for the name as it stands on the card.",
    ),
    FailureCode(
        Code.COUNTRY_INVALID,
        _VALIDATE,
        "the country is neither a code nor a number nor an English name of ISO 3166-1",
        'Correct the country, or set `rules.optional_invalid = "drop"` to send the card without it.',
    ),
    FailureCode(
        Code.VALUE_DAMAGED,
        _VALIDATE,
        "an id, a name or an optional field holds what a spreadsheet or a database left in its place",
        "Ask for an export that no spreadsheet has opened; name words for nothing in `export.null_values`.",
    ),
    FailureCode(
        Code.FIELD_CONTAINS_CARD_NUMBER,
        _VALIDATE,
        "another field than the number holds a card number or track data; it is not repeated",
        "Ask the sender to clean the field.",
    ),
    FailureCode(
        Code.TEST_CARD_IN_LIVE_MODE,
        _VALIDATE,
        "a published test number stands in an export for live mode",
        "Remove the row; it is nobody's card.",
    ),
    FailureCode(
        Code.REAL_CARD_IN_TEST_MODE,
        _VALIDATE,
        "a number that is not a published test number would go to a test vault",
        "Use live mode for real cards, or test numbers for tests.",
    ),
    FailureCode(
        Code.CUSTOMER_MISSING,
        _VALIDATE,
        "the row names no customer, and its card is to be put on one",
        'Ask for the customer, or set `attach.without_customer = "own"`.',
    ),
    FailureCode(
        Code.CUSTOMER_ID_INVALID,
        _VALIDATE,
        "the existing customer that the row names is no customer id of this mode",
        "Correct the id, or leave it empty to have a customer made.",
    ),
    FailureCode(
        Code.CUSTOMER_CONFLICT,
        _VALIDATE,
        "rows name two existing customers for one customer of the export",
        "Ask the sender which of the two counts; none of these rows was sent.",
    ),
    FailureCode(
        Code.VAULT_REJECTED,
        _TOKENIZE,
        "the vault refused the card; `vault_code` says why",
        "Look the vault's code up; ask the cardholder for another card.",
    ),
    FailureCode(
        Code.FRAUD_CHECK_FAILED,
        _TOKENIZE,
        "the vault took the card for fraudulent",
        "Talk to the vault before sending this card again.",
    ),
    FailureCode(
        Code.ATTEMPTS_EXHAUSTED,
        _TOKENIZE,
        "the vault gave no usable answer within `flow.attempts_max` attempts",
        "Run `cardferry retry` when the vault is well.",
        retryable=True,
    ),
    FailureCode(
        Code.VAULT_REFUSED_ROW,
        _TOKENIZE,
        "the vault refuses this row and not the others (403, 404, a redirect, or 429 every time)",
        "Look for what a firewall may dislike in the row, then run `cardferry retry`.",
        retryable=True,
    ),
    FailureCode(
        Code.OUTCOME_UNKNOWN,
        _TOKENIZE,
        "the card was sent and no answer came; a token may exist that nobody saw",
        "Decide with the vault, then `cardferry retry --held`.",
        retryable=True,
    ),
    FailureCode(
        Code.ANSWER_MISMATCH,
        _TOKENIZE,
        "the vault's answer spoke of another card; both rows are frozen",
        "Talk to the vault before anything else.",
    ),
    FailureCode(
        Code.CUSTOMER_UNKNOWN,
        _ATTACH,
        "the customer is not at the vault, or was deleted",
        "Correct the id, or leave it empty to have a customer made.",
    ),
    FailureCode(
        Code.ATTACH_REJECTED,
        _ATTACH,
        "the vault refused to put the card on its customer; `vault_code` says why",
        "Look the vault's code up; ask the cardholder for another card.",
    ),
    FailureCode(
        Code.ATTACH_ATTEMPTS_EXHAUSTED,
        _ATTACH,
        "the vault gave no usable answer about the customer within `flow.attempts_max` attempts",
        "Run `cardferry retry` when the vault is well.",
        retryable=True,
    ),
    FailureCode(
        Code.ATTACH_TOKEN_GONE,
        _ATTACH,
        "the token perished before its card came to a customer",
        "Run `cardferry retry`; a new token is made from the export.",
        retryable=True,
    ),
    FailureCode(
        Code.ATTACH_TOKEN_USED,
        _ATTACH,
        "the token was used, and its card is not on its customer",
        "Talk to the vault: somebody else may have used the token.",
    ),
    FailureCode(
        Code.CUSTOMER_UNLOCATED,
        _ATTACH,
        "a customer may have been made that nobody saw; its cards are held",
        "Look for it at the vault by its metadata, then `cardferry retry --held`.",
    ),
    FailureCode(
        Code.ATTACH_MISMATCH,
        _ATTACH,
        "the vault's answer spoke of another card or customer; the row is frozen",
        "Talk to the vault before anything else.",
    ),
)
"""Every code a row can fail with (the contract's *Codes of failures*), in the order of the walk."""


SKIP_CODES: Final = {
    Code.NO_CARD: "the record is a customer without a card",
    Code.NOT_A_CARD: "the record is another payment method than a card",
    Code.FILTERED: "the row is not in the cohort that this run was given",
}
"""Why a row is skipped, which is no failure (the contract's *Codes of failures*)."""
