"""What every store of a ledger does, whatever database it is: the same tests for all of them."""

import threading

import pytest
from sqlalchemy import func, insert, select, text, update

from pipeline.errors import CardferryError, LocalStorageFailed, VerificationFailed
from pipeline.ledger.batches import ROWS_AT_ONCE, Batch, TokenDoubled
from pipeline.ledger.digests import DIGESTED, table_digests
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.schema import attempts, exports, meta, outcomes, rows, tokens
from pipeline.ledger.sections import versions
from pipeline.ledger.settling import Settling
from pipeline.ledger.sqlite.store import STORE as SQLITE
from pipeline.ledger.store import FETCHED_AT_ONCE, Store, store_at, store_of
from pipeline.model import OutcomeKind
from tests.support.ledgers import URL_NAME, StepClock, new_builder, place_of, tokenized

ODD = [
    *("", " ", "a", "A", "Ä", "é", "ไทย", "10", "9", "it's", '"quoted"', "100%", "%s", ":name"),
    *("back\\slash", "\\N", "NULL", "{1,2}", "tab\there", "line\nend", "\U0001f98a", "\ufffd"),
    # As long as a legacy id may be, in signs of four bytes.
    "\U0001f98a" * 255,
]

pytestmark = pytest.mark.usefixtures("each_store")


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir(mode=0o700)
    return place_of(folder)


@pytest.fixture
def store(place):
    return store_at(place)


@pytest.fixture
def engine(store, place):
    """The one connection to a new ledger that nobody has written to."""
    engine = store.open_engine(place, read_only=False, apart=False)
    with engine.begin() as connection:
        store.create_tables(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path / "built")
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


def filled(store, engine, values, table=meta, names=("key", "value")):
    with engine.begin() as connection:
        store.fill(connection, table, names, values)


def kept(engine, table=meta):
    with engine.connect() as connection:
        return sorted(map(tuple, connection.execute(select(table))))


def begun(builder, count, rows_planned=10):
    """Plan an export and begin to send some of its rows; give what settles and answers them."""
    export = builder.plan("cards.csv", rows_planned)
    settling = Settling(builder.ledger, max(count, 8))
    claims = settling.claimable(export.first_id, export.last_id)[:count]
    intents = [settling.intent(claim.id, 1) for claim in claims]
    settling.apply(intents)
    answers = [tokenized(i, builder._token(c)) for i, c in zip(intents, claims, strict=True)]
    return settling, intents, answers


def counts(builder, *tables):
    with builder.ledger.reading() as connection:
        return [connection.scalar(select(func.count()).select_from(table)) for table in tables]


# Opening.


def test_a_store_does_all_that_is_asked_of_one(store, engine):
    """It has every method by its name, and is found behind its engine and its connections."""
    wanted = {name for name in vars(Store) if not name.startswith("_")} | set(Store.__annotations__)
    assert [] == sorted(name for name in wanted if not hasattr(store, name))
    with engine.connect() as connection:
        assert store_of(engine) is store_of(connection) is store


def test_a_new_ledger_begins_empty_and_has_our_tables_and_rules_alone_then(store, place, engine):
    """Of every store the parts are told in the same words, too."""
    other = store.open_engine(place, read_only=True, apart=False)
    with engine.connect() as connection:
        assert not store.begins_empty(connection)
        assert store.parts_of(connection) == store.own_parts(connection)
        assert store.portable_parts(connection) == SQLITE.own_parts(connection)
        assert store.is_sound(connection, thorough=True)
    with other.connect() as connection:
        assert store.parts_of(connection) == store.own_parts(connection)
    other.dispose()


def test_rules_that_are_made_anew_are_the_same(store, engine):
    """As after an upgrade of an older ledger."""
    with engine.begin() as connection:
        store.create_rules(connection)
    with engine.connect() as connection:
        assert store.parts_of(connection) == store.own_parts(connection)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE rows ADD COLUMN more text",
        "CREATE TABLE more (id bigint)",
        "DROP INDEX rows_by_legacy_id",
        "INSERT INTO row_steps VALUES ('tokenized', 'sent')",
        "CREATE VIEW more AS SELECT 1 AS one",
    ],
)
def test_a_part_more_or_less_is_seen(store, engine, change):
    """Whatever somebody changed by hand."""
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
        assert store.parts_of(connection) != store.own_parts(connection)
        assert store.portable_parts(connection) != SQLITE.own_parts(connection)


def test_all_of_a_process_goes_through_one_connection(store, engine):
    """A second one would wait for the first, or see another state."""
    with engine.connect() as one, engine.connect() as other:
        assert store.driver_of(one) is store.driver_of(other)


