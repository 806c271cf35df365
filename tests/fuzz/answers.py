"""Fuzz targets of the vault's answers: what is not a good token is never taken for one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from pipeline.model import OutcomeKind
from pipeline.vault.interface import SentCard
from pipeline.vault.omise.answers import classify, classify_token
from pipeline.vault.transport.answer_reader import AnswerReader, InvalidAnswer
from pipeline.vault.transport.retry_after import RETRY_AFTER_MAX_S, retry_after_s

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SENT = SentCard("4242", 12, 2031)
WITH_TOKEN = {OutcomeKind.OK, OutcomeKind.MISMATCH}


def _now() -> datetime:
    return NOW


def retry_after(given: bytes) -> None:
    """Any header gives nothing or seconds within the bounds; plain digits are seconds."""
    value, _, date = given.partition(b"\0")
    wait = retry_after_s(value, date or None, _now)

    assert wait is None or 0.0 <= wait <= RETRY_AFTER_MAX_S
    if re.fullmatch(rb"[0-9]{1,20}", value):
        assert wait == min(int(value), RETRY_AFTER_MAX_S)
    elif not re.search(rb"[0-9]", value):
        assert wait is None


def token_body(given: bytes) -> None:
    """A body is OK exactly when the slow reading of it says so."""
    verdict = classify_token(given, SENT, livemode=False)

    assert (verdict.kind is OutcomeKind.OK) == _is_ok(given)
    assert (verdict.token is None) == (verdict.kind not in WITH_TOKEN)


def whole_answer(given: bytes) -> None:
    """Bytes from the line end in a verdict or a refusal, OK only with status 200, JSON and a token.

    The first byte says how the rest is cut; the verdict does not depend on it.
    """
    if len(given) < 2:
        return
    size, raw = 1 + given[0], given[1:]
    answer = _fed([raw[at : at + size] for at in range(0, len(raw), size)])
    whole = _fed([raw])
    if answer is None or whole is None:
        # Bytes after a whole answer are refused only where they come in one piece with it.
        return
    assert answer == whole
    verdict = classify(answer, SENT, livemode=False, now=_now)
    if verdict.kind is OutcomeKind.OK:
        content_type = answer.fields[b"content-type"].split(b";")[0].strip().lower()
        assert (answer.status, content_type) == (200, b"application/json")
        assert _is_ok(answer.body)
    if verdict.vault_code is not None:
        assert re.fullmatch("[a-z_]{1,64}", verdict.vault_code)
    assert verdict.retry_after_s is None or 0 <= verdict.retry_after_s <= RETRY_AFTER_MAX_S


def _fed(pieces):
    reader = AnswerReader()
    try:
        for piece in pieces:
            answer = reader.feed(piece)
            if answer is not None:
                return answer
        return reader.end()
    except InvalidAnswer:
        return None


class _Twice(Exception):
    """A key stands twice."""


def _distinct(pairs):
    if len(dict(pairs)) != len(pairs):
        raise _Twice
    return dict(pairs)


def _refuse(text):
    raise _Twice(text)


def _is_ok(body: bytes) -> bool:
    """Say whether a body is a whole token of the sent card, by Python's own reader alone."""
    try:
        token = json.loads(
            body.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse
        )
    except (ValueError, RecursionError, _Twice):
        return False
    if not isinstance(token, dict) or token.get("object") != "token" or len(token) > 64:
        return False
    card = token.get("card")
    if not isinstance(card, dict) or card.get("object") != "card":
        return False
    if token.get("livemode") is not False or card.get("livemode") is True:
        return False
    return _card_fits(card) and _is_moment(token.get("created_at") or token.get("created")) and (
        _matches(r"tokn_test_[0-9a-z]{8,64}", token.get("id"))
    )  # fmt: skip


def _card_fits(card: dict[str, object]) -> bool:
    found = (card.get("last_digits"), card.get("expiration_month"), card.get("expiration_year"))
    return (
        found == SENT
        and [type(value) for value in found] == [str, int, int]
        and _matches(r"card_(test_)?[0-9a-z]{8,64}", card.get("id"))
        and _matches(r"[A-Za-z][A-Za-z .&'-]{0,39}", card.get("brand"))
    )


def _matches(rule: str, text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(rule, text) is not None


def _is_moment(text: object) -> bool:
    if not _matches("[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z", text):
        return False
    try:
        return bool(datetime(*map(int, re.findall("[0-9]+", str(text))), tzinfo=UTC))
    except ValueError:
        return False


GOOD = json.dumps(
    {
        "object": "token",
        "id": "tokn_test_5086xl7c9k5rnx35qba",
        "livemode": False,
        "location": "/tokens/tokn_test_5086xl7c9k5rnx35qba",
        "used": False,
        "card": {
            "object": "card",
            "id": "card_test_5086xl7amxfysl0ac5l",
            "livemode": False,
            "country": "us",
            "brand": "Visa",
            "last_digits": "4242",
            "fingerprint": "mKleiBfwp+PoJWB/ipngANuECUmRKjyxROwFW5IO7TM=",
            "expiration_month": 12,
            "expiration_year": 2031,
        },
        "created_at": "2026-01-01T12:00:00Z",
    },
    separators=(",", ":"),
).encode()


def _answer(body: bytes, status: bytes = b"200 OK", *fields: bytes) -> bytes:
    head = [b"HTTP/1.1 " + status, b"Content-Type: application/json", *fields]
    head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


RETRY_SEEDS = [
    b"120",
    b"Thu, 01 Jan 2026 09:00:30 GMT\0Thu, 01 Jan 2026 09:00:00 GMT",
    b"Thursday, 01-Jan-26 09:00:30 GMT\0x",
    b"Thu Jan  1 09:00:30 2026",
    b"Fri, 31 Dec 9999 23:59:59 -2400",
    b"-1",
]
TOKEN_SEEDS = [
    GOOD,
    json.dumps(json.loads(GOOD), indent=1).encode(),
    GOOD.replace(b'"4242"', b'"4241"'),
    GOOD.replace(b"false", b"true"),
    GOOD.replace(b'"used":false', b'"object":"token"'),
    GOOD.replace(b'"us"', b"NaN"),
    GOOD.replace(b"2031", b"2031.0"),
    b'{"object":"error","code":"invalid_card"}',
]
ANSWER_SEEDS = [b"\x20" + answer for answer in (
    _answer(GOOD),
    _answer(b'{"object":"error","code":"invalid_card"}', b"400 Bad Request"),
    _answer(b"", b"429 Too Many Requests", b"Retry-After: 3"),
    b"HTTP/1.1 100 Continue\r\n\r\n" + _answer(GOOD),
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD),
    b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD,
    _answer(GOOD) + _answer(GOOD),
    _answer(GOOD, b"200 OK", b"Content-Length: 5"),
)]  # fmt: skip
