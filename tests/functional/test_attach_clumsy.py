"""Operators change their minds, keys and exports between runs that attach; nothing is lost or doubled."""

import signal

import pytest

from pipeline.sandbox.accounts import pair_keys
from tests.support.attach_runs import HastyClock, attaching, cards
from tests.support.crash import wait_until


def tokens_of(work):
    return [line for line in work.sandbox.entries() if "name_sha256" in line]


def test_keys_of_another_account_stop_a_later_run_before_a_card_is_sent(tmp_path):
    """There every customer would be unknown, and each of their cards fail for good."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with attaching(tmp_path, accounts=accounts) as work:
        work.export(cards("ann", "ben"))
        assert work.run().exit_code == 0
        work.export(cards("ann", "cy", first=3))
        other = ("vault.public_key=pkey_test_b", "attach.secret_key=skey_test_b")
        wrong = work.run(*other)
        sent = len(tokens_of(work))
        right = work.run()

        assert (wrong.exit_code, sent) == (7, 2)
        assert "another account" in str(wrong.trouble)
        assert right.exit_code == 0
        assert work.failures() == {}
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 4


def test_a_wrong_account_before_any_card_is_forgotten_once_the_keys_are_right(tmp_path):
    """The first run stopped with 7 after one token; nothing binds the ledger to that account."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with attaching(tmp_path, accounts=accounts) as work:
        work.export(cards("ann"))
        made = work.run("attach.secret_key=skey_test_b", "flow.attempts_max=1")
        ending = work.run()

        assert made.exit_code != 0
        assert ending.exit_code == 0
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 1


def test_an_existing_customer_that_was_unknown_may_be_named_rightly_by_a_mended_export(tmp_path):
    """A slip in its id rejected the row; the next export names the one that is there."""
    with attaching(tmp_path) as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        work.export(cards(("gil", "cust_test_0000000000000000000", "")))
        first = work.run()
        slip = work.failures()
        work.export(cards(("gil", given, "")))
        ending = work.run()

        assert (first.exit_code, slip) == (3, {"id-1": "customer_unknown"})
        assert (ending.exit_code, work.failures()) == (0, {})
        assert {customer for customer, _ in work.mapped()} == {given}
        assert work.mapped() == work.at_the_vault()


def test_a_customer_of_ours_may_be_named_as_the_one_that_it_is_and_as_no_other(tmp_path):
    """The mapping's ids come back in a top-up; somebody else's customer is a conflict."""
    with attaching(tmp_path) as work:
        work.export(cards("ann", "ben"))
        work.run()
        ids = {row["legacy_id"]: row["customer_id"] for row in work.mapping()}
        work.export(cards(("ann", ids["id-1"], ""), ("ben", ids["id-1"], ""), first=3))
        work.export(cards(("cy", ids["id-2"], ""), first=5))
        ending = work.run()

        assert ending.exit_code == 3
        assert work.failures() == {"id-4": "customer_conflict", "id-5": "customer_conflict"}
        assert len(work.mapped()) == 3
        assert work.mapped() == work.at_the_vault()


def test_cards_of_one_customer_come_by_all_ways_at_once(tmp_path):
    """Tokens alone, then attaching, then the tokens that were left, asked for twice."""
    with attaching(tmp_path, "flow.in_flight_max=2") as work:
        work.export(cards("ann", "ann", "ben", "ann", "ben"))
        assert work.run(no_attach=True, limit=2).exit_code == 4
        assert work.run().exit_code == 0
        before = len(work.mapped())
        asked = [work.run(again=(), unattached=True) for _ in "12"]

        assert before == 3
        assert [(ending.exit_code, ending.planned_again) for ending in asked] == [(0, 2), (0, 0)]
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == len(tokens_of(work)) == 5
        assert len({customer for customer, _ in work.mapped()}) == 2


