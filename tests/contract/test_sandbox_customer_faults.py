"""Faults of the API host, and what the journal says of customers whatever the client saw."""

import time

import httpx
import pytest

from tests.support.sandbox import card, running


@pytest.fixture
def run(tmp_path):
    """Give a function that makes customers with cards while the API host answers by a script."""

    def make_all(script, count=1, **options):
        journal = tmp_path / "journal"
        with running(api_faults=script, journal=journal, **options) as sandbox:
            answers = []
            for _ in range(count):
                token = sandbox.request("POST", "/tokens", json={"card": card()}).json()
                try:
                    answers.append(
                        sandbox.request("POST", "/customers", json={"card": token["id"]})
                    )
                except httpx.TransportError as error:
                    answers.append(error)
            time.sleep(options.get("late_s", 0) * 3)
            return answers, [line for line in sandbox.entries() if "made" in line]

    return make_all


@pytest.mark.parametrize(("letter", "made"), [(".", 1), ("R", 0), ("D", 1), ("T", 1), ("5", 0)])
def test_the_api_host_has_a_script_of_its_own(run, letter, made):
    """Tokens are made as ever; the journal tells what became of their customers."""
    _, lines = run(letter)

    assert len(lines) == made


def test_late_work_is_done_after_the_client_has_been_hung_up_on(run):
    """`Z`: the connection ends at once, and the card is on a customer all the same, later."""
    (answer,), lines = run("Z", late_s=0.2)

    assert type(answer) is httpx.RemoteProtocolError
    assert [line["by"] for line in lines] == ["POST"]


def test_another_cards_digits_stand_inside_a_customer_too(run):
    """`W` changes the last four of every card that the answer shows."""
    (answer,), _ = run("W")

    assert answer.json()["cards"]["data"][0]["last_digits"] == "4243"


def test_a_customer_may_come_with_the_id_of_the_one_before(run):
    """`U` repeats the id of the last answer of its kind."""
    (first, second), lines = run(".U", 2)

    assert first.json()["id"] == second.json()["id"]
    assert len({line["on"] for line in lines}) == 2


def test_a_customer_may_come_in_the_wrong_mode(run):
    """`L` turns its livemode over."""
    (answer,), _ = run("L")

    assert answer.json()["livemode"] is True


def test_the_journal_tells_who_got_which_card_how_and_what_was_deleted(tmp_path):
    """One line for each customer, attached card and deletion, in order, numbered with the tokens."""
    with running(journal=tmp_path / "journal") as sandbox:
        first, second = sandbox.token(), sandbox.token()
        made = sandbox.request("POST", "/customers", json={"card": first["id"]}).json()
        path = f"/customers/{made['id']}"
        sandbox.request("PATCH", path, json={"card": second["id"]})
        sandbox.request("DELETE", f"{path}/cards/{first['card']['id']}")
        sandbox.request("DELETE", path)
        lines = sandbox.entries()

    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [(line["made"], line["on"], line["by"], line["token"]) for line in lines[2:]] == [
        (first["card"]["id"], made["id"], "POST", first["id"]),
        (second["card"]["id"], made["id"], "PATCH", second["id"]),
        (first["card"]["id"], made["id"], "DELETE", None),
        (made["id"], None, "DELETE", None),
    ]


def test_the_api_host_has_a_limit_of_its_own():
    """Many tokens a second beside few customers, with one account and one address."""
    with running(rate_per_s=1000, api_rate_per_s=0.001, burst=2) as sandbox:
        tokens = [sandbox.request("POST", "/tokens", json={"card": card()}) for _ in range(2)]
        customers = [sandbox.request("POST", "/customers", json={}) for _ in range(3)]

    assert [answer.status_code for answer in tokens] == [200, 200]
    assert [answer.status_code for answer in customers] == [200, 200, 429]
