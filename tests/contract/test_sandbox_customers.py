"""Customers and cards: attaching uses a token up, changing is checked, deleting tidies."""

import pytest

from pipeline.sandbox.assumptions import read_assumptions
from tests.support.sandbox import asked

CUSTOMERS = "/customers"


@pytest.fixture
def vault():
    with asked() as client:
        yield client


def attached(vault, **changes):
    """Make a customer with one card; give the customer."""
    return vault.ask("POST", CUSTOMERS, {"card": vault.token(**changes)["id"]})[1]


def test_attaching_keeps_the_cards_id_and_makes_it_the_default(vault):
    """The card of the token is the card of the customer."""
    token = vault.token()
    _, customer = vault.ask("POST", CUSTOMERS, {"card": token["id"]})
    shown = customer["cards"]["data"][0]

    location = f"/customers/{customer['id']}/cards/{token['card']['id']}"
    assert {**token["card"], "location": location} == shown
    assert customer["default_card"] == shown["id"]


def test_an_attached_token_is_used_and_shows_no_card(vault):
    """As recorded: used, card null, charge_status still unknown."""
    token = vault.token()
    vault.ask("POST", CUSTOMERS, {"card": token["id"]})

    expected = {**token, "used": True, "card": None}
    assert (200, expected) == vault.ask("GET", f"/tokens/{token['id']}")


@pytest.mark.parametrize("way", ["POST", "PATCH"])
def test_a_token_attaches_once(vault, way):
    """The second time is refused with 400 used_token and changes nothing."""
    token = vault.token()["id"]
    _, customer = vault.ask("POST", CUSTOMERS, {"card": token})
    path = CUSTOMERS if way == "POST" else f"{CUSTOMERS}/{customer['id']}"
    status, error = vault.ask(way, path, {"card": token, "description": "changed"})

    assert (
        status,
        error["code"],
        error["message"],
    ) == (400, "used_token", "token was already used")
    assert vault.ask("GET", CUSTOMERS)[1]["total"] == 1
    assert vault.ask("GET", f"{CUSTOMERS}/{customer['id']}")[1]["description"] is None


@pytest.mark.parametrize(
    ("token", "code"),
    [("tokn_test_" + "z" * 19, "not_found"), ({"name": "x"}, "invalid_card_token")],
)
def test_an_unknown_token_makes_no_customer(vault, token, code):
    """The customer is made together with its card or not at all."""
    _, error = vault.ask("POST", CUSTOMERS, {"card": token})

    assert code == error["code"]
    assert vault.ask("GET", CUSTOMERS)[1]["total"] == 0


