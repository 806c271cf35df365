"""Card numbers in fields that are not theirs: the vault keeps none of them."""

import pytest

from pipeline.sandbox.assumptions import read_assumptions
from tests.support.sandbox import asked


@pytest.mark.parametrize("field", ["name", "street1", "city", "postal_code", "email"])
@pytest.mark.parametrize(
    "text",
    ["4242 4242-4242 4242", "card 4242424242424242", "4242.4242/4242_4242", "\uff14\uff12" * 8],
)
def test_a_number_repeated_in_another_field_is_not_kept(field, text):
    """The vault promises never to store a number, wherever the client put it and however."""
    with asked(assume=read_assumptions(("email_on_card=shown",))) as vault:
        token = vault.token(**{field: text})

    assert token["card"][field] == "[removed]"


def test_a_cards_own_number_is_not_kept_when_a_change_repeats_it():
    """However it is written; texts that hold other digits stay."""
    changes = {"name": "4242.4242.4242.4242", "city": "No. 4242", "street1": "4242 4242 4242 4242"}
    with asked() as vault:
        _, customer = vault.ask("POST", "/customers", {"card": vault.token()["id"]})
        path = f"/customers/{customer['id']}/cards/{customer['default_card']}"
        _, changed = vault.ask("PATCH", path, changes)

    expected = ("[removed]", "No. 4242", "[removed]")
    assert expected == (changed["name"], changed["city"], changed["street1"])
