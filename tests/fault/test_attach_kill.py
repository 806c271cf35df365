"""SIGKILL at every durable step and every request of a card's walk to its customer, one after another."""

import itertools
import signal

import pytest

from tests.support.attach_runs import attaching, cards

STEPS = tuple(
    f"{step}-{moment}" for step in ("commit", "send", "ask") for moment in ("before", "after")
)
"""A commit of intents or outcomes, a request for a token, one to the API host."""

DAILY = {"ask-after"}


def died_at(work, step, number):
    """Start a run that dies at the n-th such step; say whether it did."""
    ended = work.start(
        hook="tests.support.hooks:die", environment={"CARDFERRY_TEST_DEATH": f"{step}:{number}"}
    ).wait()
    assert ended.code in {0, -signal.SIGKILL}, ended.said
    return ended.killed


def killed_everywhere(folder, step, begin, judge, *settings):
    """Kill a run at each such step there is, carry on, and judge; count the kills."""
    for number in itertools.count(1):
        here = folder / f"{number}"
        here.mkdir()
        with attaching(here, "flow.in_flight_max=1", *settings) as work:
            begin(work)
            killed = died_at(work, step, number)
            if killed:
                ended = work.start(hook="tests.support.hooks:hurry").wait()
                assert ended.code == 0, ended.said
            judge(work)
        if not killed:
            return number - 1
    raise AssertionError


def one_card(work):
    work.export(cards("ann"))


def is_attached_once(work):
    """See the card on the one customer that was ever made, and nothing unseen."""
    posts = [line for line in work.sandbox.entries() if line.get("by") == "POST"]
    assert work.mapped() == work.at_the_vault()
    assert (len(work.mapped()), len(posts)) == (1, 1)
    assert work.report()["attach"]["unseen_cards_max"] == 0


def changed_card(work):
    """Two cards of one customer are attached; the flagged one comes again, changed."""
    work.export(cards("ann", ("ann", "", "1")))
    assert work.run().exit_code == 0
    work.export(cards(("ann", "", "1"), first=2, year=2032))


def is_replaced_once(work):
    """See the customer with its two cards, the changed one its default, the old one gone."""
    mapping = {row["legacy_id"]: row for row in work.mapping()}
    shown = work.customer(mapping["id-1"]["customer_id"])
    posts = [line for line in work.sandbox.entries() if line.get("by") == "POST"]
    assert {card["id"] for card in shown["cards"]["data"]} == {
        row["card_id"] for row in mapping.values()
    }
    assert shown["default_card"] == mapping["id-2"]["card_id"]
    assert (len(mapping), len(posts), mapping["id-2"]["is_default"]) == (2, 1, True)
    assert mapping["id-2"]["expiration_year"] == 2032


@pytest.mark.parametrize(
    "step",
    [step if step in DAILY else pytest.param(step, marks=pytest.mark.slow) for step in STEPS],
)
def test_killed_anywhere_in_its_walk_a_card_ends_on_its_only_customer(tmp_path, step):
    """Intent, token, intent, customer, reading back: the next run goes on from each of them."""
    assert killed_everywhere(tmp_path, step, one_card, is_attached_once) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_in_its_walk_a_changed_card_replaces_the_old_one_once(tmp_path, step):
    """Its default is moved and the old card deleted, whichever of these steps was the last."""
    killed = killed_everywhere(
        tmp_path, step, changed_card, is_replaced_once, "attach.on_changed=delete"
    )
    assert killed >= 1
