"""Versions: the seed's own example, recorded shapes, and the one description behind them."""

import json
from datetime import UTC, datetime

import jsonschema
import pytest

from pipeline.sandbox.assumptions import read_assumptions
from pipeline.sandbox.description import OBJECTS, VERSIONS
from pipeline.sandbox.versions import markdown
from tests.support.sandbox import asked
from tests.support.vault_schema import schema

OLD = VERSIONS[:-1]
SEED = json.loads("""
{ "object": "token", "id": "tokn_test_no1t4tnemucod0e51mo", "livemode": false, "used": false,
  "card": { "object": "card", "id": "card_test_no1t4tnemucod0e51mo", "livemode": false,
    "security_code_check": true, "expiration_month": 12, "expiration_year": 2024,
    "bank": "Bank of the Unbanked", "brand": "Visa", "city": "Bangkok", "country": "th",
    "financing": "credit", "fingerprint": "XjOdjaoHRvUGRfmZacMPcJtm0U3SEIIfkA7534dQeVw=",
    "first_digits": null, "last_digits": "4242", "name": "Somchai Prasert",
    "phone_number": "0123456789", "postal_code": "10320", "state": null,
    "street1": "1448/4 Praditmanutham Road", "street2": null, "tokenization_method": null,
    "created": "2019-12-31T12:59:59Z" },
  "location": "https://vault.omise.co/tokens/tokn_test_no1t4tnemucod0e51mo",
  "charge_status": "unknown", "created": "2019-12-31T12:59:59Z" }
""")
RECORDED_CUSTOMER = (
    "object id livemode location deleted metadata cards default_card linked_accounts description "
    "email created_at"
)
RECORDED_CARD = (
    "object id livemode location deleted street1 street2 city state phone_number postal_code "
    "country financing bank brand fingerprint first_digits last_digits name expiration_month "
    "expiration_year security_code_check tokenization_method created_at"
)
RECORDED_KEYS = "object id livemode location used charge_status card created_at"
RECORDED_LIST = "object data limit offset total location order from to"
RECORDED_CHARGE = (
    "object id location amount acquirer_reference_number net fee fee_vat interest interest_vat "
    "funding_amount refunded_amount transaction_fees platform_fee currency funding_currency ip "
    "refunds link description metadata card source schedule linked_account customer dispute "
    "transaction failure_code failure_message merchant_advice merchant_advice_code status "
    "authorize_uri return_uri created_at paid_at authorized_at expires_at expired_at reversed_at "
    "multi_capture zero_interest_installments branch terminal device authorized capturable "
    "capture disputable livemode refundable partially_refundable reversed reversible voided paid "
    "expired can_perform_void approval_code "
    # Recorded in 2025 (OMISE.md, customers and cards).
    "reference authorization_type authorized_amount captured_amount"
)


def without(shown, *names):
    return {name: value for name, value in shown.items() if name not in names}


def test_the_seeds_own_example_is_what_the_vault_answers():
    """Version 2017-11-02, to the last attribute but those that are made up or random."""

    def then():
        return datetime(2019, 12, 31, 12, 59, 59, tzinfo=UTC).timestamp()

    sent = {name: SEED["card"][name] for name in ("name", "city", "country", "phone_number")}
    sent |= {name: SEED["card"][name] for name in ("postal_code", "street1", "expiration_month")}
    with asked("2017-11-02", now=then) as vault:
        token = vault.token(**sent, expiration_year=2024, security_code="123")

    made_up = ("id", "fingerprint", "bank")
    assert without(token["card"], *made_up) == without(SEED["card"], *made_up)
    assert without(token, "id", "location", "card") == without(SEED, "id", "location", "card")
    assert token.keys() == SEED.keys()
    assert token["card"].keys() == SEED["card"].keys()


def test_the_newest_objects_have_the_recorded_keys():
    """Token and card in the recorded order too."""
    with asked() as vault:
        token = vault.token()
        _, customer = vault.ask("POST", "/customers", {"card": token["id"]})
        _, charge = vault.ask(
            "POST", "/charges", {"amount": 2000, "currency": "THB", "customer": customer["id"]}
        )

    assert " ".join(token) == RECORDED_KEYS
    assert " ".join(token["card"]) == RECORDED_CARD
    assert " ".join(customer) == RECORDED_CUSTOMER
    assert " ".join(customer["cards"]) == RECORDED_LIST
    assert set(charge) == set(RECORDED_CHARGE.split())


@pytest.mark.parametrize("version", OLD)
def test_a_deleted_object_of_an_old_version_keeps_four_attributes(version):
    """As recorded in 2017."""
    with asked(version) as vault:
        token = vault.token()
        _, customer = vault.ask("POST", "/customers", {"card": token["id"]})
        path = f"/customers/{customer['id']}"
        _, card = vault.ask("DELETE", f"{path}/cards/{customer['default_card']}")
        _, deleted = vault.ask("DELETE", path)

    expected = {"object": "customer", "id": customer["id"], "livemode": False, "deleted": True}
    assert deleted == expected
    assert list(card) == ["object", "id", "livemode", "deleted"]


@pytest.mark.parametrize("version", OLD)
def test_old_charges_use_old_names(version):
    """Lower-case currency, `created`, `refunded`; `captured` and no status in 2014."""
    with asked(version) as vault:
        token = vault.token()["id"]
        _, charge = vault.ask(
            "POST", "/charges", {"amount": 2000, "currency": "THB", "card": token}
        )

    paid = "captured" if version == "2014-07-27" else "paid"
    assert (charge["currency"], charge["refunded"], charge[paid]) == ("thb", 0, True)
    assert ("status" in charge) is (version > "2015")
    assert ("source" in charge) is (version > "2017")
    assert "created_at" not in charge
    assert "location" not in charge["card"]


def test_an_attached_card_of_an_old_version_has_a_location():
    """Recorded in 2017: a path on a customer, nothing on a token."""
    with asked("2017-11-02") as vault:
        token = vault.token()
        _, customer = vault.ask("POST", "/customers", {"card": token["id"]})

    shown = customer["cards"]["data"][0]
    assert shown["location"] == f"/customers/{customer['id']}/cards/{shown['id']}"
    assert customer["cards"]["order"] is None
    assert "deleted" not in customer


@pytest.mark.parametrize(("header", "expected"), [("", "created"), ("1999-01-01", "created")])
def test_without_a_known_version_the_accounts_own_is_used(header, expected):
    """The default can be set; an unknown version is taken for none."""
    with asked(header, version="2015-11-17") as vault:
        assert expected in vault.token()


def test_an_unknown_version_can_be_assumed_to_be_refused():
    """With 400 bad_request."""
    with asked("1999-01-01", assume=read_assumptions(("unknown_version=refused",))) as vault:
        status, error = vault.ask("GET", "/tokens/x")

    assert (status, error["code"]) == (400, "bad_request")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_description_is_a_schema_that_can_fail(version):
    """It is valid JSON Schema, and an object with one attribute less does not keep to it."""
    jsonschema.Draft202012Validator.check_schema(schema(version))
    with asked(version) as vault:
        token = vault.token()
    del token["card"]["brand"]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(token, schema(version))


def test_the_documentation_names_every_attribute():
    """It is printed from the same description."""
    text = markdown()
    attributes = {attribute.name for shown in OBJECTS.values() for attribute in shown}

    assert [name for name in attributes if f"| `{name}` |" not in text] == []
