"""A migration of hundreds of exports: its ledger holds no ids that could be card numbers."""

from __future__ import annotations

from datetime import date

import pytest
from click.testing import CliRunner
from sqlalchemy import insert

from pipeline.cli.scan import scan
from pipeline.ledger import planning
from pipeline.ledger.export_numbers import next_export_id
from pipeline.ledger.plan_records import SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import ExportState
from pipeline.ledger.schema import exports
from pipeline.outputs.publisher import publish
from pipeline.outputs.verify import verify
from tests.support.folders import VERSION
from tests.support.ledgers import new_builder, settled_builder

DAY = date(2026, 11, 20)


@pytest.mark.usefixtures("each_store")
def test_the_export_after_number_399_gets_a_number_beyond_those_that_begin_as_cards_do(tmp_path):
    """In either store, and the one after it the number that follows."""
    builder = new_builder(tmp_path / "migration")
    builder.begin("run-1")
    with builder.ledger.transaction() as connection:
        connection.execute(
            insert(exports).values(
                id=399,
                name="a.csv",
                size=10,
                sha256="a" * 64,
                block_digests=bytes(32),
                kind="plain",
                as_of=DAY.isoformat(),
                state=ExportState.PLANNED,
                epoch=builder.ledger.epoch,
            )
        )
    facts = [SealedFacts(f"{letter}.csv", 10, letter * 64, bytes(32), "plain") for letter in "bc"]
    given = [Planning(builder.ledger).begin(one, DAY).id for one in facts]
    builder.ledger.close()

    assert given == [510, 511]


def test_scan_finds_nothing_in_a_migration_that_passes_over_numbers(tmp_path, monkeypatch):
    """Its exports are published, verified and scanned as if they were numbered without gaps."""
    monkeypatch.setattr(planning, "next_export_id", lambda newest: next_export_id(max(newest, 389)))
    folder = tmp_path / "migration"
    builder = settled_builder(folder, 60)
    builder.begin("run-3")
    added = [builder.plan(f"{n}.csv.pgp", 12, first=1_000 + 12 * n) for n in range(18)]
    builder.settle(added[-1])
    builder.end(0)
    publish(builder.ledger, folder, VERSION)
    with builder.ledger.look() as look:
        numbers = [export.id for export in look.exports()]
    builder.ledger.close()
    result = CliRunner().invoke(scan, [str(folder)])

    assert numbers == [*range(390, 400), *range(510, 521)]
    assert verify(folder, builder.clock, VERSION).differences == []
    assert (result.exit_code, result.stdout) == (0, "")
