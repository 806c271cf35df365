"""Room for all that is to be sent and published, asked of the disk before the first send."""

import os
from types import SimpleNamespace

import pytest

from pipeline.errors import LocalStorageFailed
from pipeline.ledger.reserve import LEDGER_BYTES_A_ROW, OUTPUT_BYTES_A_ROW, RESERVE_NAME, Reserve

ROWS, OLD_OUTPUTS = 10_000, 3_000_000


def asked(folder, monkeypatch, free, *, holds_ledger=True):
    """Ask for the room of all rows on a disk that has so many bytes free."""
    disk = SimpleNamespace(f_bavail=free, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    reserve = Reserve(folder, holds_ledger=holds_ledger)
    reserve.ask_for_room(ROWS, 1)
    return reserve


@pytest.mark.parametrize("holds_ledger", [True, False])
def test_outputs_are_counted_twice_beside_the_ledger_and_the_old_ones_once(
    tmp_path, monkeypatch, holds_ledger
):
    """New outputs stand beside those of the last publication until all of them are whole."""
    (tmp_path / "mapping.parquet").write_bytes(bytes(OLD_OUTPUTS))
    (tmp_path / "ledger.sqlite").write_bytes(bytes(OLD_OUTPUTS))
    needed = ROWS * 2 * OUTPUT_BYTES_A_ROW + OLD_OUTPUTS
    if holds_ledger:
        needed += ROWS * LEDGER_BYTES_A_ROW
    with pytest.raises(LocalStorageFailed, match="nothing was sent"):
        asked(tmp_path, monkeypatch, needed - 1, holds_ledger=holds_ledger)
    for_answers = 1_000_000 if holds_ledger else 0
    reserve = asked(tmp_path, monkeypatch, needed + for_answers, holds_ledger=holds_ledger)

    assert reserve.is_held == holds_ledger == (tmp_path / RESERVE_NAME).exists()
