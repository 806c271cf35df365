"""The official Python client, unchanged, against the sandbox."""

import logging

import pytest

from tests.support.sandbox import card, running

OPTIONAL = {
    "security_code": "123",
    "city": "Bangkok",
    "country": "th",
    "postal_code": "10320",
    "state": "Bangkok",
    "street1": "1448/4 Praditmanutham Road",
    "street2": "Floor 5",
    "phone_number": "0123456789",
    "email": "somchai@example.com",
}


@pytest.fixture(scope="module")
def omise():
    """The client, set up for a sandbox; importing it configures logging, which is undone."""
    handlers, level = logging.root.handlers[:], logging.root.level
    import omise as client  # noqa: PLC0415

    logging.root.handlers[:], logging.root.level = handlers, level
    with running() as sandbox:
        client.api_public, client.api_secret = sandbox.public_key, sandbox.secret_key
        client.api_vault = client.api_main = sandbox.base_url + "/"
        client.api_version = "2019-05-29"
        yield client


def test_a_token_is_made_and_found_with_every_parameter(omise):
    """All thirteen card parameters are taken."""
    made = omise.Token.create(**card(**OPTIONAL))
    found = omise.Token.retrieve(made.id)

    assert found._attributes == made._attributes
    assert (made.card.last_digits, made.card.brand, made.card.country) == ("4242", "Visa", "th")


def test_a_customer_keeps_the_card_and_the_token_is_spent(omise):
    """The whole way of a migrated card."""
    token = omise.Token.create(**card())
    customer = omise.Customer.create(card=token.id, metadata={"legacy_id": "A-1"})
    token.reload()

    assert (token.used, token.card) == (True, None)
    assert customer.metadata._attributes == {"legacy_id": "A-1"}
    assert omise.Card.retrieve(customer.id, customer.default_card).last_digits == "4242"
    with pytest.raises(omise.errors.UsedTokenError, match="token was already used"):
        customer.update(card=token.id)


def test_errors_arrive_as_the_clients_exceptions(omise):
    """The code picks the class, the message is ours."""
    with pytest.raises(omise.errors.InvalidCardError, match="number is invalid"):
        omise.Token.create(**card(number="4242424242424241"))
    with pytest.raises(omise.errors.NotFoundError, match="token nope was not found"):
        omise.Token.retrieve("nope")
    with pytest.raises(omise.errors.FailedFraudCheckError, match="failed fraud check"):
        omise.Token.create(**card(name="FAIL FRAUD CHECK"))
    with pytest.raises(omise.errors.MissingCardError):
        omise.Charge.create(amount=10_000, currency="thb")


def test_lists_are_walked_page_by_page(omise):
    """More than one page of a hundred, through the lazy collection."""
    before = len(omise.Customer.list())
    made = [omise.Customer.create(description=str(index)).id for index in range(101)]
    walked = [customer.id for customer in omise.Customer.list()]
    newest = omise.Customer.list().offset(limit=1, order="reverse_chronological")

    assert walked[before:] == made
    assert newest[0].id == made[-1]


def test_a_lost_customer_is_searched_for(omise):
    """The way back after an answer that never came."""
    made = omise.Customer.create(email="lost@example.com")
    found = omise.Search.execute("customer", query="LOST@example.com")

    assert [made.id] == [customer.id for customer in found]


def test_charges_are_made_captured_and_reversed(omise):
    """The client's own verbs."""
    customer = omise.Customer.create(card=omise.Token.create(**card()).id)
    money = {"amount": 10_000, "currency": "thb", "capture": False}
    captured = omise.Charge.create(customer=customer.id, **money)
    captured.capture()
    reversed_ = omise.Charge.create(customer=customer.id, **money)
    reversed_.reverse()

    assert (captured.status, reversed_.status) == ("successful", "reversed")
    assert omise.Charge.retrieve(captured.id).paid is True


def test_cards_and_customers_are_changed_and_destroyed(omise):
    """The client follows the card's location."""
    customer = omise.Customer.create(card=omise.Token.create(**card()).id)
    held = omise.Card.retrieve(customer.id, customer.default_card)
    held.update(name="New Name")
    renamed = omise.Card.retrieve(customer.id, held.id).name
    held.destroy()
    customer.reload()
    left = customer.default_card
    customer.destroy()

    assert (renamed, held.destroyed, left, customer.destroyed) == ("New Name", True, None, True)