def test_two_exports_that_share_customers_may_be_carried_bit_by_bit_in_turn(tmp_path):
    """Each run stops after a card or two, now of the one file, now of the other."""
    with attaching(tmp_path, "flow.in_flight_max=2") as work:
        one = work.export(cards("ann", "ben", "ann", "ben"))
        two = work.export(cards("ben", "ann", "ben", "ann", first=5))
        for given in ([one], [two], [one], [two], [two, one]):
            work.run(exports=given, limit=2)
        posts = [line for line in work.sandbox.entries() if line.get("by") == "POST"]

        assert (len(posts), len(work.mapped())) == (2, 8)
        assert work.mapped() == work.at_the_vault()


@pytest.mark.parametrize("on_changed", ["keep", "delete"])
def test_a_top_up_moves_the_default_to_its_own_flagged_card(tmp_path, on_changed):
    """The first flagged card comes again, changed and unflagged; the second is flagged now."""
    with attaching(tmp_path, f"attach.on_changed={on_changed}") as work:
        work.export(cards(("ann", "", "1"), "ann"))
        work.run()
        work.export(cards("ann", ("ann", "", "1"), year=2032))
        ending = work.run()
        mapping = {row["legacy_id"]: row for row in work.mapping()}
        shown = work.customer(mapping["id-1"]["customer_id"])

        assert ending.exit_code == 0
        assert shown["default_card"] == mapping["id-2"]["card_id"]
        assert [row["is_default"] for row in mapping.values()] == [False, True]
        assert len(shown["cards"]["data"]) == (2 if on_changed == "delete" else 4)
        assert work.start("--all", command="readback").wait().code == 0


def test_a_reading_back_that_was_killed_goes_on_where_it_was(tmp_path):
    """What it had read is kept; the next one reads the rest and names every card once."""
    with attaching(tmp_path, "attach.rate_per_s=20", "flow.in_flight_max=1") as work:
        work.export(cards(*(f"c{n}" for n in range(30))))
        work.run("attach.rate_per_s=1000")
        progress = work.out / ".readback.tmp"
        started = work.start("--sample", "25", command="readback")
        wait_until(lambda: progress.exists() and progress.read_bytes().count(b"offset") >= 3)
        started.signal(signal.SIGKILL)
        assert started.wait().killed
        kept = progress.read_bytes().count(b"offset")
        ended = work.start("--sample", "25", "--json", command="readback").wait()

        assert kept >= 3
        assert ended.code == 0, ended.said
        assert '"read":25' in ended.said
        assert f'"requests":{25 - kept}' in ended.said
        assert not progress.exists()


def test_a_token_that_was_charged_is_given_up_only_on_the_operators_word(tmp_path):
    """No customer has its card: it is looked for again and again, until somebody says it is gone."""
    with attaching(tmp_path) as work:
        work.export(cards("ann", "ann", "ben"))
        work.run(attach=False)
        charged = {"amount": 2000, "currency": "thb", "card": work.mapping()[0]["token_id"]}
        work.sandbox.request("POST", "/charges", json=charged)
        first = work.run(again=(), unattached=True, clock=HastyClock())
        held = work.failures()
        looked = work.run(again=(), held=True, clock=HastyClock())
        still_held = work.failures()
        ending = work.run(again=("customer_unlocated",), held=True, clock=HastyClock())
        # The second card of the customer was never asked for: its token was good.
        tokens = len(tokens_of(work))

        assert (first.exit_code, looked.exit_code) == (3, 3)
        assert held == still_held == dict.fromkeys(("id-1", "id-2"), "customer_unlocated")
        assert (ending.exit_code, work.failures(), tokens) == (0, {}, 4)
        assert work.mapped() == work.at_the_vault()
        assert len({customer for customer, _ in work.mapped()}) == 2
        assert work.report()["attach"]["unseen_cards_max"] == 0
        assert work.start("--all", command="readback").wait().code == 0


def test_tokens_are_not_attached_by_settings_without_an_api_host(tmp_path):
    """`retry --unattached` without `[attach]` says what is missing and does nothing."""
    with attaching(tmp_path) as work:
        work.export(cards("ann"))
        work.run(attach=False)
        ended = work.start("--unattached", command="retry", attach=False).wait()

        assert ended.code == 7
        assert work.at_the_vault() == set()
