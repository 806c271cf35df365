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
| 400, 402, 422 without an error object | AMBIGUOUS | who knows who wrote it |
| 429 | THROTTLED | documented throttle, nothing made; `retry_after_s` where usable |
| 408 | AMBIGUOUS | the whole body was handed over |
| 5xx, every other status | AMBIGUOUS | nothing shows that no token was made; `retry_after_s` where usable |

Codes and statuses: OMISE.md sections 0 and 3. Messages are dropped: they could echo input.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.omise.token_answer import classify_token, read_object
from pipeline.vault.transport.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

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
    if status != HTTPStatus.OK:
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
