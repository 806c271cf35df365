"""Cards come to customers of a real sandbox: once each, and none that the ledger does not know."""

import random
import time
from contextlib import contextmanager, suppress
from itertools import product

import pytest

from pipeline.errors import CardferryError, LocalStorageFailed, VaultRefusedSettings
from pipeline.migration.attacher import AttachEnd
from pipeline.sandbox.accounts import pair_keys
from pipeline.sandbox.assumptions import read_assumptions
from tests.support.attaching import planned
from tests.support.ledgers import new_builder
from tests.support.sampled import sampled
from tests.support.sandbox import running


@contextmanager
def carrying(folder, cards, **options):
    """Plan cards and make their tokens; `cards` may leave given ids and flags out."""
    whole = [(*card, None, None)[:3] for card in cards]
    builder = new_builder(folder / "migration")
    try:
        builder.begin("run-1")
        with running(journal=folder / "journal", **options) as sandbox:
            work = planned(builder, sandbox, whole)
            work.tokenize()
            yield work
    finally:
        builder.ledger.close()


def customers(count, cards_each=1):
    return [(f"c{number}",) for number in range(count) for _ in range(cards_each)]


def test_every_card_comes_to_its_customer_and_the_first_is_the_default(tmp_path):
    """One request a card: a POST for the first of a customer, a PATCH for the others."""
    with carrying(tmp_path, customers(4, 3)) as work:
        ends = work.attach()

        assert set(ends.values()) == {AttachEnd.SETTLED}
        assert work.balance() == {"tokenized": 12, "attached": 12}
        assert work.attached() == work.at_the_vault()
        assert [(row[2], row[3]) for row in work.customers()] == [("made", 3)] * 4
        changes = [line["by"] for line in work.sandbox.entries() if "made" in line]
    assert (changes.count("POST"), changes.count("PATCH")) == (4, 8)


def test_more_cards_than_an_answer_shows_are_attached_all_the_same(tmp_path):
    """Twenty cards are embedded; the others are seen by a request of their own."""
    with carrying(tmp_path, customers(1, 25)) as work:
        work.attach()

        assert work.balance() == {"tokenized": 25, "attached": 25}
        assert (work.unseen(), work.attached()) == (0, work.at_the_vault())


def test_a_flagged_card_becomes_the_default(tmp_path):
    """By a request of its own: a PATCH with a token moves no default."""
    with carrying(tmp_path, [("anna",), ("anna", None, True)]) as work:
        work.attach()
        (anna,) = work.customers()
        shown = work.sandbox.request("GET", f"/customers/{anna[1]}").json()

    assert shown["default_card"] == anna[4] == shown["cards"]["data"][1]["id"]


def test_a_given_customer_is_read_first_and_keeps_its_default(tmp_path):
    """Nothing but the card is written to a customer that we did not make."""
    with running(journal=tmp_path / "journal") as sandbox:
        given = sandbox.request(
            "POST", "/customers", json={"card": sandbox.token()["id"], "description": "theirs"}
        ).json()
        builder = new_builder(tmp_path / "migration")
        builder.begin("run-1")
        work = planned(builder, sandbox, [("anna", given["id"], True)])
        work.tokenize()
        work.attach()
        shown = sandbox.request("GET", f"/customers/{given['id']}").json()

        assert work.balance() == {"tokenized": 1, "attached": 1}
        builder.ledger.close()
    assert (shown["default_card"], shown["description"]) == (given["default_card"], "theirs")
    assert (shown["metadata"], len(shown["cards"]["data"])) == ({}, 2)


def test_a_given_customer_that_is_unknown_gets_no_card(tmp_path):
    """It is refused before anything is sent for its card."""
    with carrying(tmp_path, [("anna", "cust_test_0000000000000000000")]) as work:
        assert work.attach() == {}
        assert work.at_the_vault() == set()


@pytest.mark.parametrize("letter", ["D", "T", "J", "5", "3", "9", "8", "R", "H"])
def test_a_fault_on_each_first_request_costs_no_card_and_makes_none_twice(tmp_path, letter):
    """The same request with the same token; what was done already is found by the card's id."""
    with carrying(tmp_path, customers(3, 2), api_faults=letter * 3 + ".") as work:
        work.attach()

        assert work.balance() == {"tokenized": 6, "attached": 6}
        assert (work.unseen(), work.attached()) == (0, work.at_the_vault())
        assert len({customer for customer, _ in work.at_the_vault()}) == 3


def test_work_that_is_done_late_makes_no_second_customer(tmp_path):
    """The request is repeated before the first is carried out; only one of them makes anything."""
    with carrying(tmp_path, customers(3), api_faults="ZZZ.", late_s=0.1) as work:
        work.attach()

        assert work.balance() == {"tokenized": 3, "attached": 3}
        assert work.attached() == work.at_the_vault()


def test_a_lost_customer_is_found_behind_others_of_the_same_second(tmp_path):
    """Pages are cut between customers with equal moments; the card's id tells which is ours."""
    with carrying(tmp_path, customers(1), api_faults="." * 230 + "D.") as work:
        ask = work.sandbox.request
        for _ in range(230):
            ask("POST", "/customers", json={})
        work.attach()
        page = ask("GET", "/customers?limit=100").json()["data"]

        assert len({shown["created_at"] for shown in page}) < len(page) == 100
        assert work.attached() == work.at_the_vault()
        assert len(work.attached()) == 1
        assert work.unseen() == 0


