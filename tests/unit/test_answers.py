"""The vault's answers and what each comes to."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import WRONG_MODE, OutcomeKind
from pipeline.vault.interface import SentCard
from pipeline.vault.omise.answers import classify, read_object
from pipeline.vault.transport.answer_reader import Answer

SENT = SentCard("4242", 10, 2030)
JSON = {b"content-type": b"application/json; charset=utf-8"}
MADE = "tokn_test_63440m1z407jm6hgxtu"


def card(**change):
    return {
        "object": "card",
        "id": "card_test_63440m1wwjc3ipgm9w4",
        "livemode": False,
        "location": None,
        "brand": "Visa",
        "fingerprint": "XjOdjaoHRvUGRfmZacMPcJtm0U3SEIIfkA7534dQeVw=",
        "last_digits": "4242",
        "name": 'Somchai "P" Prasert',
        "expiration_month": 10,
        "expiration_year": 2030,
        "country": "th",
    } | change


def token(**change):
    return {
        "object": "token",
        "id": MADE,
        "livemode": False,
        "used": False,
        "card": card(),
        "created_at": "2025-03-20T09:12:01Z",
    } | change


def judged(body, status=200, fields=JSON, *, livemode=False):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(
        Answer(status, fields, raw),
        SENT,
        livemode=livemode,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_token_for_the_card_that_was_sent_is_ok():
    """All checks passed give the token, field by field."""
    verdict = judged(token())

    assert OutcomeKind.OK is verdict.kind
    assert MADE == verdict.token.token_id
    assert "card_test_63440m1wwjc3ipgm9w4" == verdict.token.card_id
    assert ("Visa", "4242", 10, 2030, "th") == (
        verdict.token.brand,
        verdict.token.last_digits,
        verdict.token.expiration_month,
        verdict.token.expiration_year,
        verdict.token.country,
    )
    assert datetime(2025, 3, 20, 9, 12, 1, tzinfo=UTC) == verdict.token.created_at


def test_live_ids_have_no_mode_in_them():
    """In live mode ids read `tokn_...`, and `livemode` is true."""
    live = token(
        id="tokn_63440m1z407jm6hgxtu",
        livemode=True,
        card=card(id="card_63440m1wwjc3", livemode=True),
    )

    assert OutcomeKind.OK is judged(live, livemode=True).kind


@pytest.mark.parametrize(
    "change", [{"last_digits": "1111"}, {"expiration_month": 9}, {"expiration_year": 2031}]
)
def test_a_token_of_another_card_is_a_mismatch_that_tells_its_token(change):
    """Other digits or another expiry freeze the row; the token is told for the record."""
    verdict = judged(token(card=card(**change)))

    assert OutcomeKind.MISMATCH is verdict.kind
    assert MADE == verdict.token.token_id


@pytest.mark.parametrize("change", [{"livemode": True}, {"card": card(livemode=True)}])
def test_a_token_of_the_other_mode_stops_the_run(change):
    """Live answers to a test key, in the token or in its card, are FATAL."""
    verdict = judged(token(**change))

    assert (OutcomeKind.FATAL, WRONG_MODE) == (verdict.kind, verdict.evidence)


DOUBTFUL = {
    "no object": token(object=None),
    "a charge": token(object="charge"),
    "no id": token(id=None),
    "id with markup": token(id="tokn_test_<script>alert"),
    "id with a path": token(id="tokn_test_../../etc/passwd"),
    "id with a line break": token(id=MADE + "\r\n"),
    "short id": token(id="tokn_test_1"),
    "endless id": token(id="tokn_test_" + "a" * 999),
    "upper case id": token(id="tokn_test_ABCDEFGHIJK"),
    "id of the other mode": token(id="tokn_63440m1z407jm6hgxtu"),
    "livemode as text": token(livemode="false"),
    "livemode missing": {k: v for k, v in token().items() if k != "livemode"},
    "no card": token(card=None),
    "card as text": token(card="card_test_63440m1wwjc3ipgm9w4"),
    "card without object": token(card=card(object="x")),
    "card id missing": token(card=card(id=None)),
    "digits as number": token(card=card(last_digits=4242)),
    "month as text": token(card=card(expiration_month="10")),
    "month as truth": token(card=card(expiration_month=True)),
    "year as float": token(card=card(expiration_year=2030.0)),
    "brand with digits": token(card=card(brand="4242424242424242")),
    "no brand": token(card=card(brand=None)),
    "no moment": token(created_at=None),
    "impossible moment": token(created_at="2025-13-40T09:12:01Z"),
    "moment without zone": token(created_at="2025-03-20T09:12:01"),
    "moment as number": token(created_at=1742461921),
    "a list": [token()],
    "a hundred thousand keys": {f"k{n}": n for n in range(100_000)} | token(),
    "invalid utf-8": json.dumps(token()).encode().replace(b"Visa", b"V\xffsa"),
    "truncated": json.dumps(token()).encode()[:-1],
    "nan": json.dumps(token(used=float("nan"))).encode(),
    "deep": b'{"object":"token","card":' + b"[" * 100_000,
    "empty": b"",
    "null": b"null",
    "two ids": json.dumps(token())
    .encode()
    .replace(b'"used"', b'"id": "tokn_test_zzzzzzzzzz", "used"'),
    "two ids, packed": json.dumps(token(), separators=(",", ":"))
    .encode()
    .replace(b'"used"', b'"id":"tokn_test_zzzzzzzzzz","used"'),
    **{
        f"two ids, one behind {blanks!r}": json.dumps(token(), separators=(",", ":"))
        .encode()
        .replace(b'"used"', b'"id"%b:"tokn_test_zzzzzzzzzz","used"' % blanks)
        for blanks in (b" ", b"\t", b"\r", b"\n", b" \r\n\t ")
    },
    "two ids, one escaped": json.dumps(token(), separators=(",", ":"))
    .encode()
    .replace(b'"used"', b'"\\u0069d":"tokn_test_zzzzzzzzzz","used"'),
    "two last digits": json.dumps(token(), separators=(",", ":"))
    .encode()
    .replace(b'"brand"', b'"last_digits":"1111","brand"'),
}


@pytest.mark.parametrize("body", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_200_that_fails_a_check_is_ambiguous(body):
    """A token may have been made, so the row is neither good nor bad."""
    verdict = judged(body)

    assert OutcomeKind.AMBIGUOUS is verdict.kind
    assert verdict.token is None


@pytest.mark.parametrize("kind", [b"text/html", b"", b"application/jsonp", b"application/xml"])
def test_a_200_of_another_content_type_is_ambiguous(kind):
    """A page from a proxy is not the vault's word, whatever it holds."""
    assert OutcomeKind.AMBIGUOUS is judged(token(), fields={b"content-type": kind}).kind


