"""Tokens: what is accepted, what is shown, what is refused and in which words."""

import base64
import re
from datetime import UTC, datetime

import pytest

from pipeline.sandbox.accounts import pair_keys
from pipeline.sandbox.assumptions import read_assumptions
from pipeline.sandbox.testcards import FAILURES
from tests.support.cards import CHARGED_WITHOUT_FAILURE
from tests.support.sandbox import asked, card

ADDRESS = {
    "city": "Bangkok",
    "country": "TH",
    "phone_number": "0123456789",
    "postal_code": 10320,
    "state": "Bangkok",
    "street1": "1448/4 Praditmanutham Road",
    "street2": "Floor 5",
}
NUMBER = "number is invalid"
UNKNOWN = "brand not supported (unknown)"
MONTH = "expiration month is not between 1 and 12"
DATE = "expiration date is invalid"
YEAR = "expiration year is invalid"
NAME = "name can't be blank"


@pytest.fixture
def vault():
    with asked() as client:
        yield client


def noon(year, month=6):
    return lambda: datetime(year, month, 15, 12, tzinfo=UTC).timestamp()


def test_a_token_shows_what_was_sent_and_nothing_secret(vault):
    """Address, name and expiry come back in the API's types; number and code do not."""
    sent = card(**ADDRESS, security_code="987", email="somchai@example.com")

    token = vault.token(**sent)

    expected = {**ADDRESS, "country": "th", "postal_code": "10320", "last_digits": "4242"}
    expected |= {"expiration_month": 12, "expiration_year": 2031, "security_code_check": True}
    assert expected.items() <= token["card"].items()
    assert sent["number"] not in str(token)
    by_chance = {"id", "fingerprint", "location", "created_at"}
    kept = [value for name, value in {**token, **token["card"]}.items() if name not in by_chance]
    assert not any("987" in str(value) for value in kept if not isinstance(value, dict))


def test_ids_have_nineteen_characters_and_a_token_shares_its_cards_first_ones(vault):
    """Both look as the real ones do."""
    token = vault.token()

    assert re.fullmatch(r"tokn_test_[0-9a-z]{19}", token["id"])
    assert re.fullmatch(r"card_test_[0-9a-z]{19}", token["card"]["id"])
    assert token["id"][10:17] == token["card"]["id"][10:17]


def test_live_keys_make_live_ids_without_a_word_for_it():
    """Live ids have no `_live_`, and livemode is true everywhere."""
    accounts = pair_keys(("pkey_x",), ("skey_x",))
    with asked(accounts=accounts) as vault:
        _, token = vault.ask("POST", "/tokens", {"card": card()}, key="pkey_x")

    assert token["livemode"] is token["card"]["livemode"] is True
    assert re.fullmatch(r"tokn_[0-9a-z]{19}", token["id"])


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4242424242424242", "Visa"),
        ("5555555555554444", "MasterCard"),
        ("3530111333300000", "JCB"),
        ("378282246310005", "American Express"),
        ("36021042000004", "Diners Club"),
        ("6447032400000000001", "Discover"),
        ("6250947000000006", "UnionPay"),
        ("6759649826438453", "Maestro"),
        ("6709000000000000000", "Laser"),
    ],
)
def test_brands_are_spelled_as_the_api_spells_them(vault, number, brand):
    """`MasterCard`, `American Express`, `Diners Club`: not as prose writes them."""
    assert brand == vault.token(number=number)["card"]["brand"]


@pytest.mark.parametrize("number", sorted(FAILURES) + list(CHARGED_WITHOUT_FAILURE))
def test_every_published_test_card_makes_a_token(vault, number):
    """Their effects come at charge time, never here."""
    assert number[-4:] == vault.token(number=number)["card"]["last_digits"]


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 4242424242424242},
        {"number": "4242 4242-4242 4242"},
        {"expiration_year": 31},
        {"expiration_year": "31"},
        {"expiration_month": "12", "expiration_year": "2031"},
        {"security_code": 123},
    ],
)
def test_numbers_and_dates_may_be_text_or_integers(vault, changes):
    """Clients differ; the card is the same."""
    shown = vault.token(**changes)["card"]

    assert (
        shown["last_digits"],
        shown["expiration_month"],
        shown["expiration_year"],
    ) == ("4242", 12, 2031)


def test_equal_numbers_have_equal_fingerprints_whatever_the_name(vault):
    """A fingerprint depends on number and account only."""
    one = vault.token()["card"]["fingerprint"]
    same = vault.token(name="Somebody Else", expiration_year=2030)["card"]["fingerprint"]
    other = vault.token(number="5555555555554444")["card"]["fingerprint"]

    assert one == same
    assert one != other
    assert len(base64.b64decode(one)) == 32


def test_two_accounts_have_two_fingerprints_for_one_number():
    """The fingerprint is keyed by account, so accounts cannot be joined by it."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with asked(accounts=accounts) as vault:
        prints = {
            vault.ask("POST", "/tokens", {"card": card()}, key=account.public_key)[1]["card"][
                "fingerprint"
            ]
            for account in accounts
        }

    assert len(prints) == 2


def test_a_fingerprint_lives_as_long_as_its_state(tmp_path):
    """Its key is random and kept with the state: the account's keys alone do not give it."""

    def print_of(db):
        with asked(db=db) as vault:
            return vault.token()["card"]["fingerprint"]

    kept = {print_of(tmp_path / "state") for _ in range(2)}

    assert len(kept) == 1
    assert print_of(tmp_path / "another") not in kept


def test_country_comes_from_the_number_when_none_is_sent(vault):
    """Bank, country and financing belong to the number's range."""
    shown = vault.token()["card"]

    expected = ("us", "JPMORGAN CHASE BANK N.A.", "credit")
    assert expected == (shown["country"], shown["bank"], shown["financing"])


