"""Opening a ledger: new, old, newer, unfinished, read-only, and by a second look."""

import dataclasses
import logging
import sqlite3
from contextlib import closing
from datetime import date

import pytest

from pipeline.errors import LocalStorageFailed, SettingsRefused, VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.plan_records import PlannedCard, SealedFacts
from pipeline.ledger.planning import Planning
from tests.support.ledgers import StepClock, new_builder

FACTS = SealedFacts("cards.csv", 10, "ab" * 32, bytes(32), "plain")
CARD = PlannedCard(1, "id-1", "4242", "Visa", 12, 2031)


def opened(folder, **options):
    return Ledger(ledger_url(folder), StepClock(), **options)


def test_settings_may_change_when_only_a_broken_pass_1_was_left(tmp_path):
    """Nothing of an export that was not proved stays planned."""
    ledger = opened(tmp_path)
    ledger.begin_run("run-1", {}, "old digest")
    planning = Planning(ledger)
    planning.add(planning.begin(FACTS, date(2026, 11, 20)), [CARD], [])
    ledger.begin_run("run-2", {}, "new digest")
    ledger.close()


def test_settings_may_not_change_while_rows_are_planned(tmp_path):
    """Exit 7 and the old digest stays."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.plan("cards.csv", 3)
    with pytest.raises(SettingsRefused):
        builder.ledger.begin_run("run-2", {}, "new digest")
    builder.begin("run-3")
    builder.ledger.close()


def _at(builder, run_id, address, **facts):
    """Begin a run whose settings differ from others only in the vault's address."""
    told = {"settings_digest": address, "reading_digest": "read alike"} | facts
    builder.ledger.begin_run(run_id, told, address)


def test_an_address_that_nothing_was_sent_to_may_change_while_rows_are_planned(tmp_path):
    """Once and again, after others were settled elsewhere; the last one is kept."""
    builder = new_builder(tmp_path)
    _at(builder, "run-1", "there")
    builder.settle(builder.plan("cards.csv", 3))
    _at(builder, "run-2", "nowhere")
    builder.plan("more.csv", 3, first=4)
    _at(builder, "run-3", "nowhere")
    _at(builder, "run-4", "nowhere else")
    _at(builder, "run-5", "there")
    assert "there" == builder.ledger.recall("settings_digest")
    builder.ledger.close()


@pytest.mark.parametrize("facts", [{"reading_digest": "otherwise"}, {"reading_digest": None}])
def test_other_rules_or_unknown_ones_are_no_change_of_address(tmp_path, facts):
    """What a run says of its reading has to be what all runs before it said."""
    builder = new_builder(tmp_path)
    _at(builder, "run-1", "nowhere")
    builder.plan("cards.csv", 3)
    with pytest.raises(SettingsRefused):
        _at(builder, "run-2", "there", **facts)
    assert "nowhere" == builder.ledger.recall("settings_digest")
    builder.ledger.close()


def test_a_run_that_says_nothing_of_its_reading_keeps_its_address(tmp_path):
    """An earlier build's; nobody knows by which rules its rows were planned."""
    builder = new_builder(tmp_path)
    builder.ledger.begin_run("run-1", {}, "nowhere")
    builder.plan("cards.csv", 3)
    with pytest.raises(SettingsRefused):
        _at(builder, "run-2", "there")
    builder.ledger.close()


def test_an_address_stays_once_an_attempt_was_noted_whatever_came_of_it(tmp_path):
    """Also in an earlier run at it, and of a row that only waits again."""
    builder = new_builder(tmp_path)
    _at(builder, "run-1", "there")
    builder.refuse_once(builder.plan("cards.csv", 3))
    _at(builder, "run-2", "there")
    with pytest.raises(SettingsRefused):
        _at(builder, "run-3", "elsewhere")
    builder.ledger.close()


def test_an_address_stays_while_rows_wait_though_all_of_one_export_are_settled(tmp_path):
    """The other export's rows were never attempted; their migration's cards are at that address."""
    builder = new_builder(tmp_path)
    _at(builder, "run-1", "there")
    first = builder.plan("cards.csv", 3)
    builder.plan("more.csv", 3, first=4)
    builder.settle(first)
    _at(builder, "run-2", "there")
    with pytest.raises(SettingsRefused):
        _at(builder, "run-3", "elsewhere")
    builder.ledger.close()


