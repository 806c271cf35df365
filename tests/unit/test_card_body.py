"""The body that carries a card number."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.records import Claim
from pipeline.migration.transitions import WaitingCard
from pipeline.vault.interface import SentCard
from pipeline.vault.omise.tokens import encode_card

NUMBER = b"4242424242424242"
CLAIM = Claim(1, 0, 0, "4242", 12, 2031, "Visa")
SENT = SentCard("4242", 12, 2031)


@given(name=st.text().filter(lambda text: text.isprintable()), year=st.integers(2000, 2100))
def test_the_body_is_the_card_as_json(name, year):
    """Whatever the fields hold, a JSON reader finds them and the number."""
    body = encode_card({"name": name, "expiration_year": year}, NUMBER)

    assert {
        "card": {"name": name, "expiration_year": year, "number": NUMBER.decode()}
    } == json.loads(bytes(body).partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("number", [b"", b'4242"}', b"4242 4242", "\uff14\uff12".encode()])
def test_a_number_that_is_not_all_digits_is_refused_without_a_word_of_it(number):
    """Only digits go between the quotes, and the exception says nothing else."""
    with pytest.raises(ValueError, match=r"^the card number is not all digits$") as caught:
        encode_card({"name": "A"}, number)

    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [b"bytes", {1}, "\ud800"])
def test_a_field_that_is_not_json_is_refused_without_its_value(value):
    """The encoder's own exception would quote what it was given."""
    with pytest.raises(ValueError, match=r"^a field of the card") as caught:
        encode_card({"name": value}, NUMBER)

    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "show", [repr, str, "{}".format, "{!r:>80}".format, lambda body: f"{body}", "%s".__mod__]
)
def test_a_body_shows_itself_to_nobody(show):
    """Whoever prints a body, by mistake or in a traceback, reads how long it is."""
    assert "masked" in show(encode_card({"name": "A"}, NUMBER))
    assert NUMBER.decode() not in show(encode_card({"name": "A"}, NUMBER))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_body_is_never_copied_pickled_or_turned_into_json(copied):
    """A copy would outlive the wipe; neither a body nor the card that waits with it has one."""
    body = encode_card({"name": "A"}, NUMBER)

    for carrier in (body, [body], {"card": body}):
        with pytest.raises(TypeError):
            copied(carrier) if copied is not copy.copy else copied(body)


def test_a_waiting_card_is_not_taken_apart():
    """`asdict` copies what it finds, so it finds out that it may not."""
    card = WaitingCard(CLAIM, SENT, encode_card({"name": "A"}, NUMBER), 1, 0)

    with pytest.raises(TypeError):
        asdict(card)
    assert NUMBER.decode() not in repr(card)


def test_wiping_leaves_zeros_in_the_same_buffer():
    """After a wipe no digit is left where the number was."""
    body = encode_card({"name": "A"}, NUMBER)
    seen = memoryview(body)
    body.wipe()

    assert bytes(len(body)) == bytes(seen)
