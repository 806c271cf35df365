"""Runs with `[attach]`: every card ends on its customer, and the mapping says on which."""

import time
from contextlib import suppress

import pyarrow.parquet as pq
import pytest

from pipeline import __version__
from pipeline.clock import SystemClock
from pipeline.errors import LocalStorageFailed
from pipeline.ledger.attach_needs import AttachNeeds
from pipeline.outputs.verify import Trusted, verify
from pipeline.sandbox.accounts import pair_keys
from pipeline.sandbox.assumptions import read_assumptions
from tests.support.attach_runs import HastyClock, attaching, cards, killed_after
from tests.support.sampled import sampled


def test_a_run_ends_with_every_card_on_its_customer(tmp_path):
    """Two cards on one customer, a flagged default, a customer of the export's own naming."""
    with attaching(tmp_path) as work:
        work.export(cards("anna", ("anna", "", "yes"), "ben"))
        ending = work.run()
        mapping = {row["legacy_id"]: row for row in work.mapping()}
        anna = work.customer(mapping["id-1"]["customer_id"])

        assert (ending.exit_code, ending.trouble) == (0, None)
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 3
        assert mapping["id-1"]["customer_id"] == mapping["id-2"]["customer_id"]
        assert [row["is_default"] for row in mapping.values()] == [False, True, True]
        assert {row["customer_origin"] for row in mapping.values()} == {"made"}
        assert anna["metadata"]["legacy_customer_id"] == "anna"
        assert anna["email"] == "p1@example.com"
        assert ending.this_run.rows["attached"] == 3


def test_the_plan_counts_customers_and_the_requests_that_are_made(tmp_path):
    """One request a card, one more for a given customer, and one for a default that moves."""
    with attaching(tmp_path) as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        flagged = [("ben", "", ""), ("ben", "", "1"), ("cy", "", "1")]
        work.export(cards("ann", ("gil", given, ""), *flagged))
        plans = []
        ending = work.run(asked=plans)
        attach = plans[0].attach.needs

        assert attach == AttachNeeds(5, 0, 1, 3, 1)
        # The first row is read back, alone.
        assert ending.this_run.figures["api_requests"] == attach.requests + 1 == 8
        assert ending.this_run.waiting == 0


def test_what_cannot_be_attached_has_its_code_before_a_token_is_spent(tmp_path):
    """No customer, an id that is none, of the other mode, two for one, unknown, deleted."""
    with attaching(tmp_path) as work:
        deleted = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        work.sandbox.request("DELETE", f"/customers/{deleted}")
        unknown, live = "cust_test_0000000000000000000", "cust_0000000000000000000"
        given = [("", "", ""), ("ann", "x", ""), ("bob", live, ""), ("cy", unknown, "")]
        conflict = [("dee", unknown.replace("0", digit), "") for digit in "12"]
        work.export(cards(*given, *conflict, ("fay", deleted, ""), "eve"))
        ending = work.run()
        tokens = [line for line in work.sandbox.entries() if "name_sha256" in line]

        assert ending.exit_code == 3
        assert work.failures() == {
            "id-1": "customer_missing",
            "id-2": "customer_id_invalid",
            "id-3": "customer_id_invalid",
            "id-4": "customer_unknown",
            "id-5": "customer_conflict",
            "id-6": "customer_conflict",
            "id-7": "customer_unknown",
        }
        assert len(tokens) == len(work.mapped()) == 1


def test_an_existing_customer_that_two_are_named_for_is_a_conflict_until_the_export_is_mended(
    tmp_path,
):
    """Neither is believed, before a token is spent; a mended export may name another for one."""
    with attaching(tmp_path) as work:
        one, two = (work.sandbox.request("POST", "/customers", json={}).json()["id"] for _ in "ab")
        work.export(cards(("ann", one, ""), ("ben", one, ""), "cy"))
        first = work.run()
        in_conflict = work.failures()
        work.export(cards(("ann", one, ""), ("ben", two, "")))
        mended = work.run()
        work.export(cards(("dee", one, ""), ("ann", one, ""), first=4))
        work.run()

        assert (first.exit_code, mended.exit_code) == (3, 0)
        assert in_conflict == {"id-1": "customer_conflict", "id-2": "customer_conflict"}
        assert {row["customer_id"] for row in work.mapping()} > {one, two}
        assert work.failures() == {"id-4": "customer_conflict"}


