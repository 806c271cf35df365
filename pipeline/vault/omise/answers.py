"""Classifies the vault's answer to a request by its evidence.

| answer to `POST /tokens` | outcome | why |
|---|---|---|
| 200, JSON, token, every check passes | OK | OMISE.md 0.2: success is 200 exactly |
| 200, a token of another card | MISMATCH | an answer was mixed up; its token is told |
| 200, a token of the other mode | FATAL | key and settings disagree; a token was made |
| 200 and anything else; every other 2xx | AMBIGUOUS | a token may have been made |
| 3xx | DENIED | the vault does not redirect; the number must not follow |
| 401, or `authentication_failure` | FATAL | the key is wrong; no row is to blame |
| 403, 404, or `service_not_found`, `missing_card` | DENIED | address or account are wrong, or something on the way dislikes this one row; nothing was made |
| 400, 402, 422 with `invalid_card`, `brand_not_supported`, `failed_fraud_check` | REJECTED | speaks of the card |
| 400, 402, 422 with `bad_request` | REJECTED | a field of this row; documented as permanent |
| 400, 402, 422 with `backend_error` or another code | DECLINED | an error object: nothing was made; documented as "try again", or not at all, and a row is not rejected for words that we do not know |
| 400, 402, 422 without an error object | AMBIGUOUS | something on the way may have written it |
| 429 | THROTTLED | documented throttle, nothing made; `retry_after_s` where usable |
| 408 | AMBIGUOUS | the whole body was handed over |
| 5xx, every other status | AMBIGUOUS | nothing shows that no token was made; `retry_after_s` where usable |

Codes and statuses: OMISE.md sections 0 and 3. Messages are dropped: they could echo input.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.model import WRONG_MODE, Outcome, OutcomeKind, Token
from pipeline.vault.transport.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.vault.interface import SentCard
    from pipeline.vault.transport.answer_reader import Answer

CARD_CODES: Final = frozenset(
    {"invalid_card", "brand_not_supported", "failed_fraud_check", "bad_request"}
)
"""The vault's codes that speak of the card or of the row's own fields; they are final."""

FORM_CODES: Final = frozenset({"bad_request"})
"""Of these, the codes that speak of the request's form: if every card draws one, it is ours."""

DENYING_CODES: Final = frozenset({"service_not_found", "missing_card"})
"""The vault's codes for an address or an account that is not what we think."""

_WRONG_KEY: Final = "authentication_failure"

UNRECOGNISED: Final = "unrecognised"
"""Stands for a code that is no code by its form; the text itself is not kept."""

_SUCCESS: Final = int(HTTPStatus.OK)
_CARD_STATUSES: Final = frozenset({400, 402, 422})
_DENYING_STATUSES: Final = frozenset({403, 404})
_STATUSES: Final = frozenset(HTTPStatus)
_CODE: Final = re.compile(r"[a-z_]{1,64}").fullmatch
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9-]{1,64}").fullmatch
_DIGITS_IN_A_ROW: Final = re.compile(rb"[0-9]{12}").search
_JSON: Final = b"application/json"
_NOT_JSON: Final = Outcome(OutcomeKind.AMBIGUOUS, "status 200 that is not JSON")
_WAITING: Final = frozenset({OutcomeKind.THROTTLED, OutcomeKind.AMBIGUOUS})
_SETTING_OF: Final = {
    OutcomeKind.FATAL: "vault.public_key:",
    OutcomeKind.DENIED: "vault.url or vault.public_key:",
}

TOKEN_ID: Final = re.compile(r"tokn_(test_)?[0-9a-z]{8,64}").fullmatch
CARD_ID: Final = re.compile(r"card_(test_)?[0-9a-z]{8,64}").fullmatch
BRAND: Final = re.compile(r"[A-Za-z][A-Za-z .&'-]{0,39}").fullmatch
FINGERPRINT: Final = re.compile(r"[A-Za-z0-9+/=_-]{20,128}").fullmatch
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}").fullmatch
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").fullmatch
_INDENTED: Final = orjson.OPT_INDENT_2
_KEYS_MAX: Final = 64

