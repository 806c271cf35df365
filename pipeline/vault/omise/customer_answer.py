"""Reads the API host's answers: customers, cards, lists and accounts, each field with its shape.

| answer | outcome | cause |
|---|---|---|
| 200, JSON, the object that was asked for, every field of its shape | OK | |
| 200, the object of the other mode | FATAL | |
| 200 and anything else; every other 2xx; 5xx; whatever nobody documents | AMBIGUOUS | |
| 404 | REJECTED | NOT_FOUND: a token, a customer or a card is not there |
| any 4xx with `used_token` | REJECTED | USED: the token was used, done before, or somebody else's |
| 401, or `authentication_failure` | FATAL | |
| 3xx, 403 | DENIED | |
| 429 | THROTTLED | |
| other 4xx with an error object | REJECTED or DECLINED, as for a token | |

Sources: OMISE.md sections 3 and 5. Messages and whatever else an answer holds are dropped.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.interface import (
    Account,
    Customer,
    CustomerAnswer,
    CustomerCard,
    RefusalCause,
    ShownToken,
)
from pipeline.vault.omise.answers import (
    BRAND,
    CARD_ID,
    FINGERPRINT,
    classify_error,
    is_json,
    read_moment,
    read_object,
    request_id_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pipeline.vault.transport.answer_reader import Answer

CUSTOMER_ID: Final = re.compile(r"cust_(test_)?[0-9a-z]{8,64}").fullmatch
_ACCOUNT_ID: Final = re.compile(r"(account|acct)_(test_)?[0-9a-z]{1,64}").fullmatch
_LAST_DIGITS: Final = re.compile(r"[0-9]{4}").fullmatch
_URL_LENGTH_MAX: Final = 2048
_MONTHS: Final = range(1, 13)
_NO_CARDS: Final = {"object": "list", "data": [], "total": 0}

_OK: Final = Outcome(OutcomeKind.OK, "as asked for")
_UNREADABLE: Final = Outcome(OutcomeKind.AMBIGUOUS, "status 200 that cannot be read")
_OTHER_MODE: Final = Outcome(
    OutcomeKind.FATAL,
    "an answer of the other mode",
    setting="vault.mode or attach.secret_key: the vault answers in the other mode",
)


class _OtherMode(Exception):
    """The answer is of the other mode."""


class _Unreadable(Exception):
    """A field is missing or has another shape."""


def read_answer(
    answer: Answer, wanted: str, *, livemode: bool, now: Callable[[], datetime]
) -> CustomerAnswer:
    """Classify an answer by the table above and read what it shows.

    Args:
        answer: What came over the line.
        wanted: The object that was asked for: `account`, `customer`, `card` or `list`.
        livemode: The configured mode.
        now: Our wall clock, asked for a Retry-After without a `Date` beside it.
    """
    if answer.status != HTTPStatus.OK:
        return _with_request_id(_refused(answer, now), answer)
    shown = read_object(answer.body) if is_json(answer.fields.get(b"content-type", b"")) else None
    if shown is None or shown.get("object") != wanted:
        return _with_request_id(CustomerAnswer(_UNREADABLE), answer)
    try:
        read = _READERS[wanted](shown, livemode=livemode)
    except _OtherMode:
        read = CustomerAnswer(_OTHER_MODE)
    except _Unreadable:
        read = CustomerAnswer(_UNREADABLE)
    return _with_request_id(read, answer)


def _with_request_id(read: CustomerAnswer, answer: Answer) -> CustomerAnswer:
    request_id = request_id_of(answer.fields)
    if request_id is None:
        return read
    return read._replace(outcome=read.outcome._replace(request_id=request_id))


def _refused(answer: Answer, now: Callable[[], datetime]) -> CustomerAnswer:
    outcome = classify_error(answer, now)
    if outcome.vault_code == "used_token":
        return CustomerAnswer(outcome._replace(kind=OutcomeKind.REJECTED), RefusalCause.USED)
    if answer.status == HTTPStatus.NOT_FOUND:
        rejected = outcome._replace(kind=OutcomeKind.REJECTED, setting=None)
        return CustomerAnswer(rejected, RefusalCause.NOT_FOUND)
    if outcome.setting is not None:
        words = f"attach.url or attach.secret_key: refused with {outcome.evidence}"
        outcome = outcome._replace(setting=words)
    return CustomerAnswer(outcome)


def _account(shown: dict[str, Any], *, livemode: bool) -> CustomerAnswer:
    _require_mode(shown, livemode=livemode)
    webhook = shown.get("webhook_uri")
    if webhook is not None and (type(webhook) is not str or len(webhook) > _URL_LENGTH_MAX):
        raise _Unreadable
    account_id = _text(shown.get("id"), _ACCOUNT_ID)
    return CustomerAnswer(_OK, account=Account(account_id, livemode, webhook or None))


def _customer(shown: dict[str, Any], *, livemode: bool) -> CustomerAnswer:
    return CustomerAnswer(_OK, customer=_read_customer(shown, livemode=livemode))


def _card(shown: dict[str, Any], *, livemode: bool) -> CustomerAnswer:
    return CustomerAnswer(_OK, card=_read_card(shown, livemode=livemode))


def _list(shown: dict[str, Any], *, livemode: bool) -> CustomerAnswer:
    items, total = shown.get("data"), shown.get("total")
    if type(items) is not list or type(total) is not int or total < len(items):
        raise _Unreadable
    customers = tuple(
        _read_customer(_object(item, "customer"), livemode=livemode) for item in items
    )
    return CustomerAnswer(_OK, customers=customers, total=total)


def _shown_token(shown: dict[str, Any], *, livemode: bool) -> CustomerAnswer:
    _require_mode(shown, livemode=livemode)
    is_used, card = shown.get("used"), shown.get("card")
    if type(is_used) is not bool or (card is None and not is_used):
        raise _Unreadable
    held = None if card is None else _read_card(_object(card, "card"), livemode=livemode)
    return CustomerAnswer(_OK, token=ShownToken(is_used, held))


_READERS: Final = {
    "account": _account,
    "customer": _customer,
    "card": _card,
    "list": _list,
    "token": _shown_token,
}


def _read_customer(shown: dict[str, Any], *, livemode: bool) -> Customer:
    _require_mode(shown, livemode=livemode)
    is_deleted = shown.get("deleted") is True
    # Older versions show of a deleted customer little more than that it is deleted.
    cards = _NO_CARDS if is_deleted and "cards" not in shown else shown.get("cards")
    items, total = _object(cards, "list").get("data"), _object(cards, "list").get("total")
    metadata = shown.get("metadata")
    created_at, default = read_moment(shown.get("created_at")), shown.get("default_card")
    if type(items) is not list or type(total) is not int or type(metadata) is not dict:
        raise _Unreadable
    if created_at is None or total < len(items):
        raise _Unreadable
    return Customer(
        customer_id=_text(shown.get("id"), CUSTOMER_ID),
        livemode=livemode,
        is_deleted=is_deleted,
        default_card=None if default is None else _text(default, CARD_ID),
        cards=tuple(_read_card(_object(item, "card"), livemode=livemode) for item in items),
        cards_total=total,
        metadata=metadata,
        created_at=created_at,
    )


def _read_card(shown: dict[str, Any], *, livemode: bool) -> CustomerCard:
    _require_mode(shown, livemode=livemode)
    month, year = shown.get("expiration_month"), shown.get("expiration_year")
    if type(month) is not int or type(year) is not int or month not in _MONTHS:
        raise _Unreadable
    fingerprint = shown.get("fingerprint")
    is_one = type(fingerprint) is str and FINGERPRINT(fingerprint) is not None
    return CustomerCard(
        card_id=_text(shown.get("id"), CARD_ID),
        brand=_text(shown.get("brand"), BRAND),
        last_digits=_text(shown.get("last_digits"), _LAST_DIGITS),
        expiration_month=month,
        expiration_year=year,
        fingerprint=fingerprint if is_one else None,
        livemode=livemode,
        is_deleted=shown.get("deleted") is True,
    )


def _require_mode(shown: dict[str, Any], *, livemode: bool) -> None:
    if shown.get("livemode") is (not livemode):
        raise _OtherMode
    if shown.get("livemode") is not livemode:
        raise _Unreadable


def _object(shown: object, name: str) -> dict[str, Any]:
    if type(shown) is not dict or shown.get("object") != name:
        raise _Unreadable
    return shown


def _text(text: object, shape: Callable[[str], re.Match[str] | None]) -> str:
    if type(text) is not str or shape(text) is None:
        raise _Unreadable
    return text
