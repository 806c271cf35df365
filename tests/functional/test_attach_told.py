"""What a person is told of cards on their way to customers: by check, status and the moving line."""

import json
import signal
from collections import Counter
from contextlib import closing

import pytest

from pipeline.cli.flow_words import ended_words, flow_words, progress_words
from pipeline.cli.status import _show
from pipeline.cli.terminal import Terminal
from pipeline.clock import SystemClock
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.metrics import Flow
from pipeline.migration.status import status_of
from tests.support.attach_runs import attaching, cards
from tests.support.crash import wait_until
from tests.support.judged import command


def ended_in_a_minute(flow):
    return ended_words(flow, 2.0, 60.0)


@pytest.fixture
def work(tmp_path):
    """A migration that attaches, with an export of four cards on three customers."""
    with attaching(tmp_path) as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        work.export(cards("ann", ("ann", "", "1"), ("gil", given, ""), "ben"))
        yield work


def test_check_says_what_attaching_will_need_and_sends_nothing(work, tmp_path):
    """Cards, customers to make and given, requests and seconds at the API host's own rate."""
    settings = [word for rule in work.overrides("attach.rate_per_s=2") for word in ("--set", rule)]
    before = len(work.sandbox.entries())
    done = command(tmp_path, "check", *work.exports, "--json", *settings)
    told = done.answer["attach"]

    assert done.code == 0
    assert told == {
        "cards": 4,
        "customers_known": 0,
        "customers_given": 1,
        "customers_to_make": 2,
        "defaults_to_move": 1,
        "requests": 6,
        "rate_per_s": 2,
        "seconds_at_rate": 3.0,
    }
    assert len(work.sandbox.entries()) == before
    shown = command(tmp_path, "check", *work.exports, *settings).out
    words = "4 cards would come on customers: 2 to make, 1 given; 6 requests to the API host"
    assert words in " ".join(shown.split())


def test_check_without_attaching_names_no_customers_to_make(work, tmp_path):
    """`attach` is null, and the profile says in a sentence that tokens perish."""
    settings = [word for rule in work.overrides(attach=False) for word in ("--set", rule)]

    assert command(tmp_path, "check", *work.exports, "--json", *settings).answer["attach"] is None
    shown = " ".join(command(tmp_path, "check", *work.exports, *settings).out.split())
    assert "Tokens are single-use and perish" in shown


def test_status_counts_cards_on_customers_and_those_on_their_way(work, capsys):
    """A run that was stopped after two cards: the others wait, and their file is named."""
    assert work.run(limit=2).exit_code == 4
    stopped = status_of(work.out, SystemClock())
    assert work.run().exit_code == 0
    ended = status_of(work.out, SystemClock())
    _show(Terminal(), ended)

    assert (stopped["pending"], stopped["attach"]["attached"]) == (2, 2)
    assert [export["rows"] for export in stopped["waiting_exports"]] == [2]
    assert (ended["pending"], ended["waiting_exports"]) == (0, [])
    assert ended["attach"] == {
        **dict.fromkeys(("reused", "superseded", "attach_failed", "attach_held", "unattached"), 0),
        "tokenized": 4,
        "attached": 4,
        "unseen_cards_max": 0,
    }
    shown = capsys.readouterr().out
    assert "cards of 4 tokens: 4 attached" in shown
    assert "cards that may be at the vault unseen: at most 0" in shown


def test_status_after_tokens_alone_says_that_they_perish(work, capsys):
    """In the sentence that every summary has."""
    work.run(attach=False)
    tree = status_of(work.out, SystemClock())
    _show(Terminal(), tree)

    assert tree["attach"] is None
    assert "Tokens are single-use and perish" in capsys.readouterr().out