@pytest.mark.parametrize("spaces", [None, 1, 4])
def test_an_honest_answer_may_be_written_any_way(spaces):
    """Blanks, escapes and further members do not make an honest token doubtful."""
    body = json.dumps(token(extra={"a": {"b": [1]}}), indent=spaces).encode()

    assert OutcomeKind.OK is judged(body).kind


@pytest.mark.parametrize("odd", [None, "", "short", 7, "x" * 200])
def test_an_odd_fingerprint_or_country_is_left_out(odd):
    """What no check rests on is dropped when it has not its usual shape."""
    verdict = judged(token(card=card(fingerprint=odd, country=odd)))

    assert (OutcomeKind.OK, None, None) == (
        verdict.kind,
        verdict.token.fingerprint,
        verdict.token.country,
    )


def error(code):
    return {"object": "error", "location": "https://x", "code": code, "message": "4242424242424242"}


STATUSES = [
    (201, token(), OutcomeKind.AMBIGUOUS, None),
    (204, b"", OutcomeKind.AMBIGUOUS, None),
    *((status, b"", OutcomeKind.DENIED, None) for status in (301, 302, 303, 307, 308)),
    (400, error("invalid_card"), OutcomeKind.REJECTED, "invalid_card"),
    (402, error("brand_not_supported"), OutcomeKind.REJECTED, "brand_not_supported"),
    (422, error("failed_fraud_check"), OutcomeKind.REJECTED, "failed_fraud_check"),
    (400, error("bad_request"), OutcomeKind.REJECTED, "bad_request"),
    (400, error("backend_error"), OutcomeKind.DECLINED, "backend_error"),
    (400, error("brand_new_code"), OutcomeKind.DECLINED, "brand_new_code"),
    (400, error("4242424242424242"), OutcomeKind.DECLINED, "unrecognised"),
    (400, error("x" * 65), OutcomeKind.DECLINED, "unrecognised"),
    (400, error(None), OutcomeKind.DECLINED, "unrecognised"),
    (400, error("authentication_failure"), OutcomeKind.FATAL, "authentication_failure"),
    (400, error("missing_card"), OutcomeKind.DENIED, "missing_card"),
    (400, {"object": "token"}, OutcomeKind.AMBIGUOUS, None),
    (400, b"<html>", OutcomeKind.AMBIGUOUS, None),
    (401, error("authentication_failure"), OutcomeKind.FATAL, "authentication_failure"),
    (401, b"", OutcomeKind.FATAL, None),
    (403, b"<html>", OutcomeKind.DENIED, None),
    (404, error("not_found"), OutcomeKind.DENIED, "not_found"),
    (408, b"", OutcomeKind.AMBIGUOUS, None),
    (409, error("invalid_card"), OutcomeKind.AMBIGUOUS, "invalid_card"),
    (429, error("too_many_requests"), OutcomeKind.THROTTLED, "too_many_requests"),
    (429, b"<html>", OutcomeKind.THROTTLED, None),
    *((status, b"", OutcomeKind.AMBIGUOUS, None) for status in (500, 502, 503, 504, 599, 999)),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), STATUSES)