def test_whoever_only_looks_changes_nothing(store, place, engine):
    """The database itself refuses."""
    filled(store, engine, [["a"], ["1"]])
    looking = store.open_engine(place, read_only=True, apart=False)
    with pytest.raises(CardferryError), store.trouble(), looking.begin() as connection:
        connection.execute(insert(meta).values(key="b", value="2"))
    looking.dispose()

    assert kept(engine) == [("a", "1")]


@pytest.mark.parametrize("value", ["one for all", None])
def test_each_of_many_rows_comes_back_with_its_own_values(store, engine, value):
    """More than one statement takes, a few over, and a text that all have or that each has."""
    keys = [f"key {n:04d}" for n in range(603)]
    values = [value or f"value {n}" for n in range(603)]
    filled(store, engine, [keys, values])

    assert kept(engine) == list(zip(keys, values, strict=True))


# Transactions.


def test_what_fails_halfway_leaves_nothing(store, engine):
    """A transaction is durable as a whole or not at all."""

    def fails():
        with engine.begin() as connection:
            store.fill(connection, meta, ("key", "value"), [["a"], ["1"]])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert kept(engine) == []


def test_what_is_committed_is_there_for_everybody(store, place, engine):
    """Another process sees it from then on."""
    filled(store, engine, [["a"], ["1"]])
    other = store.open_engine(place, read_only=True, apart=False)

    assert kept(other) == [("a", "1")]
    other.dispose()


def test_a_run_that_was_overtaken_is_fenced_off(builder):
    """Before anything of its transaction is kept."""
    with builder.ledger.writing(), builder.ledger.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO runs (epoch, run_id, started_ms, facts) VALUES (2, 'run-2', 0, '{}')")
        )
    with pytest.raises(VerificationFailed, match="a later run has taken this ledger over"):
        builder.ledger.remember("rate", "1")
    with builder.ledger.reading() as connection:
        assert connection.scalar(select(meta.c.value).where(meta.c.key == "rate")) is None


# The plan.


def test_odd_texts_come_back_as_they_went_in_and_are_ordered_by_their_bytes(store, engine):
    """None is changed, cut, or taken for nothing; no language of a server has a say."""
    filled(store, engine, [ODD, list(reversed(ODD))])
    with engine.connect() as connection:
        ordered = connection.execute(select(meta.c.key).order_by(meta.c.key)).scalars().all()

    assert kept(engine) == sorted(zip(ODD, reversed(ODD), strict=True))
    assert ordered == sorted(ODD, key=lambda word: word.encode())


