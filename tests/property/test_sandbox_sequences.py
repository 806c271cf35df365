"""Any sequence of requests keeps the vault's promises."""

from contextlib import ExitStack

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from pipeline.sandbox.testcards import FAILURES
from tests.support.cards import CHARGED_WITHOUT_FAILURE
from tests.support.sampled import slow
from tests.support.sandbox import asked

NUMBERS = st.sampled_from([*CHARGED_WITHOUT_FAILURE, *sorted(FAILURES)])


class Vault(RuleBasedStateMachine):
    """Creates, retrieves, attaches, charges and deletes, and remembers what must hold."""

    tokens = Bundle("tokens")
    customers = Bundle("customers")

    def __init__(self):
        super().__init__()
        self.files = ExitStack()
        self.vault = self.files.enter_context(asked())
        self.made = {}
        self.uses = {}
        self.cards = {}
        self.ids = []

    def teardown(self):
        self.files.close()

    def use(self, token, status, answer):
        """Note a use, which is right exactly when the token was fresh."""
        if status == 200:
            assert token not in self.uses, "a token was used twice"
            self.uses[token] = answer["id"]
        else:
            assert answer["code"] == "used_token"
            assert token in self.uses

    @rule(target=tokens, number=NUMBERS)
    def create(self, number):
        token = self.vault.token(number=number)
        self.made[token["id"]] = token
        self.ids += [token["id"], token["card"]["id"]]
        return token["id"]

    @rule(token=tokens)
    def retrieve(self, token):
        status, shown = self.vault.ask("GET", f"/tokens/{token}")
        assert status == 200
        assert shown["used"] is (token in self.uses)
        assert shown["card"] == (None if shown["used"] else self.made[token]["card"])

    @rule(target=customers, token=st.none() | tokens)
    def enrol(self, token):
        status, answer = self.vault.ask("POST", "/customers", {"card": token})
        if token:
            self.use(token, status, answer)
        if status != 200:
            return multiple()
        self.cards[answer["id"]] = [self.made[token]["card"]["id"]] if token else []
        self.ids.append(answer["id"])
        return answer["id"]

    @rule(customer=customers, token=tokens)
    def attach(self, customer, token):
        status, answer = self.vault.ask("PATCH", f"/customers/{customer}", {"card": token})
        if customer not in self.cards:
            assert status == 404
            return
        self.use(token, status, answer)
        if status == 200:
            self.cards[customer].append(self.made[token]["card"]["id"])

    @rule(token=tokens, amount=st.sampled_from([1, 2_000, 100_000]))
    def charge_token(self, token, amount):
        params = {"amount": amount, "currency": "thb", "card": token}
        status, answer = self.vault.ask("POST", "/charges", params)
        if amount < 2_000:
            assert answer["code"] == "invalid_charge"
            return
        self.use(token, status, answer)
        if status == 200:
            self.ids.append(answer["id"])

    @rule(customer=customers)
    def charge_customer(self, customer):
        params = {"amount": 2_000, "currency": "thb", "customer": customer}
        status, _ = self.vault.ask("POST", "/charges", params)
        expected = 404 if customer not in self.cards else 200 if self.cards[customer] else 400
        assert status == expected

    @rule(customer=customers, which=st.integers(0, 3))
    def delete_card(self, customer, which):
        cards = self.cards.get(customer, [])
        if which < len(cards):
            status, _ = self.vault.ask("DELETE", f"/customers/{customer}/cards/{cards[which]}")
            assert status == 200
            del cards[which]

    @rule(customer=customers, which=st.integers(0, 3))
    def choose_default(self, customer, which):
        cards = self.cards.get(customer, [])
        if which < len(cards):
            params = {"default_card": cards[which]}
            _, shown = self.vault.ask("PATCH", f"/customers/{customer}", params)
            assert shown["default_card"] == cards[which]

    @rule(customer=customers)
    def delete_customer(self, customer):
        status, _ = self.vault.ask("DELETE", f"/customers/{customer}")
        assert status == (200 if customer in self.cards else 404)
        self.cards.pop(customer, None)

    @invariant()
    def ids_never_repeat(self):
        assert len(set(self.ids)) == len(self.ids)

    @invariant()
    def a_default_card_is_one_of_the_customers_cards(self):
        for customer, cards in self.cards.items():
            _, shown = self.vault.ask("GET", f"/customers/{customer}")
            assert [card["id"] for card in shown["cards"]["data"]] == cards
            assert shown["default_card"] in (cards or [None])

    @invariant()
    def the_list_shows_exactly_who_is_there(self):
        _, shown = self.vault.ask("GET", "/customers?limit=100")
        assert {customer["id"] for customer in shown["data"]} == set(self.cards)


@pytest.mark.parametrize(("examples", "steps"), [(12, 20), slow(40, 30)])
def test_any_sequence_of_requests_keeps_the_promises(examples, steps):
    """A token is used at most once, a default card is an own card, ids never repeat."""
    run_state_machine_as_test(
        Vault, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )
