"""What a night reads: no table that grows with cards from end to end, whatever was settled before."""

import re
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.recovery import settle_open_intents
from pipeline.ledger.sections import SECTIONED
from pipeline.migration.status import status_of
from pipeline.outputs.metrics_file import standing_of
from pipeline.outputs.publisher import publish
from tests.support.folders import VERSION, settled_and_published
from tests.support.ledgers import Builder, StepClock, settled_builder

LATER = datetime(2027, 1, 1, tzinfo=UTC)
OPEN_ONLY = (
    *("rows_that_failed", "cards_that_failed", "superseded_rows", "rows_with_other_details"),
    *("attempts_about_cards", "flagged_rows_by_customer"),
)
"""Indexes of few rows: what is open, was replaced, or speaks of cards alone."""
OURS = re.compile(r"(?:SELECT|UPDATE|DELETE|INSERT|WITH)\b(?!.*\bbatch\b)", re.DOTALL)
"""Statements about tables; a batch goes by keys, and through a table that only its own sees."""
ANY_ROW = re.compile(
    r"SELECT \S+\s+FROM \w+\s+LIMIT 1( OFFSET 0)?|SELECT EXISTS \(SELECT \S+\s+FROM \w+\) AS \w+"
)
"""A look at whichever row is the first."""
GROWING = {table.name for table in SECTIONED} - {"customers"}
"""Tables that grow with cards; all customers are listed, where there are any."""
SCAN = re.compile(rf"SCAN (?:{'|'.join(GROWING)})\b(?P<how>.*)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A published migration of some sections, whose ledger is as the run left it."""
    return settled_and_published(tmp_path_factory.mktemp("night") / "migration", 2_500)


@contextmanager
def statements():
    """Note every statement that any ledger of this process runs."""
    told = []

    def trace(driver, _):
        driver.set_trace_callback(told.append)

    event.listen(Pool, "connect", trace)
    try:
        yield told
    finally:
        event.remove(Pool, "connect", trace)


def scans(folder, told):
    """Give the statements that read one of those tables from end to end, each with how."""
    found = {}
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as ledger:
        for statement in dict.fromkeys(told):
            if not OURS.match(statement) or ANY_ROW.fullmatch(statement):
                continue
            for *_, step in ledger.execute(f"EXPLAIN QUERY PLAN {statement}"):
                scan = SCAN.match(step)
                if scan and not any(name in scan["how"] for name in OPEN_ONLY):
                    found[statement] = step
    return found


def look_at(folder):
    status_of(folder, StepClock(LATER))


def bring_nothing(folder):
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        ledger.begin_run("night", {"operator": "bench"}, ledger.recall("settings_digest"))
        assert ledger.goes_by_sections
        settle_open_intents(ledger, 1)
        ledger.end_run(0, {})
        publish(ledger, folder, VERSION)
        with ledger.look() as look:
            standing_of(look)


def bring_some(folder):
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        builder = Builder(ledger, ledger.clock, tokens_made=9_000_000)
        builder.begin("top-up")
        settle_open_intents(ledger, 1)
        builder.settle(builder.plan("more.csv", 30, first=100_000, reject_every=7))
        builder.end(0)
        publish(ledger, folder, VERSION)


@pytest.mark.parametrize("night", [look_at, bring_nothing, bring_some])
def test_no_night_reads_all_rows_attempts_or_tokens(folder, night):
    """A look, nothing new, a top-up: rows are found by a key or an index of few; sections say the rest."""
    with statements() as told:
        night(folder)

    assert told
    assert scans(folder, told) == {}


def test_the_first_publication_works_everything_out_of_one_reading(tmp_path):
    """What is kept of tokens, attempts and answers comes of one statement a table; of rows, of three."""
    with statements() as told:
        builder = settled_builder(tmp_path / "migration", 2_500, top_up=False)
        del told[:]
        builder.ledger.renew_sections()
        asked = [statement for statement in told if statement.startswith("SELECT")]
        builder.ledger.close()

    # The rows' counts and failures are sums that the database forms.
    readings = {"rows": 3, "tokens": 1, "attempts": 1, "outcomes": 1}
    for table, times in readings.items():
        # Rows by rows: not the look whether there is any, and each stretch of ids once.
        reading = re.compile(rf"\bFROM {table}\b.* BETWEEN (\d+ AND \d+)", re.DOTALL)
        ranges = [found[1] for found in map(reading.search, asked) if found]
        assert len(ranges) == times * len(set(ranges)) > 0, table