def test_numbers_bytes_and_nothing_at_all_come_back_as_they_went_in(store, engine):
    """Eight bytes of a number, any byte, and no value."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO runs (epoch, run_id, started_ms, facts) VALUES (1, 'r', 0, '{}')")
        )
        names = (
            *("id", "name", "size", "sha256", "block_digests", "kind", "engine", "as_of"),
            *("state", "epoch"),
        )
        one = (2**40, "a", 2**62, "s", bytes(range(256)), "k", None, "2026-11-20", "proving", 1)
        store.fill(connection, exports, names, [[value] for value in one])
    with engine.connect() as connection:
        found = connection.execute(select(*(exports.c[name] for name in names))).one()

    assert tuple(found) == one


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 1_201])
def test_any_number_of_rows_is_put_in(store, engine, count):
    """None, one, and around the number that one statement takes."""
    keys = [f"{n:05}" for n in range(count)]
    filled(store, engine, [keys, keys] if count else [])

    assert kept(engine) == [(key, key) for key in keys]


@pytest.mark.parametrize("count", [49, 50, 101])
def test_what_all_rows_have_in_common_stands_in_each_of_them(store, engine, count):
    """And a text that only the first and the last of them share is theirs alone."""
    states, brands = ["planned"] * count, ["Visa", *["JCB"] * (count - 2), "Visa"]
    columns = [list(range(1, count + 1)), states, ["?1'"] * count, brands]
    filled(store, engine, columns, rows, ("id", "state", "legacy_id", "brand"))
    with engine.connect() as connection:
        asked = select(rows.c.id, rows.c.state, rows.c.legacy_id, rows.c.brand)
        found = connection.execute(asked.order_by(rows.c.id)).all()

    assert [tuple(row) for row in found] == list(zip(*columns, strict=True))


def test_what_a_rule_refuses_is_refused_in_our_words_without_a_value(store, engine):
    """A key given twice, a state that there is none of, a digit too many; nothing of it stays."""
    for columns, table, names in (
        ([["hidden-1", "hidden-1"], ["1", "2"]], meta, ("key", "value")),
        ([["hidden-1"] * 60, ["1"] * 60], meta, ("key", "value")),
        ([[1], ["hidden-2"]], rows, ("id", "state")),
        ([[1], ["planned"], ["hidden-3"]], rows, ("id", "state", "last_digits")),
        ([["hidden-4"], [None]], meta, ("key", "value")),
    ):
        with pytest.raises(VerificationFailed) as refused, store.trouble():
            filled(store, engine, columns, table, names)
        assert "hidden" not in f"{refused.value} {refused.value.next_step}"
        assert refused.value.__cause__ is None

    assert kept(engine) == kept(engine, rows) == []


# Looks and streams.


def test_all_looks_of_one_reading_see_one_state(tmp_path, builder):
    """Whatever a run commits meanwhile; whoever looks apart does not make it wait."""
    looking = Ledger(ledger_url(tmp_path / "built"), StepClock(), read_only=True, apart=True)
    with looking.reading() as connection:
        asked = select(func.count()).select_from(meta)
        before = connection.scalar(asked)
        builder.ledger.remember("rate", "1")
        assert connection.scalar(asked) == before
    looking.close()
    with builder.ledger.reading() as connection:
        assert connection.scalar(asked) == before + 1


def test_a_long_answer_comes_in_order_and_a_block_at_a_time(store, engine):
    """Also one that nobody reads to its end; the connection is good for the next question."""
    count = 2 * FETCHED_AT_ONCE + 1
    keys = [f"{n:05}" for n in range(count)]
    filled(store, engine, [keys, keys])
    statement = select(meta.c.key).where(meta.c.value != "it's 100%").order_by(meta.c.key)
    with engine.connect() as connection, store.trouble():
        store.steady(connection)
        store.read_sparingly(connection)
        blocks = list(store.selected(connection, statement))
        first = next(iter(store.selected(connection, statement)))
        again = [row for block in store.selected(connection, statement) for row in block]

    assert max(map(len, blocks)) <= FETCHED_AT_ONCE
    assert [key for block in blocks for (key,) in block] == keys
    assert len(first) <= FETCHED_AT_ONCE
    assert len(again) == count


def test_what_is_packed_of_many_rows_comes_few_at_a_time(store, engine):
    """A thousand rows' worth of bytes stands in each row, so that a block of five thousand is much."""
    count = 200
    names = [column.name for column in versions.columns]
    columns = [["rows"] * count, range(count), [1] * count, [2] * count, ["a"] * count]
    filled(store, engine, [*columns, [b"packed"] * count], versions, names)
    with engine.connect() as connection, store.trouble():
        store.steady(connection)
        whole = list(store.selected(connection, select(versions)))
        short = list(store.selected(connection, select(versions.c.number)))
    assert max(map(len, whole)) <= 64
    assert sum(map(len, whole)) == sum(map(len, short)) == count
    assert len(short) == 1


def test_a_statement_that_cannot_be_run_is_told_in_our_words(store, engine):
    """Neither the statement nor the driver's text goes on."""
    for fails in (
        lambda connection: connection.exec_driver_sql("SELECT hidden FROM meta"),
        lambda connection: list(store.selected(connection, select(text("hidden FROM meta")))),
    ):
        with (
            pytest.raises(CardferryError) as refused,
            store.trouble(),
            engine.connect() as connection,
        ):
            fails(connection)
        assert "hidden" not in f"{refused.value} {refused.value.next_step}"


def test_an_error_of_ours_stays_what_it_is(store):
    """Whoever translates twice loses nothing."""
    ours = LocalStorageFailed("a", next_step="b")

    assert store.in_our_words(ours) is ours


# Batches.


def test_a_batch_writes_intents_outcomes_and_tokens_and_moves_the_rows(builder):
    """As many as one statement takes, in a transaction of their own."""
    _, intents, answers = begun(builder, ROWS_AT_ONCE, ROWS_AT_ONCE)
    batches = builder.ledger.batches()
    left_out = batches.commit(Batch(7, answers))
    with builder.ledger.reading() as connection:
        kinds = connection.execute(select(outcomes.c.kind, outcomes.c.at_ms).distinct()).all()

    assert tuple(left_out) == ()
    assert counts(builder, attempts, outcomes, tokens) == [len(intents)] * 3
    assert [tuple(kind) for kind in kinds] == [(OutcomeKind.OK, 7)]
    builder.ledger.verify()