@pytest.mark.parametrize("batches", sampled(range(4, 8), 4))
def test_of_several_flagged_cards_the_last_is_the_default_whatever_a_kill_left_open(
    tmp_path, batches
):
    """Once, with one request more; and a move whose answer a kill lost is made again."""
    with attaching(tmp_path, "flow.in_flight_max=1") as work:
        work.export(cards(("ann", "", "1"), ("ann", "", "1"), ("ann", "", "")))
        plans = []
        with killed_after(batches), suppress(LocalStorageFailed):
            work.run(asked=plans)
        ending = work.run()
        mapping = {row["legacy_id"]: row for row in work.mapping()}

        assert (ending.exit_code, plans[0].attach.needs.defaults_to_move) == (0, 1)
        assert [row["is_default"] for row in mapping.values()] == [False, True, False]
        shown = work.customer(mapping["id-1"]["customer_id"])
        assert shown["default_card"] == mapping["id-2"]["card_id"]


def test_a_card_found_on_a_given_customer_is_known_to_be_its_default(tmp_path):
    """The answer that said so was lost; only the customer tells which card is the default."""
    with attaching(tmp_path, api_faults="..." + "D.") as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        work.export(cards(("gil", given, "")))
        ending = work.run()

        assert ending.exit_code == 0
        assert [row["customer_origin"] for row in work.mapping()] == ["given"]
        assert [row["is_default"] for row in work.mapping()] == [True]


def test_keys_of_two_accounts_stop_the_run_after_one_row(tmp_path):
    """The API host knows nothing of the token; a second token would prove no more."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with attaching(tmp_path, "attach.secret_key=skey_test_b", accounts=accounts) as work:
        work.export(cards(*"abcdef"))
        ending = work.run(clock=HastyClock())

        assert ending.exit_code == 7
        assert "another account" in ending.trouble.message
        assert len(work.sandbox.entries()) == 1


def test_tokens_of_a_run_without_attaching_are_attached_when_asked_for(tmp_path):
    """`run --no-attach`, or settings without the table; then `retry --unattached`."""
    with attaching(tmp_path) as work:
        work.export(cards("anna", "anna", "ben"))
        assert work.run(attach=False).exit_code == 0
        assert [row["customer_id"] for row in work.mapping()] == [None] * 3
        assert work.run().exit_code == 0
        assert work.at_the_vault() == set()
        ending = work.run(again=(), unattached=True)

        assert (ending.exit_code, ending.planned_again) == (0, 3)
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 3
        tokens = [line for line in work.sandbox.entries() if "name_sha256" in line]
        assert len(tokens) == 3
        work.export(cards("cleo", first=4))
        assert work.run(no_attach=True).exit_code == 0
        assert len(work.mapping()) == 3
        work.run(again=(), unattached=True)
        assert len(work.mapping()) == 4


def test_tokens_that_have_perished_are_made_anew_in_the_same_run(tmp_path):
    """A token is given up only on proof; its row's number is read again from the export."""
    with attaching(tmp_path, assume=read_assumptions(("token_life_s=1",))) as work:
        work.export(cards("anna", "ben"))
        work.run(attach=False)
        time.sleep(2.1)
        ending = work.run(again=(), unattached=True, clock=HastyClock())

        assert (ending.exit_code, ending.trouble) == (0, None)
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 2


def test_no_token_is_made_while_the_api_host_is_unfit(tmp_path):
    """An outage of one host alone: at most as many tokens wait as cards may be under way."""
    flow = ("flow.in_flight_max=4", "flow.outage_max_s=120", "flow.attempts_max=100")
    with attaching(tmp_path, *flow, api_faults="." * 6 + "5") as work:
        work.export(cards(*(f"c{n}" for n in range(40))))
        ending = work.run(clock=HastyClock())
        tokens = [line for line in work.sandbox.entries() if "name_sha256" in line]

        assert ending.exit_code == 4
        assert len(work.mapped()) == len(work.at_the_vault()) >= 3
        assert len(tokens) - len(work.mapped()) <= 4
        assert work.report()["attach"]["unattached"] == len(tokens) - len(work.mapped())