def test_a_patch_adds_a_card_and_the_default_stays(vault):
    """The first card stays the default until another is asked for."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}"
    second = vault.token(number="5555555555554444")
    _, patched = vault.ask("PATCH", path, {"card": second["id"]})
    _, chosen = vault.ask("PATCH", path, {"default_card": second["card"]["id"]})

    assert (2, customer["default_card"]) == (patched["cards"]["total"], patched["default_card"])
    assert chosen["default_card"] == second["card"]["id"]


def test_a_patch_gives_a_customer_without_cards_its_default(vault):
    """Recorded: the first card becomes the default, also when it comes later."""
    _, customer = vault.ask("POST", CUSTOMERS, {})
    token = vault.token()
    _, patched = vault.ask("PATCH", f"{CUSTOMERS}/{customer['id']}", {"card": token["id"]})

    assert token["card"]["id"] == patched["default_card"]


def test_a_new_card_can_be_the_default_in_the_same_patch(vault):
    """Its id is known from the token."""
    customer = attached(vault)
    token = vault.token()
    params = {"card": token["id"], "default_card": token["card"]["id"]}
    _, patched = vault.ask("PATCH", f"{CUSTOMERS}/{customer['id']}", params)

    assert token["card"]["id"] == patched["default_card"]


def test_another_customers_card_cannot_be_the_default(vault):
    """It is not found there, and the token sent along is not used."""
    one, other = attached(vault), attached(vault)
    token = vault.token()["id"]
    params = {"card": token, "default_card": other["default_card"]}
    status, _ = vault.ask("PATCH", f"{CUSTOMERS}/{one['id']}", params)

    assert status == 404
    assert vault.ask("GET", f"/tokens/{token}")[1]["used"] is False


@pytest.mark.parametrize("metadata", [{}, {"legacy_id": "A-1"}, {"a": {"b": [1, None, "ไทย"]}}])
def test_metadata_is_any_object(vault, metadata):
    """It comes back as it was sent."""
    assert metadata == vault.ask("POST", CUSTOMERS, {"metadata": metadata})[1]["metadata"]


def test_metadata_that_is_no_object_is_refused(vault):
    """The top level has to be a hash."""
    assert vault.ask("POST", CUSTOMERS, {"metadata": [1]})[1]["code"] == "bad_request"


def test_metadata_as_deep_as_json_may_be_is_kept_and_listed(vault):
    """A document has at most a hundred levels, and the customer's list can still be written."""
    metadata = {"a": 1}
    for _ in range(98):
        metadata = {"a": metadata}
    _, made = vault.ask("POST", CUSTOMERS, {"metadata": metadata})

    assert metadata == vault.ask("GET", CUSTOMERS)[1]["data"][0]["metadata"]
    assert vault.ask("GET", f"{CUSTOMERS}/{made['id']}")[0] == 200
    status, error = vault.ask("POST", CUSTOMERS, {"metadata": {"a": metadata}})
    assert (status, error["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("assumption", "expected"), [("replace", {"b": 2}), ("merge", {"a": 1, "b": 2})]
)
def test_new_metadata_replaces_or_merges_as_assumed(assumption, expected):
    """Nobody knows which; both can be rehearsed."""
    assume = read_assumptions((f"metadata_on_update={assumption}",))
    with asked(assume=assume) as vault:
        _, customer = vault.ask("POST", CUSTOMERS, {"metadata": {"a": 1}})
        path = f"{CUSTOMERS}/{customer['id']}"
        _, patched = vault.ask("PATCH", path, {"metadata": {"b": 2}})

    assert expected == patched["metadata"]


def test_deleting_the_default_card_makes_the_latest_the_default(vault):
    """Of the cards that are left, the one added last."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}"
    tokens = [vault.token() for _ in range(2)]
    for token in tokens:
        vault.ask("PATCH", path, {"card": token["id"]})
    _, deleted = vault.ask("DELETE", f"{path}/cards/{customer['default_card']}")
    _, left = vault.ask("GET", path)

    assert (deleted["deleted"], deleted["last_digits"]) == (True, "4242")
    assert (2, tokens[1]["card"]["id"]) == (left["cards"]["total"], left["default_card"])


def test_deleting_the_last_card_leaves_no_default(vault):
    """The default is null then."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}"
    vault.ask("DELETE", f"{path}/cards/{customer['default_card']}")

    assert vault.ask("GET", path)[1]["default_card"] is None


def test_a_deleted_customer_is_shown_once_more_and_then_gone(vault):
    """As recorded: all attributes, deleted true, no cards, no default."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}"
    _, deleted = vault.ask("DELETE", path)
    card = f"{path}/cards/{customer['default_card']}"

    assert (
        deleted["deleted"],
        deleted["default_card"],
        deleted["cards"]["total"],
    ) == (True, None, 0)
    assert [
        vault.ask(method, where)[0]
        for method, where in (
            ("GET", path),
            ("DELETE", path),
            ("GET", card),
            ("GET", path + "/cards"),
        )
    ] == [404] * 4


def test_a_deleted_customer_can_be_assumed_to_stay_visible():
    """GET shows it with deleted true when that is assumed."""
    with asked(assume=read_assumptions(("deleted_object=shown",))) as vault:
        _, customer = vault.ask("POST", CUSTOMERS, {})
        path = f"{CUSTOMERS}/{customer['id']}"
        vault.ask("DELETE", path)
        status, shown = vault.ask("GET", path)

    assert (status, shown["deleted"]) == (200, True)


def test_a_card_can_be_renamed_moved_and_renewed(vault):
    """Everything but its number changes, and the fingerprint proves that."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}/cards/{customer['default_card']}"
    before = vault.ask("GET", path)[1]
    changes = {
        "name": "New Name",
        "expiration_year": 35,
        "city": "Tokyo",
        "number": "4111111111111111",
    }
    vault.ask("PATCH", path, changes)

    expected = {**before, "name": "New Name", "expiration_year": 2035, "city": "Tokyo"}
    assert expected == vault.ask("GET", path)[1]


def test_a_card_cannot_be_changed_into_an_invalid_one(vault):
    """The same sentences as at the vault."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}/cards/{customer['default_card']}"
    _, error = vault.ask("PATCH", path, {"name": "", "expiration_year": 2001})

    assert error["message"] == "name can't be blank and expiration date cannot be in the past"


def test_a_card_cannot_be_moved_to_a_country_that_is_none(vault):
    """Two letters, as at the vault; they are shown in lower case."""
    customer = attached(vault)
    path = f"{CUSTOMERS}/{customer['id']}/cards/{customer['default_card']}"
    _, moved = vault.ask("PATCH", path, {"country": "TH"})
    _, error = vault.ask("PATCH", path, {"country": "Thailand"})

    assert (moved["country"], error["message"]) == ("th", "country is invalid")


def test_a_card_is_found_on_its_own_customer_only(vault):
    """With another customer's id in the path it does not exist."""
    one, other = attached(vault), attached(vault)
    status, error = vault.ask("GET", f"{CUSTOMERS}/{one['id']}/cards/{other['default_card']}")

    assert (404, f"card {other['default_card']} was not found") == (status, error["message"])