@pytest.mark.parametrize("where", ["commit", "write"])
def test_a_batch_that_does_not_fit_the_rows_leaves_nothing(builder, where):
    """A row that is not under way, answered twice, or begun twice; nothing of the rest is kept."""
    _, intents, answers = begun(builder, 3)
    batches = builder.ledger.batches()

    def write(settled, wanted):
        with builder.ledger.transaction():
            batches.write(Batch(1, settled, intents=wanted))

    def commit(settled, wanted):
        batches.commit(Batch(1, settled, intents=wanted))

    do = commit if where == "commit" else write
    elsewhere = answers[1]._replace(row_id=answers[1].row_id + 5)
    with pytest.raises(VerificationFailed, match="was not where this run had left it"):
        do([answers[0], elsewhere], [])
    with pytest.raises(VerificationFailed, match="was not where this run had left it"):
        do([answers[0]], [intents[1]._replace(attempt_id=99, number=2)])

    assert counts(builder, attempts, outcomes, tokens) == [3, 0, 0]


@pytest.mark.parametrize("known", ["in the same batch", "from before", "as a retired one"])
def test_a_token_id_that_comes_twice_is_refused_as_such(builder, known):
    """Nothing of the batch is kept; the rows are for somebody to look into."""
    _, _, answers = begun(builder, 3)
    batches = builder.ledger.batches()
    doubled = answers[1]._replace(
        token=answers[1].token._replace(token_id=answers[0].token.token_id)
    )
    if known == "from before":
        batches.commit(Batch(1, [answers[0]]))
    if known == "as a retired one":
        with builder.ledger.transaction() as connection:
            connection.execute(
                text(
                    "INSERT INTO retired_tokens (token_id, row_id, card_id, brand, livemode, "
                    "created_s, epoch, reason, retired_ms, retired_epoch) "
                    "VALUES (:token, :row, 'card', 'Visa', 0, 1, 1, 'gone', 1, 1)"
                ),
                {"token": doubled.token.token_id, "row": answers[0].row_id},
            )
    before = counts(builder, outcomes, tokens)
    settled = [answers[0], doubled] if known == "in the same batch" else [answers[2], doubled]
    with pytest.raises(TokenDoubled):
        batches.commit(Batch(1, settled))

    assert counts(builder, outcomes, tokens) == before


def test_a_batch_that_would_be_no_transaction_of_its_own_is_a_bug(builder):
    """Within another one, or longer than a statement may be."""
    _, intents, _ = begun(builder, 1)
    batches = builder.ledger.batches()
    with pytest.raises(AssertionError), builder.ledger.transaction():
        batches.commit(Batch(1))
    with pytest.raises(AssertionError):
        batches.commit(Batch(1, intents=intents * (ROWS_AT_ONCE + 1)))


def digests_of(builder):
    """Give the digests of a ledger with a text and a row of every kind."""
    _, _, answers = begun(builder, 3)
    builder.ledger.batches().commit(Batch(5, answers))
    with builder.ledger.transaction() as connection:
        connection.execute(update(rows).where(rows.c.legacy_id.is_not(None)).values(hint=ODD[8]))
    with builder.ledger.reading() as connection:
        return table_digests(connection, kept=False)


def test_the_same_rows_digest_to_the_same_in_every_store(builder, tmp_path, monkeypatch):
    """What is digested are bytes that we define, not those of a database."""
    monkeypatch.delenv(URL_NAME, raising=False)
    other = new_builder(tmp_path / "in-sqlite")
    other.begin("run-1")
    wanted = digests_of(other)
    other.ledger.close()

    assert {table.name for table in DIGESTED} <= set(wanted)
    assert digests_of(builder) == wanted


# Locks.


def test_one_writer_at_a_time(place, engine, store):
    """Two that write to one ledger would count two rows as one; who waits for the other gets in."""
    done = []

    def write(word):
        other = store.open_engine(place, read_only=False, apart=False)
        with other.begin() as connection:
            connection.execute(insert(meta).values(key=word, value=word))
        other.dispose()
        done.append(word)

    with engine.begin() as connection:
        connection.execute(insert(meta).values(key="a", value="a"))
        waiting = threading.Thread(target=write, args=("a2",))
        waiting.start()
    waiting.join()

    assert done == ["a2"]
    assert [key for key, _ in kept(engine)] == ["a", "a2"]


def test_after_a_refused_write_nothing_more_is_written_where_nobody_knows_what_is_there(builder):
    """Whatever store it is: what failed stays failed for this process."""
    with pytest.raises(LocalStorageFailed), builder.ledger.writing():
        raise LocalStorageFailed("the disk failed", next_step="Look at it.")
    with pytest.raises(LocalStorageFailed, match="the disk failed"):
        builder.ledger.remember("rate", "1")
