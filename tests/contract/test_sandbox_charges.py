"""Charges: what a token, a customer or a card can pay, and how test cards fail."""

import pytest

from pipeline.sandbox.assumptions import read_assumptions
from pipeline.sandbox.testcards import FAILURES
from tests.support.sandbox import asked

BAHT = {"amount": 100_000, "currency": "thb"}


@pytest.fixture
def vault():
    with asked() as client:
        yield client


def charge(vault, **params):
    return vault.ask("POST", "/charges", {**BAHT, **params})


def test_a_charge_uses_the_token_up_and_its_status_shows_there(vault):
    """The token knows what became of its charge."""
    token = vault.token()["id"]
    status, charged = charge(vault, card=token)
    _, after = vault.ask("GET", f"/tokens/{token}")

    assert (status, charged["status"], charged["paid"]) == (200, "successful", True)
    assert (after["used"], after["charge_status"], after["card"]) == (True, "successful", None)
    assert charge(vault, card=token)[1]["code"] == "used_token"


def test_a_charged_token_cannot_be_attached(vault):
    """Single use means once for either."""
    token = vault.token()["id"]
    charge(vault, card=token)

    assert vault.ask("POST", "/customers", {"card": token})[1]["code"] == "used_token"


@pytest.mark.parametrize("number", sorted(FAILURES))
def test_test_cards_fail_with_their_code(vault, number):
    """A failed charge is an answer with status failed, not an error."""
    token = vault.token(number=number)["id"]
    status, charged = charge(vault, card=token)

    assert (200, "failed", FAILURES[number]) == (
        status,
        charged["status"],
        charged["failure_code"],
    )
    assert vault.ask("GET", f"/tokens/{token}")[1]["charge_status"] == "failed"


def test_a_test_card_still_fails_on_a_customer(vault):
    """The effect belongs to the card, which the customer keeps."""
    token = vault.token(number="4111111111140011")["id"]
    customer = vault.ask("POST", "/customers", {"card": token})[1]["id"]

    assert charge(vault, customer=customer)[1]["failure_code"] == "insufficient_fund"


def test_a_failed_charge_can_be_assumed_to_spare_its_token():
    """Nobody knows; the default is that the token is used up."""
    with asked(assume=read_assumptions(("failed_charge=spares_token",))) as vault:
        token = vault.token(number="4111111111140011")["id"]
        charge(vault, card=token)
        after = vault.ask("GET", f"/tokens/{token}")[1]

    assert (after["used"], after["charge_status"]) == (False, "failed")


def test_a_customer_is_charged_by_default_card_or_by_the_named_one(vault):
    """Again and again, since a customer's card lasts."""
    customer = vault.ask("POST", "/customers", {"card": vault.token()["id"]})[1]
    second = vault.token(number="5555555555554444")
    vault.ask("PATCH", f"/customers/{customer['id']}", {"card": second["id"]})
    by_default = charge(vault, customer=customer["id"])[1]
    by_name = charge(vault, customer=customer["id"], card=second["card"]["id"])[1]

    assert (by_default["card"]["brand"], by_name["card"]["brand"]) == ("Visa", "MasterCard")
    assert customer["id"] == by_default["customer"] == by_name["customer"]


def test_a_charge_may_wait_for_its_capture(vault):
    """Pending first, successful after, and the token follows."""
    token = vault.token()["id"]
    made = charge(vault, card=token, capture=False)[1]
    waiting = vault.ask("GET", f"/tokens/{token}")[1]["charge_status"]
    captured = vault.ask("POST", f"/charges/{made['id']}/capture")[1]

    assert (made["status"], waiting) == ("pending", "pending")
    assert (captured["status"], captured["paid"]) == ("successful", True)
    assert vault.ask("GET", f"/tokens/{token}")[1]["charge_status"] == "successful"


def test_a_waiting_charge_can_be_reversed_but_a_paid_one_cannot(vault):
    """The latter is refused with failed_reverse."""
    token = vault.token()["id"]
    made = charge(vault, card=token, capture="false")[1]
    reversed_ = vault.ask("POST", f"/charges/{made['id']}/reverse")[1]
    paid = charge(vault, card=vault.token()["id"])[1]

    assert (reversed_["status"], reversed_["reversed"]) == ("reversed", True)
    assert vault.ask("GET", f"/tokens/{token}")[1]["charge_status"] == "reversed"
    assert vault.ask("POST", f"/charges/{paid['id']}/reverse")[1]["code"] == "failed_reverse"


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"amount": "x"}, "bad_request", "amount is not a number"),
        ({"amount": "--2000"}, "bad_request", "amount is not a number"),
        (
            {"amount": -2000},
            "invalid_charge",
            "amount must be greater than or equal to 2000 (thb subunits)",
        ),
        (
            {"amount": 1999},
            "invalid_charge",
            "amount must be greater than or equal to 2000 (thb subunits)",
        ),
        ({"currency": "xxx"}, "invalid_charge", "currency is currently not supported"),
        ({"card": None}, "missing_card", "request contains no card parameters"),
        ({"card": "tokn_x"}, "not_found", "token tokn_x was not found"),
        ({"customer": "cust_x"}, "not_found", "customer cust_x was not found"),
    ],
)
def test_a_refused_charge_does_not_use_its_token(vault, params, code, message):
    """Nothing happened, so the token is still good."""
    token = vault.token()["id"]
    _, error = charge(vault, **{"card": token, **params})

    assert (code, message) == (error["code"], error["message"])
    assert vault.ask("GET", f"/tokens/{token}")[1]["used"] is False


def test_a_charge_can_be_found_listed_and_described_again(vault):
    """Retrieve, list and update show one and the same charge."""
    made = charge(vault, card=vault.token()["id"], metadata={"order": 1})[1]
    path = f"/charges/{made['id']}"
    vault.ask("PATCH", path, {"description": "Order 1"})

    expected = {**made, "description": "Order 1"}
    assert (200, expected) == vault.ask("GET", path)
    assert [expected] == vault.ask("GET", "/charges")[1]["data"]


def test_fees_are_the_recorded_ones(vault):
    """A thousand baht: 36.50 and 7 % on it."""
    made = charge(vault, card=vault.token()["id"])[1]

    assert (made["fee"], made["fee_vat"], made["net"]) == (3650, 256, 96_094)


def test_a_part_of_an_authorized_charge_can_be_captured(vault):
    """What was authorized stays told; more than that is refused, and so is a late reverse."""
    made = charge(vault, card=vault.token()["id"], capture=False)[1]
    path = f"/charges/{made['id']}"
    too_much = vault.ask("POST", f"{path}/capture", {"capture_amount": made["amount"] + 1})[1]
    _, captured = vault.ask("POST", f"{path}/capture", {"capture_amount": made["amount"] - 500})
    _, late = vault.ask("POST", f"{path}/reverse")

    assert too_much["code"] == "failed_capture"
    assert captured["authorized_amount"] - captured["captured_amount"] == 500
    assert late["message"] == "only uncaptured authorized charges can be reversed"


def test_a_capture_may_say_null(vault):
    """One client sends the JSON body `null` when it captures without arguments."""
    made = charge(vault, card=vault.token()["id"], capture=False)[1]
    status, captured = vault.ask("POST", f"/charges/{made['id']}/capture", body=b"null")

    assert (status, captured["captured_amount"]) == (200, made["amount"])
