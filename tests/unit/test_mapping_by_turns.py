"""The mapping is the same to the byte, whoever makes its parts: this process, or a second one too."""

import os
import shutil
from contextlib import closing
from datetime import UTC, datetime
from itertools import count

import pytest

from pipeline.ledger import parts_of_rows, second_process, section_helper
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.listings import Listings
from pipeline.outputs import mapping_part
from pipeline.outputs.files import MAPPING_NAME
from pipeline.outputs.publisher import publish
from tests.support.folders import VERSION
from tests.support.ledgers import StepClock, settled_builder

ROWS, PART_ROWS = 5_500, 1_000
PARTS = 7
LATER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a migration that was not published yet."""
    folder = tmp_path_factory.mktemp("made") / "out"
    settled_builder(folder, ROWS).ledger.close()
    return folder


@pytest.fixture
def made_here(monkeypatch):
    """Count the parts that this process makes; they are small ones."""
    asked = []
    mapped_rows = Listings.mapped_rows

    def noted(self, ids=None):
        asked.append(ids)
        return mapped_rows(self, ids)

    monkeypatch.setattr(Listings, "mapped_rows", noted)
    monkeypatch.setattr(parts_of_rows, "PART_ROWS", PART_ROWS)
    return asked


def mapping(made, folder, begin=lambda _: None):
    """Give the mapping of a copy, made with a second process if something begins with one."""
    shutil.copytree(made, folder)
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        ledger.attend("test", "here:1", files=False)
        begin(ledger.second)
        publish(ledger, folder, VERSION)
    return (folder / MAPPING_NAME).read_bytes()


@pytest.fixture
def expected(made, tmp_path, made_here):
    """What one process alone makes."""
    found = mapping(made, tmp_path / "alone")
    assert len(made_here) == PARTS
    made_here.clear()
    return found


@pytest.fixture
def pays(monkeypatch):
    """A second process pays, however few sections there are and on however few processors."""
    monkeypatch.setattr(section_helper, "FEW", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.usefixtures("pays")
def test_two_processes_make_the_bytes_that_one_makes(expected, made, made_here, tmp_path):
    """Each makes every other part."""

    def begin(second):
        second.start(mapping_part.__name__)

    assert mapping(made, tmp_path / "together", begin) == expected
    assert len(made_here) == PARTS - PARTS // 2


@pytest.mark.usefixtures("pays")
@pytest.mark.parametrize("after", range(PARTS // 2))
def test_parts_that_a_killed_process_did_not_make_are_made_here(
    expected, made, made_here, tmp_path, monkeypatch, after
):
    """Whenever it dies, the mapping is whole."""
    given = count()
    tell = second_process.SecondProcess.tell

    def killing(self, message):
        is_part = isinstance(message, tuple) and mapping_part.mapping_part in message
        if is_part and next(given) == after:
            self._child.kill()
            self._child.wait()
        tell(self, message)

    monkeypatch.setattr(second_process.SecondProcess, "tell", killing)
    assert mapping(made, tmp_path / "together", lambda second: second.start()) == expected
    assert len(made_here) > PARTS - PARTS // 2