def test_every_other_status_has_its_place_in_the_table(status, body, kind, code):
    """Status and code decide; the vault's words are never kept."""
    verdict = judged(body, status)

    assert (kind, code) == (verdict.kind, verdict.vault_code)
    assert "4242" not in repr(verdict)


def test_a_retry_after_is_told_with_refusals_and_outages():
    """429 and 503 carry the seconds; a rejected card has nothing to wait for."""
    fields = JSON | {b"retry-after": b"7"}

    assert 7.0 == judged(b"", 429, fields).retry_after_s
    assert 7.0 == judged(b"", 503, fields).retry_after_s
    assert judged(error("invalid_card"), 400, fields).retry_after_s is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"4b0ff02a-7a34-4e3c-8f0d-0a3f3a3d9f7e", "4b0ff02a-7a34-4e3c-8f0d-0a3f3a3d9f7e"),
        (None, None),
        (b"", None),
        (b"4242424242424242", None),
        (b"id\r\nx: y", None),
        (b"a" * 65, None),
        ("ü".encode(), None),
    ],
)
def test_a_request_id_is_kept_only_if_it_can_be_one(value, expected):
    """Letters, digits and dashes, at most 64, and no run of digits that could be a card."""
    fields = JSON if value is None else JSON | {b"x-request-id": value}

    assert expected == judged(token(), 200, fields).request_id


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
TREES = st.recursive(LEAVES, lambda deeper: st.lists(deeper) | st.dictionaries(st.text(), deeper))


@given(body=st.binary() | TREES.map(json.dumps).map(str.encode), status=st.integers(200, 599))
def test_no_body_makes_the_judge_fail(body, status):
    """Whatever the bytes are, there is a verdict, and never a good one by chance."""
    assert OutcomeKind.OK is not judged(body, status).kind


@given(members=st.dictionaries(st.text(), LEAVES | st.dictionaries(st.text(), LEAVES)))
def test_an_object_without_double_keys_is_read(members):
    """The quick count of colons refuses nothing that the slow reader accepts."""
    body = json.dumps(members).encode()
    try:
        body.decode()
        readable = "NaN" not in body.decode() and "Infinity" not in body.decode()
    except UnicodeDecodeError:
        readable = False

    if readable and "\\ud" not in body.decode() and len(members) <= 64:
        numbers = [v for v in members.values() if isinstance(v, int) and abs(v) > 2**53]

        assert numbers or read_object(body) is not None
