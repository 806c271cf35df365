"""Clocks that jump: waits use the monotonic clock, and the ledger takes whatever time it is told."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from pipeline.config.loading import load_settings
from pipeline.migration.run import Run
from pipeline.migration.run_request import RunRequest, Tools
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import sampled
from tests.support.sandbox import running

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
JUMPS = {
    "an hour ahead": timedelta(hours=1),
    "ten years ahead": timedelta(days=3652),
    "back to 1970": datetime(1970, 1, 1, tzinfo=UTC) - NOON,
}


class JumpingClock:
    """A wall clock that jumps between two times at every look; its monotonic side is true."""

    def __init__(self, jump):
        self._jump = jump
        self._looks = 0
        self.slept = []

    def now(self):
        self._looks += 1
        return NOON + self._jump * (self._looks % 2)

    def monotonic(self):
        return time.monotonic()

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)
        self.slept.append(seconds)


@pytest.mark.parametrize("jump", sampled(JUMPS.values(), 3, 2), ids=JUMPS)
def test_a_wall_clock_that_jumps_delays_and_loses_nothing(tmp_path, jump):
    """Waits are unaffected, every row ends, and the trail's chain holds."""
    with running(journal=tmp_path / "journal", faults="..9..") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.configure(vault=("read_timeout_s = 5",))
        migration.add(new_rows(30))
        overrides = ["rules.as_of='2026-11-23'"]
        settings, credentials = load_settings(migration.settings, os.environ, overrides)
        clock, began = JumpingClock(jump), time.monotonic()
        ending = Run(
            RunRequest(migration.paths, migration.out),
            settings,
            credentials,
            Tools(clock, Random(1)),
        ).perform()
        took = time.monotonic() - began

        assert ending.exit_code == 0
        assert {"tokenized": 30} == dict(migration.check().states)
        # One 429 asks for a second; no jump may make it longer or shorter.
        assert took >= 1
        assert max(clock.slept) < 60