@pytest.mark.parametrize("batches", sampled(range(1, 9), 8, 2))
def test_a_kill_between_lost_answers_costs_nothing(tmp_path, batches):
    """Whichever commit was the last; `test_attach_kill` kills at each step where none is lost."""
    script = "." * (batches // 2) + "D."
    with attaching(tmp_path, "flow.in_flight_max=1", api_faults=script) as work:
        work.export(cards("anna", ("anna", "", "yes")))
        with killed_after(batches), suppress(LocalStorageFailed):
            work.run()
        ending = work.run(clock=HastyClock())

        assert (ending.exit_code, ending.trouble) == (0, None)
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 2
        assert len({customer for customer, _ in work.mapped()}) == 1


def test_exports_that_share_a_customer_share_it_at_the_vault(tmp_path):
    """Carried together or one after the other; the folder verifies, and so does what it says."""
    with attaching(tmp_path, "flow.in_flight_max=4") as work:
        work.export(cards("anna", "ben", "anna"))
        work.export(cards("ben", "anna", "cleo", first=4))
        work.run()
        work.export(cards("anna", "cleo", first=7))
        ending = work.run()
        owners = [line for line in work.sandbox.entries() if line.get("by") == "POST"]

        assert ending.exit_code == 0
        assert work.mapped() == work.at_the_vault()
        assert (len(work.mapped()), len(owners)) == (8, 3)
        assert verify(work.out, SystemClock(), __version__, Trusted()).differences == []
        assert work.report()["attach"]["attached"] == 8


@pytest.mark.parametrize("on_changed", ["keep", "delete"])
def test_a_changed_card_is_attached_before_the_old_one_goes(tmp_path, on_changed):
    """Kept and listed by default; deleted on request, once the new one is there and the default."""
    with attaching(tmp_path, f"attach.on_changed={on_changed}") as work:
        work.export(cards("ann", "ann"))
        work.run()
        before = {row["legacy_id"]: row for row in work.mapping()}
        work.export(cards("ann", year=2032))
        plans = []
        ending = work.run(asked=plans)
        after = {row["legacy_id"]: row for row in work.mapping()}
        shown = work.customer(after["id-1"]["customer_id"])
        there = {card["id"] for card in shown["cards"]["data"]}
        old, new = before["id-1"]["card_id"], after["id-1"]["card_id"]
        listed = pq.read_table(work.out / "superseded.parquet").to_pylist()
        deleted = on_changed == "delete"

        assert (ending.exit_code, plans[0].attach.deletes) == (0, int(deleted))
        assert there == {before["id-2"]["card_id"], new} | (set() if deleted else {old})
        assert shown["default_card"] == (new if deleted else old)
        assert [(row["card_id"], row["kept"]) for row in listed] == [(old, not deleted)]
        assert ("card_deleted" in (work.out / "trail.jsonl").read_text()) == deleted
        assert work.report()["attach"]["superseded"] == 1
        assert verify(work.out, SystemClock(), __version__, Trusted()).differences == []


def test_a_given_customers_default_stays_and_with_it_the_card_that_is_it(tmp_path):
    """Nothing but cards is written to a customer that we did not make."""
    with attaching(tmp_path, "attach.on_changed=delete") as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        work.export(cards(("gil", given, "")))
        work.run()
        work.export(cards(("gil", given, ""), year=2032))
        work.run()
        old = work.at_the_vault() - work.mapped()

        assert {card["id"] for card in work.customer(given)["cards"]["data"]} >= {
            card for _, card in old
        }
        assert work.customer(given)["default_card"] in {card for _, card in old}


@pytest.mark.parametrize("batches", sampled(range(3, 10), 7, 3))
def test_a_default_or_a_deletion_that_a_kill_prevented_comes_with_the_next_run(tmp_path, batches):
    """Whichever commit was the last: in the end the flagged card is the default, the old one gone."""
    flow = ("flow.in_flight_max=1", "attach.on_changed=delete")
    with attaching(tmp_path, *flow) as work:
        work.export(cards("ann", ("ann", "", "yes")))
        work.run()
        work.export(cards("ann", ("ann", "", "yes"), year=2032))
        with killed_after(batches), suppress(LocalStorageFailed):
            work.run()
        ending = work.run()
        mapping = {row["legacy_id"]: row for row in work.mapping()}
        shown = work.customer(mapping["id-1"]["customer_id"])

        assert (ending.exit_code, ending.trouble) == (0, None)
        assert {card["id"] for card in shown["cards"]["data"]} == {
            row["card_id"] for row in mapping.values()
        }
        assert shown["default_card"] == mapping["id-2"]["card_id"]
        assert mapping["id-2"]["is_default"]


@pytest.mark.parametrize("same_card", ["add", "reuse"])
def test_the_same_card_again_is_added_or_reused(tmp_path, same_card):
    """By the vault's fingerprint and the expiration; in one run and in a later one."""
    with attaching(tmp_path, f"attach.same_card={same_card}") as work:
        row = cards("ann")[0].split(",")
        again = [",".join([f"id-{n}", *row[1:]]) for n in (1, 2, 3)]
        other = [",".join(["id-4", "ben", *row[2:]])]
        work.export([*again[:2], *other])
        work.run()
        work.export(again[2:])
        ending = work.run()
        ids = {row["legacy_id"]: row["card_id"] for row in work.mapping()}
        reused = same_card == "reuse"

        assert ending.exit_code == 0
        assert len(work.at_the_vault()) == (2 if reused else 4)
        assert work.mapped() == work.at_the_vault()
        assert (ids["id-1"] == ids["id-2"] == ids["id-3"]) == reused
        assert work.report()["attach"]["reused"] == (2 if reused else 0)
        assert verify(work.out, SystemClock(), __version__, Trusted()).differences == []