_NO_TOKEN: Final = Outcome(OutcomeKind.AMBIGUOUS, "status 200 without a token")
_NO_CARD: Final = Outcome(OutcomeKind.AMBIGUOUS, "token without a card")
_MALFORMED: Final = Outcome(OutcomeKind.AMBIGUOUS, "token with a malformed field")
_OTHER_MODE: Final = Outcome(
    OutcomeKind.FATAL,
    WRONG_MODE,
    setting="vault.mode: the vault answers in the other mode",
    is_unseen=True,
)


def classify(
    answer: Answer, sent: SentCard, *, livemode: bool, now: Callable[[], datetime]
) -> Outcome:
    """Classify an answer by the table above.

    Args:
        answer: What came over the line.
        sent: Last digits and expiration of the card that was sent.
        livemode: The configured mode.
        now: Our wall clock, asked for a Retry-After without a `Date` beside it.
    """
    status, fields, body = answer
    if status != _SUCCESS:
        outcome = classify_error(answer, now)
    elif not is_json(fields.get(b"content-type", b"")):
        outcome = _NOT_JSON
    else:
        outcome = classify_token(body, sent, livemode=livemode)
    request_id = request_id_of(fields)
    return outcome if request_id is None else outcome._replace(request_id=request_id)


def request_id_of(fields: Mapping[bytes, bytes]) -> str | None:
    """Give the vault's id of the request, for talking to its people; `None` if it is no id."""
    value = fields.get(b"x-request-id")
    if value is None or not _REQUEST_ID(value) or _DIGITS_IN_A_ROW(value):
        return None
    return value.decode("ascii")


def is_json(content_type: bytes) -> bool:
    """Say whether a content type is JSON."""
    return content_type == _JSON or content_type.partition(b";")[0].strip().lower() == _JSON


def classify_error(answer: Answer, now: Callable[[], datetime]) -> Outcome:
    """Classify an answer that is no 200, from either host, by the table above."""
    status, fields, _ = answer
    evidence = f"status {status}" if status in _STATUSES else "a status that does not exist"
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(OutcomeKind.AMBIGUOUS, evidence)
    is_4xx = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    code = _code(answer) if is_4xx else None
    kind = _kind_of_error(status, code)
    wait = None
    if kind in _WAITING:
        wait = retry_after_s(fields.get(b"retry-after"), fields.get(b"date"), now)
    return Outcome(
        kind,
        evidence,
        vault_code=code,
        retry_after_s=wait,
        setting=f"{_SETTING_OF[kind]} refused with {evidence}" if kind in _SETTING_OF else None,
        is_of_form=kind is OutcomeKind.REJECTED and code in FORM_CODES,
    )


def _kind_of_error(status: int, code: str | None) -> OutcomeKind:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeKind.AMBIGUOUS
    if status < HTTPStatus.BAD_REQUEST:
        return OutcomeKind.DENIED
    return _kind_of_4xx(status, code)


def _kind_of_4xx(status: int, code: str | None) -> OutcomeKind:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return OutcomeKind.THROTTLED
    if status == HTTPStatus.UNAUTHORIZED or code == _WRONG_KEY:
        return OutcomeKind.FATAL
    if status in _DENYING_STATUSES or code in DENYING_CODES:
        return OutcomeKind.DENIED
    if status in _CARD_STATUSES and code is not None:
        return OutcomeKind.REJECTED if code in CARD_CODES else OutcomeKind.DECLINED
    return OutcomeKind.AMBIGUOUS


def _code(answer: Answer) -> str | None:
    """Give the code of an error object, `UNRECOGNISED` for a malformed one, `None` without any."""
    if not is_json(answer.fields.get(b"content-type", b"")):
        return None
    error = read_object(answer.body)
    if error is None or error.get("object") != "error":
        return None
    code = error.get("code")
    return code if isinstance(code, str) and _CODE(code) else UNRECOGNISED


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
    try:
        return _moment(text) if type(text) is str else None
    except ValueError:
        return None


@lru_cache(maxsize=8)
def _moment(text: str) -> datetime:
    """Read a moment, once for all tokens of one second; a text that is none is not kept."""
    if _MOMENT(text) is None:
        raise ValueError("no moment as the vault writes them")
    return datetime.fromisoformat(text)
