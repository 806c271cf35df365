"""Reads the body of a 200: a token, another card's token, or nothing that can be believed."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.model import Outcome, OutcomeKind, Token

if TYPE_CHECKING:
    from pipeline.vault.interface import SentCard

TOKEN_ID: Final = re.compile(r"tokn_(test_)?[0-9a-z]{8,64}").fullmatch
CARD_ID: Final = re.compile(r"card_(test_)?[0-9a-z]{8,64}").fullmatch
BRAND: Final = re.compile(r"[A-Za-z][A-Za-z .&'-]{0,39}").fullmatch
FINGERPRINT: Final = re.compile(r"[A-Za-z0-9+/=_-]{20,128}").fullmatch
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}").fullmatch
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").fullmatch
_INDENTED: Final = orjson.OPT_INDENT_2
_KEYS_MAX: Final = 64

WRONG_MODE: Final = "token of the other mode"
"""The evidence of the one FATAL outcome behind which a token was made."""


_NO_TOKEN: Final = Outcome(OutcomeKind.AMBIGUOUS, "status 200 without a token")
_NO_CARD: Final = Outcome(OutcomeKind.AMBIGUOUS, "token without a card")
_MALFORMED: Final = Outcome(OutcomeKind.AMBIGUOUS, "token with a malformed field")
_OTHER_MODE: Final = Outcome(
    OutcomeKind.FATAL,
    WRONG_MODE,
    setting="vault.mode: the vault answers in the other mode",
    is_unseen=True,
)


def read_object(body: bytes) -> dict[str, Any] | None:
    """Give the JSON object that a body is, or `None` if it is anything else.

    Invalid UTF-8, NaN, endless nesting and a key met twice are all "anything else": two readers
    of such a text could read two different tokens.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(answer, dict) or len(answer) > _KEYS_MAX:
        return None
    return answer if _keys_are_distinct(body, answer) else None


def _keys_are_distinct(body: bytes, answer: dict[str, Any]) -> bool:
    """Whether no object of the text names a key twice; orjson silently keeps the last.

    Where the object, written again, is the text to the letter, no key was lost, and that is one
    comparison. Any other text (blanks elsewhere, escapes) is read again by the slow parser that
    shows every pair.
    """
    if orjson.dumps(answer) == body or orjson.dumps(answer, option=_INDENTED) == body:
        return True
    try:
        json.loads(body, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return False
    return True


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def classify_token(body: bytes, sent: SentCard, *, livemode: bool) -> Outcome:
    """Classify the body of a 200 with a JSON content type.

    Args:
        body: The JSON text.
        sent: Last digits and expiration of the card that was sent.
        livemode: The configured mode.

    Returns:
        OK with the token; MISMATCH with the token when it is another card's; FATAL when the
        token is of the other mode; AMBIGUOUS when the answer is not one that the vault gives.
    """
    answer = read_object(body)
    if answer is None or answer.get("object") != "token":
        return _NO_TOKEN
    card = answer.get("card")
    if type(card) is not dict or card.get("object") != "card":
        return _NO_CARD
    if answer.get("livemode") is (not livemode) or card.get("livemode") is (not livemode):
        return _OTHER_MODE
    token = _token(answer, card, livemode=livemode)
    if token is None:
        return _MALFORMED
    if (token.last_digits, token.expiration_month, token.expiration_year) != sent:
        return Outcome(OutcomeKind.MISMATCH, "token of another card", token)
    return Outcome(OutcomeKind.OK, "token", token)


def _token(answer: dict[str, Any], card: dict[str, Any], *, livemode: bool) -> Token | None:
    """Take the fields out, each with its type and shape, or `None` if one has neither."""
    token_id, card_id, brand = answer.get("id"), card.get("id"), card.get("brand")
    last_digits = card.get("last_digits")
    month, year = card.get("expiration_month"), card.get("expiration_year")
    created_at = read_moment(answer.get("created_at") or answer.get("created"))
    if not (type(token_id) is type(card_id) is type(brand) is type(last_digits) is str):
        return None
    if type(month) is not int or type(year) is not int or created_at is None:
        return None
    shape, card_shape = TOKEN_ID(token_id), CARD_ID(card_id)
    if shape is None or card_shape is None or BRAND(brand) is None:
        return None
    # The id says its mode too; one that contradicts the `livemode` beside it is not believed.
    if answer.get("livemode") is not livemode or (shape[1] is None) is not livemode:
        return None
    fingerprint, country = card.get("fingerprint"), card.get("country")
    return Token(
        token_id,
        card_id,
        brand,
        last_digits,
        month,
        year,
        fingerprint if type(fingerprint) is str and FINGERPRINT(fingerprint) else None,
        livemode,
        created_at,
        country if type(country) is str and _COUNTRY(country) else None,
    )


def read_moment(text: object) -> datetime | None:
    """Read `YYYY-MM-DDThh:mm:ssZ`, the only form that the vault writes."""
    if type(text) is not str or _MOMENT(text) is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
