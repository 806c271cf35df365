"""Lists the codes with which rows fail or are skipped, and what each of them means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
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
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class FailureCode:
    """One stable way for a row to fail; never renamed once released."""

    code: Code
    meaning: str
    advice: str
    stage: Stage
    retryable: bool = False


def _codes(*entries: FailureCode) -> dict[str, FailureCode]:
    return {entry.code: entry for entry in entries}


_read, _validate, _tokenize, _attach = (partial(FailureCode, stage=stage) for stage in Stage)

FAILURE_CODES: Final = _codes(
    _read(
        Code.MALFORMED_ROW,
        "the row does not parse or has another number of fields than the header",
        "Ask the sender for the row again.",
    ),
    _read(
        Code.UNDECODABLE_TEXT,
        "the row holds bytes that are not text in the configured encoding",
        "Check `export.encoding` or ask for the row in UTF-8.",
    ),
    _read(
        Code.ROW_TOO_LONG,
        "the row is longer than any card record can be",
        "Look for an unclosed quote in the export.",
    ),
    _validate(Code.LEGACY_ID_MISSING, "the row has no legacy id", "Ask the sender for the id."),
    _validate(
        Code.LEGACY_ID_DUPLICATE,
        "several rows of this export carry this legacy id",
        "Ask the sender which row counts; none of them was sent.",
    ),
    _validate(
        Code.LEGACY_ID_IS_CARD_NUMBER,
        "the legacy id is itself a card number; it is not repeated anywhere",
        "Ask for an export with ids that are not card numbers.",
    ),
    _validate(Code.NUMBER_MISSING, "the row has no card number", "Ask for the card again."),
    _validate(
        Code.NUMBER_NOT_DIGITS,
        "the card number holds other characters than digits, spaces and dashes",
        "Ask for the card again.",
    ),
    _validate(
        Code.NUMBER_LENGTH,
        "the card number has a length that its brand does not have",
        "Look for dropped or doubled digits in the export.",
    ),
    _validate(
        Code.NUMBER_CHECKSUM,
        "the card number's check digit is wrong (ISO/IEC 7812-1)",
        "Look for a mistyped digit; ask the cardholder.",
    ),
    _validate(
        Code.NUMBER_MASKED,
        "the card number is masked",
        "Ask for an export with whole numbers.",
    ),
    _validate(
        Code.NUMBER_DAMAGED,
        "a spreadsheet turned the card number into a rounded one",
        "Ask for an export that no spreadsheet has opened.",
    ),
    _validate(
        Code.BRAND_UNSUPPORTED,
        "the card's brand is unknown or not among `rules.brands`",
        'Add the brand to `rules.brands` if the account takes it; `["*"]` lets the vault decide.',
    ),
    _validate(
        Code.EXPIRATION_INVALID,
        "the expiration is not a month and a year",
        "Ask for the card's expiration.",
    ),
    _validate(
        Code.CARD_EXPIRED,
        "the card had expired on the day that the rules are judged on",
        'Ask the cardholder for a new card, or set `rules.expired = "tokenize"`.',
    ),
    _validate(
        Code.NAME_MISSING,
        "the row has no cardholder name, which the vault requires",
        "Ask for the cardholder's name.",
    ),
    _validate(
        Code.NAME_TOO_LONG,
        "the cardholder name is longer than 255 characters",
        "Ask for the name as it stands on the card.",
    ),
    _validate(
        Code.COUNTRY_INVALID,
        "the country is neither a code nor a number nor an English name of ISO 3166-1",
        'Correct the country, or set `rules.optional_invalid = "drop"` to send the card without it.',
    ),
    _validate(
        Code.VALUE_DAMAGED,
        "an id, a name or an optional field holds what a spreadsheet or a database left in its place",
        "Ask for an export that no spreadsheet has opened; name words for nothing in `export.null_values`.",
    ),
    _validate(
        Code.FIELD_CONTAINS_CARD_NUMBER,
        "another field than the number holds a card number or track data; it is not repeated",
        "Ask the sender to clean the field.",
    ),
    _validate(
        Code.TEST_CARD_IN_LIVE_MODE,
        "a published test number stands in an export for live mode",
        "Remove the row; it is nobody's card.",
    ),
    _validate(
        Code.REAL_CARD_IN_TEST_MODE,
        "a number that is not a published test number would go to a test vault",
        "Use live mode for real cards, or test numbers for tests.",
    ),
    _validate(
        Code.CUSTOMER_MISSING,
        "the row names no customer, and its card is to be put on one",
        'Ask for the customer, or set `attach.without_customer = "own"`.',
    ),
    _validate(
        Code.CUSTOMER_ID_INVALID,
        "the existing customer that the row names is no customer id of this mode",
        "Correct the id, or leave it empty to have a customer made.",
    ),
    _validate(
        Code.CUSTOMER_CONFLICT,
        "rows name two existing customers for one customer of the export",
        "Ask the sender which of the two counts; none of these rows was sent.",
    ),
    _tokenize(
        Code.VAULT_REJECTED,
        "the vault refused the card; `vault_code` says why",
        "Look the vault's code up; ask the cardholder for another card.",
    ),
    _tokenize(
        Code.FRAUD_CHECK_FAILED,
        "the vault took the card for fraudulent",
        "Talk to the vault before sending this card again.",
    ),
    _tokenize(
        Code.ATTEMPTS_EXHAUSTED,
        "the vault gave no usable answer within `flow.attempts_max` attempts",
        "Run `cardferry retry` when the vault is well.",
        retryable=True,
    ),
    _tokenize(
        Code.VAULT_REFUSED_ROW,
        "the vault refuses this row and not the others (403, 404, a redirect, or 429 every time)",
        "Look for what a firewall may dislike in the row, then run `cardferry retry`.",
        retryable=True,
    ),
    _tokenize(
        Code.OUTCOME_UNKNOWN,
        "the card was sent, and no answer that can be trusted came: a token may exist unseen",
        "The owner of this migration decides whether one more token a row matters, which charges nobody and "
        "maps to no id (the vault has no list to ask for); then `cardferry retry --held`.",
        retryable=True,
    ),
    _tokenize(
        Code.ANSWER_MISMATCH,
        "the vault's answer spoke of another card; both rows are frozen",
        "Talk to the vault before anything else.",
    ),
    _attach(
        Code.CUSTOMER_UNKNOWN,
        "the customer is not at the vault, or was deleted",
        "Correct the id, or leave it empty to have a customer made.",
    ),
    _attach(
        Code.ATTACH_REJECTED,
        "the vault refused to put the card on its customer; `vault_code` says why",
        "Look the vault's code up; ask the cardholder for another card.",
    ),
    _attach(
        Code.ATTACH_ATTEMPTS_EXHAUSTED,
        "the vault gave no usable answer about the customer within `flow.attempts_max` attempts",
        "Run `cardferry retry` when the vault is well.",
        retryable=True,
    ),
    _attach(
        Code.ATTACH_TOKEN_GONE,
        "the token perished before its card came to a customer",
        "Run `cardferry retry`; a new token is made from the export.",
        retryable=True,
    ),
    _attach(
        Code.ATTACH_TOKEN_USED,
        "the token was used, and its card is not on its customer",
        "Talk to the vault: somebody else may have used the token.",
    ),
    _attach(
        Code.CUSTOMER_UNLOCATED,
        "a customer may have been made that nobody saw; its cards are held",
        "`cardferry retry --held` looks for it once more; if you have looked at the vault and it "
        "is not there, add `--code customer_unlocated`: the cards get new tokens.",
    ),
    _attach(
        Code.ATTACH_MISMATCH,
        "the vault's answer spoke of another card or customer; the row is frozen",
        "Talk to the vault before anything else.",
    ),
)
"""Every code a row can fail with (the contract's *Codes of failures*), in the order of the walk."""


SKIP_CODES: Final = {
    Code.NO_CARD: "the record is a customer without a card",
    Code.NOT_A_CARD: "the record is another payment method than a card",
    Code.FILTERED: "the row is not in the cohort that this run was given, or its export was given up",
    Code.REPEATED: "the row is an earlier one of its export again, card and all",
}
"""Why a row is skipped, which is no failure (the contract's *Codes of failures*)."""
