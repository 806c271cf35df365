"""The second reading of an export begins where its first wanted row stands, and proves what it finds."""

import logging
from contextlib import closing
from dataclasses import replace
from datetime import date
from unittest.mock import patch

import pytest

from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.errors import VerificationFailed
from pipeline.exports import record_cursor, text_lines
from pipeline.exports.reading_points import ReadingPoints
from pipeline.exports.sealed_export import SealedExport
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_thread import thread_of
from pipeline.ledger.ledger_url import TEMPORARY, ledger_url
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import ROW_SPAN, row_id
from pipeline.ledger.settling import Settling
from pipeline.metrics import Listeners
from pipeline.migration import export_factory, vault_factory
from pipeline.migration.claiming import Claimed, Claiming, RowsWanted
from pipeline.migration.plan import PlannedExport, prove_and_plan
from pipeline.migration.waiting_cards import waiting_cards
from tests.support.commands import rows_csv, settings
from tests.support.folders import past_the_rules

ROWS = 2_400
VALID = (777, 2_301, 2_399)
"""The rows whose cards have not expired; no others are planned."""
CHUNK = 200
AS_OF = date(2026, 11, 27)


def expired_but(valid):
    header, *lines = rows_csv(ROWS).decode().splitlines()
    for place, line in enumerate(lines, 1):
        if place not in valid:
            lines[place - 1] = line.replace(",2031,", ",2021,")
    return "\n".join([header, *lines, ""]).encode()


class Reading:
    """An export that was planned, and what reads it once more."""

    def __init__(self, folder, plain, ledger):
        self.ledger = ledger
        config = settings(folder, "http://127.0.0.1:9")
        self.settings, credentials = load_settings(
            config, {}, ["export.allow_plaintext=true", f"flow.chunk_rows={CHUNK}"]
        )
        keys = export_factory.envelope_keys(self.settings, credentials)
        limits = export_factory.envelope_limits(self.settings)
        self.reading = export_factory.reading(self.settings)
        line = vault_factory.transport(self.settings)
        self.vault = vault_factory.client(self.settings, credentials, line, SystemClock())
        export = folder / "cards.csv"
        export.write_bytes(plain)
        self.sealed = SealedExport(export, keys, limits)
        with Listeners().reading("x") as counter:
            file, known = prove_and_plan(
                self.sealed, Planning(ledger), self.reading, AS_OF, counter
            )
        self.planned = PlannedExport(self.sealed, file, known)

    @property
    def wanted(self):
        settling = Settling(self.ledger, 8)
        return Claiming(self.ledger, settling, self.thread, lambda: False, None).wanted

    def cards(self, points="", wanted=None):
        """Give what is to be sent, by row, and how many rows were parsed for that."""
        known = self.planned.known
        if points != "":
            known = replace(known, reading_points=points)
        with (
            thread_of(self.ledger) as self.thread,
            patch.object(
                record_cursor, "joined", side_effect=record_cursor.joined, autospec=True
            ) as joined,
        ):
            given = waiting_cards(
                self.sealed,
                self.planned.file,
                known,
                self.reading,
                self.vault,
                wanted or self.wanted,
            )
            found = {
                card.claim.id % ROW_SPAN: bytes(card.request) for cards in given for card in cards
            }
        parsed = sum(block.count for call in joined.call_args_list for block in call.args[0])
        return found, parsed

    def shifted(self, rows, size):
        """Give places that are so many rows and bytes off."""
        points = ReadingPoints.of_text(self.planned.known.reading_points)
        moved = [
            point._replace(row=point.row + rows, at=point.at + size) for point in points.points
        ]
        return replace(points, points=tuple(moved)).as_text()


@pytest.fixture(scope="module", autouse=True)
def small_steps():
    """Batches of eight kilobytes and places two hundred rows apart, so that few rows have many."""
    with (
        patch.object(text_lines, "_BATCH_BYTES", 8_192),
        patch.object(record_cursor, "ROWS_BETWEEN", CHUNK),
    ):
        yield


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    with closing(Ledger(TEMPORARY, SystemClock())) as ledger:
        ledger.begin_run("run-1", {}, "")
        reading = Reading(tmp_path_factory.mktemp("reading"), expired_but(VALID), ledger)
        with closing(reading.sealed):
            yield reading


def test_settled_rows_are_left_unread_and_the_cards_are_the_same(reading):
    """Of three cards among thousands of rows nothing differs but what was parsed for them."""
    with_places, few = reading.cards()
    without, all_rows = reading.cards(points=None)

    assert tuple(with_places) == VALID
    assert with_places == without
    assert all_rows > VALID[-1]
    # The first records, and of each card its chunk and what stands before that from a place on.
    assert few < all_rows / 2


@pytest.mark.parametrize(("rows", "size"), [(1, 0), (-1, 0), (0, -7), (0, 10_000_000)])
def test_places_that_do_not_fit_are_told_and_left_unused(reading, caplog, rows, size):
    """A row more, a byte less, behind the end: the export is read whole, and no card is another's."""
    with caplog.at_level(logging.WARNING):
        found, _ = reading.cards(reading.shifted(rows, size))

    assert found == reading.cards(points=None)[0]
    assert "reading begins anew" in caplog.text


def test_a_place_inside_a_row_takes_no_other_row_for_it(reading):
    """The rest of that row is no row that anybody wants, and those behind it are what they were."""
    assert reading.cards(reading.shifted(0, 7))[0] == reading.cards(points=None)[0]


def test_places_of_another_reader_are_left_unused_without_a_word(reading, caplog):
    """They were noted under other settings or by another version."""
    points = ReadingPoints.of_text(reading.planned.known.reading_points)
    with caplog.at_level(logging.WARNING):
        found, parsed = reading.cards(replace(points, reader="x").as_text())

    assert tuple(found) == VALID
    assert parsed > VALID[-1]
    assert "reading begins anew" not in caplog.text


def test_whoever_owns_certain_chunks_reads_little_else(reading):
    """As a carrier does: of each chunk that is not its own next to nothing is parsed."""
    export_id = reading.planned.known.id
    first = row_id(export_id, 2_001)
    asked = []

    def claim(first_id, last_id):
        asked.append((first_id % ROW_SPAN, last_id % ROW_SPAN))
        return Claimed([], {})

    def ids(first_id, last_id):
        with reading.ledger.look() as look:
            return look.planned_ids(first_id, last_id)

    wanted = RowsWanted(lambda at, _: first if at <= first else None, claim, ids)
    _, parsed = reading.cards(wanted=wanted)

    assert asked == [(2_001, 2_200)]
    assert parsed < 4 * CHUNK


def test_places_in_the_ledger_are_what_the_trail_tells(tmp_path):
    """Nobody changes them in the file without the next opening telling."""
    place = ledger_url(tmp_path)
    with closing(Ledger(place, SystemClock())) as ledger:
        ledger.begin_run("run-1", {}, "")
        reading = Reading(tmp_path, expired_but(VALID), ledger)
        reading.sealed.close()
        ledger.end_run(0, {})
        assert Planning(ledger).find(reading.planned.file.sha256).reading_points
    moved = reading.shifted(1, 0)
    past_the_rules(tmp_path, f"UPDATE exports SET reading_points = '{moved}'")  # noqa: S608

    with pytest.raises(VerificationFailed, match="not those that the trail tells of"):
        Ledger(place, SystemClock()).begin_run("run-2", {}, "")
