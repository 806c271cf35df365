"""The merchant's account, what it can do, and a customer's empty sub-lists."""

import pytest

from tests.support.sandbox import asked


@pytest.fixture
def vault():
    with asked(webhook_uri="https://shop.example/hooks") as client:
        yield client


def test_the_account_says_whose_key_it_is_and_where_events_go(vault):
    """One account has one id, in the key's mode; a webhook is told when there is one."""
    status, account = vault.ask("GET", "/account")

    assert (status, account["livemode"], account["api_version"]) == (200, False, "2019-05-29")
    assert account["webhook_uri"] == "https://shop.example/hooks"
    assert vault.ask("GET", "/account")[1]["id"] == account["id"]


@pytest.mark.parametrize("path", ["/account", "/capability"])
def test_the_account_wants_the_secret_key(vault, path):
    """The public key may only make and view tokens."""
    status, error = vault.ask("GET", path, key="pkey_test_x")

    assert (status, error["code"]) == (401, "authentication_failure")


def test_the_capability_names_the_brands(vault):
    """Cards are the one way to pay here."""
    (method,) = vault.ask("GET", "/capability")[1]["payment_methods"]

    assert method["name"] == "card"
    assert "Visa" in method["card_brands"]


@pytest.mark.parametrize("name", ["linked_accounts", "schedules"])
def test_a_customers_other_lists_are_empty(vault, name):
    """They exist for every customer, and for nobody else."""
    _, customer = vault.ask("POST", "/customers", {})
    status, found = vault.ask("GET", f"/customers/{customer['id']}/{name}")

    assert (status, found["total"], found["data"]) == (200, 0, [])
    assert vault.ask("GET", f"/customers/cust_test_0000000000000000000/{name}")[0] == 404