def test_status_of_a_killed_run_names_the_export_of_cards_without_a_customer(tmp_path):
    """Its row has a token and is no open row any more; its card waits all the same."""
    # The first card is read back; then the API host says nothing.
    with attaching(tmp_path, "flow.in_flight_max=1", api_faults="...H") as work:
        work.export(cards(*"abc"))
        started = work.start()
        wait_until(
            lambda: len([line for line in work.sandbox.entries() if "made" not in line]) == 2
        )
        wait_until(lambda: status_of(work.out, SystemClock())["attach"]["unattached"] == 1)
        started.signal(signal.SIGKILL)
        started.wait()
        tree = status_of(work.out, SystemClock())

        assert tree["pending"] == 2
        assert [export["name"] for export in tree["waiting_exports"]] == ["export-1.csv"]
        assert tree["waiting_exports"][0]["rows"] == 2
        assert tree["attach"]["unseen_cards_max"] == 1


def test_the_rate_of_status_counts_rows_and_not_answers(work):
    """Two answers bring a row to its end; a default that is moved brings none."""
    work.run()
    opened = Ledger(ledger_url(work.out), SystemClock(), read_only=True)
    with closing(opened) as ledger, ledger.look() as look:
        count, first_ms = look.answered_since(0)
        (run,) = look.runs()

    assert count == 4
    assert run.started_ms <= first_ms <= run.ended_ms


@pytest.mark.parametrize("words", [lambda flow: progress_words(flow, 2.0), ended_in_a_minute])
def test_the_moving_line_counts_tokens_and_cards_on_customers(words):
    """Both hosts are told apart; without attaching there is only one of them."""
    flow = Flow(total=100, tokenized=42, attached=40, is_attaching=True)
    flow.api = Flow(rate_allowed=10.0, breaker="open", answers=Counter(throttled=3))

    told = [*words(flow), *flow_words(flow)]
    alone = [*words(Flow(total=100, tokenized=42)), *flow_words(Flow())]

    assert told[0] == "sent 40/100 rows"
    assert {"tokens 42", "on customers 40", "429s 3"} <= set(told)
    assert "the API host fails or does not answer, waiting for it" in told
    assert "allowed 0.0/s and 10.0/s" in told
    assert alone[0] == "sent 42/100 rows"
    assert [word for word in alone if "customers" in word or "API host" in word] == []


def test_the_report_speaks_of_customers_and_cards(work):
    """The page and its figures: what became of the tokens' cards, and V."""
    work.run()
    page = (work.out / "report.html").read_text("utf-8")

    assert work.report()["attach"]["attached"] == 4
    assert "All 4 cards are on their customers." in page
    assert "Tokens are single-use and perish" not in page


def test_the_report_of_tokens_alone_says_that_they_perish(work):
    """In the sentence that every summary has, with what to do."""
    work.run(attach=False)

    assert "Tokens are single-use and perish" in (work.out / "report.html").read_text("utf-8")


def test_reading_back_ends_with_8_and_says_what_differs(work):
    """In words and as JSON, and as an event of the trail; what is well ends with 0."""
    work.run()
    rules = [word for rule in work.overrides() for word in ("--set", rule)]
    good = command(work.base, "readback", work.out, *rules)
    row = work.mapping()[0]
    path = f"/customers/{row['customer_id']}/cards/{row['card_id']}"
    work.sandbox.request("DELETE", path)
    bad = command(work.base, "readback", work.out, *rules)
    told = command(work.base, "readback", work.out, *rules, "--json")
    work.run()
    trail = [json.loads(line) for line in (work.out / "trail.jsonl").read_text().splitlines()]
    events = [event for event in trail if event["event"] == "readback"]

    assert (good.code, bad.code, told.code) == (0, 8, 8)
    assert "4 of 4 cards read back: all as the mapping says" in good.out
    assert "of 4 cards read back, 1 missing, 0 changed, 0 unknown to the ledger" in bad.err
    assert told.answer["findings"] == {"ok": 3, "missing": 1, "changed": 0, "stranger": 0}
    assert [(e["success"], e["detail"]["missing"]) for e in events] == [
        (True, 0),
        (False, 1),
        (False, 1),
    ]