@pytest.mark.parametrize("letter", ["W", "U"])
def test_an_answer_about_another_card_stops_the_run_and_holds_the_row(tmp_path, letter):
    """Another card's digits, or another customer's id."""
    with carrying(tmp_path, customers(3), api_faults="." + letter) as work:
        with pytest.raises(CardferryError, match="mixed cards up"):
            work.attach()

        assert "attach_mismatch" in work.failures()
        seen = work.at_the_vault() - work.attached()
        assert len(seen) <= work.unseen()


def test_an_answer_of_the_other_mode_stops_the_run_and_blames_nobody(tmp_path):
    """The settings are wrong, or the vault is."""
    with carrying(tmp_path, customers(1), api_faults="L") as work:
        with pytest.raises(VaultRefusedSettings):
            work.attach()

        assert work.failures() == []


def test_tokens_of_another_account_stop_the_run_and_are_not_given_up(tmp_path):
    """A 404 for a young token is no proof that it expired."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with carrying(tmp_path, customers(4), accounts=accounts) as work:
        with pytest.raises(VaultRefusedSettings):
            work.attach(secret_key="skey_test_b")

        assert work.failures() == []
        assert work.balance() == {"tokenized": 4, "unattached": 4}


def test_a_storm_of_lost_answers_ends_with_the_truth(tmp_path):
    """A third of the answers is lost, late or half; no card is lost, doubled or unknown."""
    storm = "seed=7 D=0.08 T=0.06 R=0.06 5=0.05 3=0.03 9=0.02 J=0.03 Z=0.05"
    with carrying(tmp_path, customers(40, 2), api_faults=storm, late_s=0.05) as work:
        work.attach()
        for number in range(2, 6):
            if "unattached" in work.balance():
                work.recover(f"run-{number}")
                work.attach()

        balance, unknown = work.balance(), work.at_the_vault() - work.attached()
        assert "unattached" not in balance
        assert len(unknown) <= work.unseen()
        owners = [customer for customer, _ in work.at_the_vault()]
        assert len(set(owners)) <= 40
        assert len(work.at_the_vault()) == len({card for _, card in work.at_the_vault()})


def test_no_other_card_makes_a_customer_that_a_lost_request_may_have_made(tmp_path):
    """A look that tells nothing leaves the customer to the card in doubt, and to the next run."""
    with carrying(tmp_path, customers(1, 2), api_faults="D." + "5" * 5 + ".") as work:
        assert work.attach() == {1: AttachEnd.LEFT, 2: AttachEnd.LEFT}
        assert len(work.at_the_vault()) == work.unseen() == 1
        work.recover("run-2")
        work.attach()

        assert work.balance() == {"tokenized": 2, "attached": 2}
        assert (work.unseen(), work.attached()) == (0, work.at_the_vault())
        assert len({customer for customer, _ in work.at_the_vault()}) == 1


# A request is carried out, never comes, or is carried out late.
@pytest.mark.parametrize(("batches", "letter"), sampled(product(range(8), ".RZ"), 4))
def test_a_kill_at_any_durable_step_costs_nothing(tmp_path, batches, letter):
    """Whatever was durable, and whether the vault did what was asked: the next run ends attached."""
    script = "." * (batches // 2) + letter + "."
    cards = [("anna",), ("anna", None, True)]
    with carrying(tmp_path, cards, api_faults=script, late_s=0.05) as work:
        try:
            work.attach(dies_after=batches)
        except LocalStorageFailed:
            work.recover("run-2")
            work.attach()

        assert work.balance() == {"tokenized": 2, "attached": 2}
        assert (work.unseen(), work.attached()) == (0, work.at_the_vault())
        assert len({customer for customer, _ in work.at_the_vault()}) == 1


def test_tokens_of_an_earlier_run_that_expired_are_retired_and_their_rows_planned_again(tmp_path):
    """Nobody takes them for another account's; once they are proved gone, new ones may be made."""
    assume = read_assumptions(("token_life_s=1",))
    with carrying(tmp_path, customers(4), assume=assume) as work:
        time.sleep(2.1)
        ends = work.attach(made_here=False)

        assert set(ends.values()) == {AttachEnd.NEW_TOKEN}
        assert (work.balance(), work.unseen()) == ({}, 0)
        while work.claims():
            # On a busy machine some of the new ones expire as well.
            work.tokenize()
            work.attach(made_here=False)
        assert work.balance() == {"tokenized": 4, "attached": 4}
        assert work.attached() == work.at_the_vault()


@pytest.mark.slow
@pytest.mark.parametrize("life", [0, 2], ids=["tokens last", "tokens live 2 s"])
@pytest.mark.parametrize("seed", range(5))
def test_chaos_loses_no_card_and_doubles_no_customer(tmp_path, seed, life):
    """A quarter of the answers wrong, a twentieth late, killed again and again; V holds the truth."""
    storm = f"seed={seed} D=0.06 T=0.04 R=0.04 5=0.03 3=0.02 9=0.01 J=0.02 Z=0.06"
    assume = read_assumptions((f"token_life_s={life}",))
    dice = random.Random(seed)
    options = {"api_faults": storm, "late_s": 0.05, "assume": assume}
    with carrying(tmp_path, customers(30, 2), **options) as work:
        for number in range(2, 42):
            with suppress(LocalStorageFailed):
                work.attach(dies_after=dice.randrange(5, 60), made_here=False)
                if not work.claims():
                    break
            work.recover(f"run-{number}")
            work.tokenize()
        at_the_vault, attached = work.at_the_vault(), work.attached()

        assert attached <= at_the_vault
        assert len(at_the_vault - attached) <= work.unseen()
        assert len({card for _, card in at_the_vault}) == len(at_the_vault)
        assert len({customer for customer, _ in at_the_vault}) <= 30
