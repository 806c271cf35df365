"""What a ledger in SQLite does by itself: the fence inside a batch, a disk that fails, indexes."""

import pytest
from sqlalchemy import event, insert, select

from pipeline.errors import LocalStorageFailed, VerificationFailed
from pipeline.ledger.schema import rows
from pipeline.ledger.sections import SECTION_ROWS, sections
from pipeline.ledger.settling import Settling
from pipeline.ledger.sqlite.connection import selected
from tests.support.ledgers import new_builder, tokenized


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


@pytest.fixture
def export(builder):
    return builder.plan("cards.csv", 10)


def states(builder):
    with builder.ledger.look() as look:
        return {state.value: n for state, n in look.by_state().items() if n}


def answered(builder, intent, claim, token_id=None):
    token = builder._token(claim)
    token = token if token_id is None else token._replace(token_id=token_id)
    return tokenized(intent, token)


def sent(settling, export, count):
    claims = settling.claimable(export.first_id, export.last_id)[:count]
    intents = [settling.intent(claim.id, claim.attempts + 1) for claim in claims]
    settling.apply(intents)
    return claims, intents


@pytest.mark.parametrize(
    "meddle",
    [
        "INSERT INTO runs (epoch, run_id, started_ms, facts) VALUES (2, 'run-2', 0, '{}')",
        "DELETE FROM runs",
    ],
    ids=["by a later run", "by somebody who emptied the table"],
)
def test_a_batch_of_a_run_that_was_overtaken_is_refused_as_a_whole(builder, export, meddle):
    """The fence stands inside the one statement that makes a batch durable."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 2)
    with builder.ledger.writing() as driver:
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute(meddle)
    with pytest.raises(VerificationFailed, match="a later run has taken this ledger over"):
        settling.apply([answered(builder, i, c) for i, c in zip(intents, claims, strict=True)])

    assert {"planned": 8, "sent": 2} == states(builder)


def test_a_ledger_that_cannot_be_read_stops_the_run_as_one_that_cannot_be_written(builder, export):
    """The disk is to blame, not the ledger, and nothing is written after it."""
    settling = Settling(builder.ledger, 8)
    interrupts = iter([1])

    def read():
        with builder.ledger.transaction() as connection:
            builder.ledger._driver.set_progress_handler(lambda: next(interrupts, 0), 1)
            list(selected(connection, select(rows.c.id)))

    with pytest.raises(LocalStorageFailed):
        read()
    with pytest.raises(LocalStorageFailed):
        settling.claimable(export.first_id, export.last_id)


def test_a_top_up_is_compared_by_index_however_large_the_ledger(tmp_path):
    """No statement of planning looks through a table: each row costs a few look-ups by legacy id."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.settle(builder.plan("cards.csv", 20))
    seen = []

    def note(_connection, _cursor, statement, parameters, *_):
        seen.append((statement, parameters))

    event.listen(builder.ledger.engine, "before_cursor_execute", note)
    builder.plan("top-up.csv", 10, changed_every=4)
    event.remove(builder.ledger.engine, "before_cursor_execute", note)
    changes = [one for one in seen if one[0].startswith(("UPDATE rows", "SELECT rows."))]
    with builder.ledger.reading() as connection:
        plans = [
            step[3]
            for statement, parameters in changes
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    builder.ledger.close()

    assert len(changes) == 5
    assert [] == [step for step in plans if step.startswith("SCAN")]


def loaded(builder, export, legacy_id="last", state="planned"):
    """Insert as many rows as are held against the rules together; tell of the last one what it is."""
    ids = list(range(export.first_id + 1_000, export.first_id + 1_600))
    legacy_ids = [f"new-{row}" for row in ids[1:]] + [legacy_id]
    columns = [ids, legacy_ids, ["planned"] * (len(ids) - 1) + [state]]
    with builder.ledger.transaction() as connection:
        builder.ledger.store.fill(connection, rows, ("id", "legacy_id", "state"), columns)


def parts(builder):
    with builder.ledger.reading() as connection:
        return builder.ledger.store.parts_of(connection)


def test_many_new_rows_are_held_against_the_rules_together(builder, export):
    """A second row in force of one id undoes them all; the rules stand as before, whatever came."""
    builder.settle(export)
    before, count = parts(builder), sum(states(builder).values())
    with builder.ledger.reading() as connection:
        in_force = connection.scalar(select(rows.c.legacy_id).where(rows.c.state == "tokenized"))
    with pytest.raises(VerificationFailed, match="refuse_second_row_in_force"):
        loaded(builder, export, legacy_id=in_force, state="tokenized")
    assert (parts(builder), sum(states(builder).values())) == (before, count)
    loaded(builder, export, legacy_id=in_force)

    assert (parts(builder), sum(states(builder).values())) == (before, count + 600)


def test_many_new_rows_make_what_is_kept_of_their_sections_go(builder, export):
    """It was worked out without them."""
    first = export.first_id // SECTION_ROWS
    kept = [{"number": first + n, "of": "rows", "rows": 0} for n in range(3)]
    with builder.ledger.transaction() as connection:
        connection.execute(insert(sections), kept)
    loaded(builder, export)
    with builder.ledger.reading() as connection:
        left = connection.execute(select(sections.c.number)).scalars().all()

    assert left == [first, first + 2]


def test_a_reader_that_outlives_its_connection_ends_without_a_word(builder):
    """A signal may leave one in the middle; Python ends it when the ledger is closed already."""
    builder.plan("cards.csv", 10)
    with builder.ledger.look() as look:
        reader = look._blocks(select(rows.c.id))
        assert next(reader)
    builder.ledger.close()

    reader.close()