def test_a_retrieved_token_is_the_created_one(vault):
    """GET gives the same object as POST, used or not."""
    token = vault.token()

    assert (200, token) == vault.ask("GET", f"/tokens/{token['id']}")


def test_another_accounts_token_is_unknown():
    """Ids are not shared between accounts."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with asked(accounts=accounts) as vault:
        _, token = vault.ask("POST", "/tokens", {"card": card()}, key="pkey_test_a")
        status, error = vault.ask("GET", f"/tokens/{token['id']}", key="pkey_test_b")

    assert (404, f"token {token['id']} was not found") == (status, error["message"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": "4242424242424241"}, NUMBER),
        ({"number": "424242424242424"}, NUMBER),
        ({"number": "1"}, f"{NUMBER} and {UNKNOWN}"),
        ({"number": "4242x"}, NUMBER),
        ({"number": [4242]}, f"number can't be blank and {UNKNOWN}"),
        ({"number": None}, f"number can't be blank and {UNKNOWN}"),
        ({"number": "9999999999999995"}, UNKNOWN),
        ({"name": None}, NAME),
        ({"name": "  "}, NAME),
        ({"name": "x" * 256}, "name is too long (maximum is 255 characters)"),
        ({"expiration_year": 2010}, "expiration date cannot be in the past"),
        ({"expiration_year": 123}, YEAR),
        ({"expiration_year": "next"}, YEAR),
        ({"expiration_year": None}, YEAR),
        ({"expiration_month": 13}, f"{MONTH} and {DATE}"),
        ({"expiration_month": 0}, f"{MONTH} and {DATE}"),
        ({"expiration_month": True}, f"expiration month can't be blank and {MONTH}"),
        ({"expiration_month": None}, f"expiration month can't be blank and {MONTH}"),
        (
            {"expiration_month": 13, "expiration_year": "x"},
            f"{MONTH}, {YEAR}, and {DATE}",
        ),
        ({"expiration_year": "x", "number": "1"}, f"{YEAR}, {NUMBER}, and {UNKNOWN}"),
        (
            {"expiration_month": 13, "name": "", "expiration_year": "x", "number": "1"},
            f"{MONTH}, {NAME}, {YEAR}, {DATE}, {NUMBER}, and {UNKNOWN}",
        ),
        ({"country": "Thailand"}, "country is invalid"),
    ],
)
def test_card_problems_are_named_in_the_recorded_order_and_joining(vault, changes, message):
    """Month, name, year, date, number, brand: one plain, two with and, more with commas."""
    assert message == vault.message(**changes)


def test_a_card_is_good_until_its_last_month_ends():
    """The month of expiry is still good, the next one is not."""
    with asked(now=noon(2031, 12)) as vault:
        assert vault.token()["object"] == "token"
    with asked(now=noon(2032, 1)) as vault:
        assert vault.message() == "expiration date cannot be in the past"


@pytest.mark.parametrize("params", [{}, {"card": {}}, {"card": None}, {"card": "tokn_test_x"}])
def test_a_request_without_a_card_says_so(vault, params):
    """The code is missing_card, the status 400."""
    status, error = vault.ask("POST", "/tokens", params)

    assert (
        status,
        error["code"],
        error["message"],
    ) == (400, "missing_card", "request contains no card parameters")


def test_a_name_can_ask_for_the_fraud_check_to_fail(vault):
    """`POST /tokens` may refuse a sound card; a rehearsal must be able to see that."""
    _, error = vault.ask("POST", "/tokens", {"card": card(name="Somchai Fail Fraud Check")})

    assert (error["code"], error["message"]) == ("failed_fraud_check", "failed fraud check")


def test_a_brand_that_the_account_may_not_take_is_refused_by_name():
    """The number is sound, so only the brand is a problem."""
    with asked(brands=frozenset({"Visa"})) as vault:
        message = vault.message(number="5555555555554444")

    assert message == "brand not supported (MasterCard)"


@pytest.mark.parametrize(
    ("word", "changes", "attribute", "expected"),
    [
        ("name_length_max=3", {}, "message", "name is too long (maximum is 3 characters)"),
        ("email_on_card=shown", {"email": "a@b.c"}, "email", "a@b.c"),
        ("security_code_check_without_code=true", {}, "security_code_check", True),
        ("metadata_on_update=merge", {}, "security_code_check", False),
    ],
)
def test_what_nobody_knows_is_a_setting(word, changes, attribute, expected):
    """An assumption changes the answer; without it the default stands."""
    with asked(assume=read_assumptions((word,))) as vault:
        _, answer = vault.ask("POST", "/tokens", {"card": card(**changes)})

    assert expected == {**answer, **answer.get("card", {})}[attribute]


def test_a_token_can_be_given_a_life():
    """After that many seconds an unused token is gone, which no document rules out."""
    moment = [1_800_000_000.0]
    assume = read_assumptions(("token_life_s=60",))
    with asked(now=lambda: moment[0], assume=assume) as vault:
        path = f"/tokens/{vault.token()['id']}"
        before = vault.ask("GET", path)[0]
        moment[0] += 61
        after = vault.ask("GET", path)[0]

    assert (before, after) == (200, 404)


def test_the_memory_forgets_the_oldest_tokens_only(monkeypatch):
    """The bound is on tokens; those that are younger stay."""
    monkeypatch.setattr("pipeline.sandbox.state._EVICTED_AT_ONCE", 100)
    with asked(tokens_max=100) as vault:
        ids = [vault.token()["id"] for _ in range(200)]
        first, last = (vault.ask("GET", f"/tokens/{ids[index]}")[0] for index in (0, -1))

    assert (first, last) == (404, 200)
