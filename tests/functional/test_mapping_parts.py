"""A top-up makes only the parts of the mapping that changed; the file is the one a fresh one would be."""

import io
import random
from contextlib import closing
from functools import partial

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from pipeline.ledger import parts_of_rows
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.schema import customers
from pipeline.ledger.snapshot import Snapshot
from pipeline.outputs.files import (
    FAILURES_CSV_NAME,
    FAILURES_NAME,
    MAPPING_NAME,
    Outputs,
)
from pipeline.outputs.publisher import publish
from tests.support.attach_runs import attaching, cards
from tests.support.folders import VERSION, found_in
from tests.support.ledgers import StepClock, new_builder
from tests.support.sampled import sampled


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Let each section be a part of its own: an export of twenty rows is one."""
    monkeypatch.setattr(parts_of_rows, "PART_ROWS", 1)


@pytest.fixture
def asked(monkeypatch):
    """Note which parts of the mapping are asked of the ledger, by export."""
    questions = []
    real = Snapshot.mapped_rows

    def mapped_rows(look, ids=None):
        questions.append(None if ids is None else ids[0] // 10**10)
        return real(look, ids)

    monkeypatch.setattr(Snapshot, "mapped_rows", mapped_rows)
    return questions


def night(builder, folder, number, *plans, meanwhile=lambda: None):
    """Carry exports of (rows, first legacy id, changed every so many-th) and publish."""
    builder.begin(f"run-{number}")
    meanwhile()
    for place, (rows, first, changed) in enumerate(plans):
        name = f"{number}-{place}.csv"
        export = builder.plan(name, rows, first=first, changed_every=changed, reject_every=7)
        builder.settle(export, reject_every=11)
    builder.end(0)
    builder.clock.step(86_400)
    return publish(builder.ledger, folder, VERSION)


def made_afresh(ledger, name=MAPPING_NAME):
    """Give a file as it is made of the ledger alone."""
    target = io.BytesIO()
    with ledger.look() as look:
        Outputs(look, VERSION).writers[name](target)
    return target.getvalue()


@pytest.fixture
def three(tmp_path):
    """A migration of three exports, each of which is a part."""
    folder = tmp_path / "migration"
    builder = new_builder(folder)
    for number in range(3):
        night(builder, folder, number, (20, 1 + 20 * number, 0))
    yield builder, folder
    builder.ledger.close()


def test_a_top_up_asks_the_ledger_for_its_own_rows_alone(three, asked):
    """Three parts are copied, the fourth is made, and the file is what a fresh one would be."""
    builder, folder = three
    before = (folder / MAPPING_NAME).read_bytes()
    night(builder, folder, 4, (20, 1_001, 0))
    after = (folder / MAPPING_NAME).read_bytes()
    kept = pq.read_metadata(folder / MAPPING_NAME).row_group(3).column(0).dictionary_page_offset

    assert [4] == asked
    assert before[:kept] == after[:kept]
    assert after == made_afresh(builder.ledger)
    assert found_in(folder) == []


def test_a_replaced_card_changes_the_part_it_stood_in_and_moves_the_later_ones(three, asked):
    """The part in the middle is asked for again, and those behind it are copied to another place."""
    builder, folder = three
    night(builder, folder, 4, (3, 25, 1))

    assert [2, 4] == asked
    assert (folder / MAPPING_NAME).read_bytes() == made_afresh(builder.ledger)
    assert found_in(folder) == []


def test_a_part_without_rows_takes_no_room_and_may_get_some_later(three, asked):
    """An export that brought no token leaves no row group; the order of rows stays that of exports."""
    builder, folder = three
    builder.begin("run-4")
    waiting = builder.plan("waiting.csv", 5, first=2_001)
    builder.end(4)
    publish(builder.ledger, folder, VERSION)
    night(builder, folder, 5, (5, 3_001, 0))
    groups = pq.read_metadata(folder / MAPPING_NAME).num_row_groups
    builder.begin("run-6")
    builder.settle(waiting)
    builder.end(0)
    publish(builder.ledger, folder, VERSION)

    assert (4, [4, 5, 4]) == (groups, asked)
    assert 5 == pq.read_metadata(folder / MAPPING_NAME).num_row_groups
    assert (folder / MAPPING_NAME).read_bytes() == made_afresh(builder.ledger)
    assert found_in(folder) == []


def test_a_failure_that_a_later_export_resolves_leaves_the_part_it_stood_in(three, monkeypatch):
    """That part and the new one are asked for; the lines of the other two are copied, in both files."""
    builder, folder = three
    asked = set()
    real = Snapshot.failed_rows

    def failed_rows(look, ids=None):
        asked.add(None if ids is None else ids[0] // 10**10)
        return real(look, ids)

    with builder.ledger.look() as look:
        before = look.resolved()
    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "failed_rows", failed_rows)
        # What shows examples asks for the first rows of each code.
        patched.setattr("pipeline.outputs.failure_figures._add_examples", lambda *_: None)
        patched.setattr("pipeline.outputs.failure_figures.EXAMPLES_A_CODE", 0)
        # The vault rejected row 12 of the first export, and takes this one.
        night(builder, folder, 4, (2, 11, 0))
    with builder.ledger.look() as look:
        after = look.resolved()
    csv = (folder / FAILURES_CSV_NAME).read_bytes()

    assert (0, 1) == (sum(before.values()), sum(after.values()))
    assert asked == {1, 4}
    assert csv == made_afresh(builder.ledger, FAILURES_CSV_NAME)
    assert (folder / FAILURES_NAME).read_bytes() == made_afresh(builder.ledger, FAILURES_NAME)
    assert pq.read_metadata(folder / FAILURES_NAME).num_row_groups == 3
    publish(builder.ledger, folder, VERSION, anew=True)
    assert found_in(folder) == []


def test_a_sheet_with_a_line_end_in_a_value_is_made_whole(tmp_path):
    """Nobody knows by its lines which row is whose; the file is the one that a fresh one would be."""
    folder = tmp_path / "migration"
    builder = new_builder(folder, names=[f"two\nlines {n}" for n in range(20)])
    night(builder, folder, 0, (20, 1, 0))
    night(builder, folder, 1, (20, 101, 0))

    assert b"two\nlines" in (folder / FAILURES_CSV_NAME).read_bytes()
    assert (folder / FAILURES_CSV_NAME).read_bytes() == made_afresh(
        builder.ledger, FAILURES_CSV_NAME
    )
    builder.ledger.close()


def test_a_top_up_without_new_failures_leaves_their_sheet_alone(three):
    """Its rows are those of the Parquet file, which was made again and has the same; one more is seen."""
    builder, folder = three
    before = (folder / FAILURES_CSV_NAME).stat()
    builder.begin("run-4")
    builder.settle(builder.plan("good.csv", 5, first=2_001))
    builder.end(0)
    publish(builder.ledger, folder, VERSION)
    after = (folder / FAILURES_CSV_NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    night(builder, folder, 5, (7, 3_001, 0))

    assert before.st_size < (folder / FAILURES_CSV_NAME).stat().st_size
    assert (folder / FAILURES_CSV_NAME).read_bytes() == made_afresh(
        builder.ledger, FAILURES_CSV_NAME
    )
    assert found_in(folder) == []


@pytest.mark.parametrize("seed", sampled(range(9), 9, 1))
def test_any_row_of_nights_leaves_the_file_that_one_night_would(tmp_path, seed):
    """Top-ups, replaced cards, failures that are mended, nights of nothing: never another byte."""
    chance = random.Random(seed)
    folder = tmp_path / "migration"
    builder = new_builder(folder)
    known = 1
    for number in range(7):
        plans = []
        for _ in range(chance.randrange(3)):
            rows = chance.randrange(1, 40)
            first = chance.choice([known, chance.randrange(1, known + 1)])
            plans.append((rows, first, chance.choice([0, 1, 3])))
            known = max(known, first + rows)
        night(builder, folder, number, *plans)
        if (folder / MAPPING_NAME).exists():
            for name in (MAPPING_NAME, FAILURES_NAME, FAILURES_CSV_NAME):
                assert (folder / name).read_bytes() == made_afresh(builder.ledger, name)
    builder.ledger.close()

    assert found_in(folder) == []


@pytest.mark.parametrize("place", [4, -9])
def test_a_file_that_is_not_the_published_one_is_not_read(three, asked, place):
    """With a changed byte in it every part is asked of the ledger."""
    builder, folder = three
    content = bytearray((folder / MAPPING_NAME).read_bytes())
    content[place] ^= 1
    change = partial((folder / MAPPING_NAME).write_bytes, content)
    night(builder, folder, 4, (20, 1_001, 0), meanwhile=change)

    assert [1, 2, 3, 4] == asked
    assert (folder / MAPPING_NAME).read_bytes() == made_afresh(builder.ledger)


def test_publishing_by_hand_takes_nothing_over(three, asked):
    """`publish` shows that the ledger alone gives these bytes, and leaves the file as it is."""
    builder, folder = three
    before = (folder / MAPPING_NAME).stat()
    publish(builder.ledger, folder, VERSION, anew=True)
    after = (folder / MAPPING_NAME).stat()

    assert [1, 2, 3] == asked
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_part_that_was_taken_over_wrongly_does_not_verify(three, monkeypatch):
    """`verify` compares every row with the ledger, however its part came into the file."""
    builder, folder = three
    real = parts_of_rows.parts_of_rows

    def unseeing(*given):
        return [part._replace(sha256=str(part.first_id)) for part in real(*given)]

    monkeypatch.setattr("pipeline.ledger.snapshot.parts_of_rows", unseeing)
    publish(builder.ledger, folder, VERSION, anew=True)
    night(builder, folder, 4, (3, 25, 1))

    # Rows 5 and 6 were replaced, row 7 was rejected.
    assert ["source row 8, column legacy_id"] == [d.place for d in found_in(folder)][:1]


def test_cards_on_customers_are_taken_over_unless_what_became_of_a_customer_changed(
    tmp_path, asked
):
    """The mapping names customers: whatever is written to one makes the parts of its cards anew."""
    with attaching(tmp_path) as migration:
        migration.export(cards("a", "b", "a"))
        migration.run()
        migration.run(exports=[migration.export(cards("c", "a", first=4))])
        asked.clear()
        with closing(Ledger(ledger_url(migration.out), StepClock())) as ledger:
            ledger.attend("somchai", "here:1")
            with ledger.transaction() as connection:
                changed = update(customers).where(customers.c.legacy_customer_id == "b")
                assert connection.execute(changed.values(state="refused")).rowcount
            publish(ledger, migration.out, VERSION)
            written = (migration.out / MAPPING_NAME).read_bytes()
            assert [1, 2] == asked
            assert written == made_afresh(ledger)
        origins = {row["legacy_id"]: row["customer_origin"] for row in migration.mapping()}

    assert ("made", "refused") == (origins["id-1"], origins["id-2"])
