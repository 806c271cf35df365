"""Runs that attach meet what happens at vaults: many cards, deleted customers, used and lost tokens."""

import threading
import time
from itertools import pairwise

import pytest

from pipeline import __version__
from pipeline.cards.scan import scan
from pipeline.clock import SystemClock
from pipeline.outputs.verify import Trusted, verify
from pipeline.sandbox.context import Context
from pipeline.sandbox.refusals import not_found
from tests.support.attach_runs import HastyClock, attaching, cards


def test_twenty_five_cards_of_one_customer_take_a_request_each(tmp_path):
    """Beyond the twenty that an answer shows it takes a look each; the first is read back once."""
    with attaching(tmp_path) as work:
        work.export(cards(*["ann"] * 25))
        ending = work.run()

        assert ending.exit_code == 0
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 25
        assert len({customer for customer, _ in work.mapped()}) == 1
        assert ending.this_run.figures["api_requests"] == 25 + 5 + 1


def test_a_customer_that_is_deleted_in_the_middle_takes_no_more_cards(tmp_path):
    """Its cards that come too late fail with `customer_unknown`; the others' go on."""
    with attaching(tmp_path, "flow.in_flight_max=1", "attach.rate_per_s=20") as work:
        work.export(cards(*["ann"] * 12, "ben"))
        deleting = threading.Thread(target=delete_first_customer, args=(work,))
        deleting.start()
        ending = work.run()
        deleting.join()
        codes = set(work.failures().values())

        assert ending.exit_code == 3
        assert codes == {"customer_unknown"}
        assert len(work.mapping()) + len(work.failures()) == 13
        assert "id-13" in {row["legacy_id"] for row in work.mapping()}
        assert work.mapped() == work.at_the_vault()
        # A later run does not try the customer again.
        assert work.run().exit_code == 0


def delete_first_customer(work):
    def has_two_cards(shown):
        return shown and len(shown[0]["cards"]["data"]) > 1

    # The first card is read back before the others come.
    while not has_two_cards(shown := work.sandbox.request("GET", "/customers").json()["data"]):
        time.sleep(0.01)
    work.sandbox.request("DELETE", f"/customers/{shown[0]['id']}")


def test_a_storm_of_404s_gives_no_young_token_up(tmp_path, monkeypatch):
    """Every token is unknown for a while; until it is a minute old the same one is offered again."""
    really, begun = Context.fresh_token, []

    def fresh_token(self, account, ident):
        begun.append(time.monotonic())
        if 1 < len(begun) and begun[-1] < begun[1] + 1.5:
            raise not_found("token", ident)
        return really(self, account, ident)

    monkeypatch.setattr(Context, "fresh_token", fresh_token)
    with attaching(tmp_path, "flow.attempts_max=100") as work:
        work.export(cards(*"abcdefgh"))
        ending = work.run(clock=HastyClock())
        made = {}
        for line in work.sandbox.entries():
            if "made" not in line:
                made.setdefault(line["name_sha256"], []).append(float(line["at"][17:-1]))

        assert ending.exit_code == 0
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 8
        # A second is a hundred of the run's; moments may lie in two minutes.
        ages = [(b - a) % 60 for times in made.values() for a, b in pairwise(times)]
        assert ages
        assert min(ages) > 0.6


def test_a_limit_counts_cards_that_are_attached_as_well(tmp_path):
    """So many rows get a token and a customer; the others wait, and the next run goes on."""
    with attaching(tmp_path) as work:
        work.export(cards(*"abcde"))
        first = work.run(limit=2)

        assert first.exit_code == 4
        assert len(work.mapping()) == len(work.mapped()) == len(work.at_the_vault()) == 2
        assert work.run().exit_code == 0
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 5


@pytest.mark.parametrize("second", ["ann", "ben"], ids=["added", "made"])
def test_a_card_that_wore_out_its_attempts_is_attached_by_retry_with_the_same_token(
    tmp_path, second
):
    """It was looked for and is nowhere; until somebody knows, V counts it."""
    flow = ("flow.in_flight_max=1", "flow.attempts_max=1")
    with attaching(tmp_path, *flow, api_faults="...5.") as work:
        work.export(cards("ann", second))
        first = work.run(clock=HastyClock())
        codes, unseen = work.failures(), work.report()["attach"]["unseen_cards_max"]
        ending = work.run(again=(), clock=HastyClock())
        tokens = [line for line in work.sandbox.entries() if "made" not in line]

        assert (first.exit_code, ending.exit_code) == (3, 0)
        assert (codes, unseen) == ({"id-2": "attach_attempts_exhausted"}, 1)
        assert work.mapped() == work.at_the_vault()
        assert (len(work.mapped()), len(tokens)) == (2, 2)
        assert work.report()["attach"]["unseen_cards_max"] == 0


def test_a_token_that_somebody_else_used_is_held_until_an_operator_gives_it_up(tmp_path):
    """`retry` leaves it alone; `retry --held` makes a new token and names the old one's reason."""
    with attaching(tmp_path) as work:
        work.export(cards("ann", "ben"))
        work.run(attach=False)
        theirs = work.mapping()[1]["token_id"]
        stranger = work.sandbox.request("POST", "/customers", json={"card": theirs}).json()
        first = work.run(again=(), unattached=True, clock=HastyClock())
        codes = work.failures()
        again = work.run(again=(), clock=HastyClock())
        ending = work.run(again=(), held=True, clock=HastyClock())
        customers = {row["customer_id"] for row in work.mapping()}

        assert (first.exit_code, again.exit_code, ending.exit_code) == (3, 0, 0)
        assert codes == {"id-2": "attach_token_used"}
        assert work.failures() == {}
        assert len(work.mapping()) == len(customers - {stranger["id"]}) == 2
        assert theirs not in {row["token_id"] for row in work.mapping()}
        assert verify(work.out, SystemClock(), __version__, Trusted()).differences == []


def test_no_key_and_nothing_of_a_customer_stands_where_it_does_not_belong(tmp_path):
    """Secret key, e-mail, description and metadata: in no file, no log; and no card number either."""
    told = "attach.metadata={ note = '{legacy_id} xyzzy', legacy_customer_id = '{customer}' }"
    with attaching(tmp_path, told, "attach.description='plugh {customer}'") as work:
        work.export(cards("ann", ("ann", "", "1"), "ben"))
        log = tmp_path / "log"
        ended = work.start("-vv", "--log-file", log).wait()
        shown = work.customer(work.mapping()[0]["customer_id"])
        files = [path for path in work.out.iterdir() if path.is_file()]
        written = [ended.said.encode(), log.read_bytes(), *(path.read_bytes() for path in files)]

        assert ended.code == 0, ended.said
        assert shown["metadata"]["note"] == "id-1 xyzzy"
        assert (shown["description"], shown["email"]) == ("plugh ann", "p1@example.com")
        for secret in (work.sandbox.secret_key, "@example.com", "1 xyzzy", "plugh ann"):
            assert [secret for text in written if secret.encode() in text] == []
        assert list(scan([work.out, log])) == []