def test_settings_may_change_when_everything_is_settled(tmp_path):
    """A top-up may bring other columns."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.settle(builder.plan("cards.csv", 3))
    builder.ledger.begin_run("run-2", {}, "new digest")
    builder.ledger.close()


def test_a_folder_keeps_the_mode_of_its_tokens(tmp_path):
    """A rehearsed folder is no live one, however settled it is: its cards would count as moved."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.settle(builder.plan("cards.csv", 3))
    with pytest.raises(SettingsRefused) as caught:
        builder.ledger.begin_run("run-2", {}, "new digest", livemode=True)
    builder.ledger.close()

    assert "vault.mode" in caught.value.problems[0]


def test_whoever_only_looks_cannot_write(tmp_path):
    """The database itself refuses."""
    new_builder(tmp_path).ledger.close()
    looking = opened(tmp_path, read_only=True)
    with pytest.raises(LocalStorageFailed):
        looking.remember("rate", "1")
    looking.close()


def test_after_a_failed_write_the_process_writes_nothing_more(tmp_path):
    """Nobody knows what the disk holds then; the next run looks for itself."""
    ledger = opened(tmp_path)
    ledger.begin_run("run-1", {}, "digest")
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    with pytest.raises(LocalStorageFailed):
        ledger.remember("long", "x" * 200_000)
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    with pytest.raises(LocalStorageFailed):
        ledger.remember("short", "x")
    ledger.close()

    again = opened(tmp_path)
    again.begin_run("run-2", {}, "digest")
    again.remember("short", "x")
    again.close()


def test_a_ledger_that_another_program_holds_is_told_apart_from_a_broken_disk(tmp_path):
    """A backup or a reader that never lets go stops the run, and the advice is to end it."""
    ledger = opened(tmp_path)
    ledger.begin_run("run-1", {}, "digest")
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LocalStorageFailed, match="another program holds the ledger"):
            ledger.remember("rate", "5")
    ledger.close()


def test_every_run_takes_the_next_epoch_and_the_chain_goes_on(tmp_path):
    """Three runs, one chain from the first event to the last."""
    for epoch in (1, 2, 3):
        ledger = opened(tmp_path)
        ledger.begin_run(f"run-{epoch}", {}, "digest")
        assert ledger.epoch == epoch
        ledger.end_run(0, {})
        ledger.close()
    ledger = opened(tmp_path, read_only=True)
    ledger.verify()
    with ledger.reading() as connection:
        seqs = connection.exec_driver_sql("SELECT seq FROM events ORDER BY seq").scalars().all()
    ledger.close()

    assert seqs == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["mapping.parquet", "manifest.json", "trail.jsonl"])
def test_a_new_ledger_is_not_begun_beside_outputs(tmp_path, name):
    """Their ledger was lost; sending everything again is not the cure."""
    (tmp_path / name).touch()

    with pytest.raises(VerificationFailed, match="its ledger is gone"):
        opened(tmp_path)


def test_a_clock_that_stands_before_the_last_runs_end_is_told(tmp_path, caplog):
    """In the log and in the trail, with how far; a clock that goes on is not."""
    clock = StepClock()
    for step, behind in ((0, None), (60, None), (-7_200, 7_200), (10, 7_190)):
        clock.step(step)
        ledger = Ledger(ledger_url(tmp_path), clock)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            ledger.begin_run(f"run-{step}", {}, "digest")
        ledger.end_run(0, {})
        ledger.close()
        told = [r.fields["seconds"] for r in caplog.records if "clock stands" in r.event]
        assert told == ([] if behind is None else [behind])
    ledger = opened(tmp_path, read_only=True)
    with ledger.look() as look:
        bodies = [body for body, _ in look.event_lines()]
    ledger.close()

    assert sum('"event":"clock_behind"' in body for body in bodies) == 2


def test_a_day_of_judging_that_goes_backwards_is_told(tmp_path, caplog):
    """Cards that had expired for the export before would be sent with this one."""
    ledger = opened(tmp_path)
    ledger.begin_run("run-1", {}, "digest")
    planning = Planning(ledger)
    with caplog.at_level(logging.WARNING):
        for letter, day in (("a", 20), ("b", 21), ("c", 21), ("d", 19)):
            planning.begin(dataclasses.replace(FACTS, sha256=letter * 64), date(2026, 11, day))
    with ledger.look() as look:
        told = [body for body, _ in look.event_lines() if '"event":"earlier_day"' in body]
    ledger.close()

    assert [record.fields["days"] for record in caplog.records] == [2]
    assert len(told) == 1
    assert '"before":"2026-11-21"' in told[0]
