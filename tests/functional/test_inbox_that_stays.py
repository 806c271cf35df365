"""An inbox that looks again and again for years needs no more than in its first minute."""

import signal

import psutil
import pytest

from tests.support.commands import rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.nursery import FORK_RUNS, NOTES
from tests.support.sandbox import running

ROUNDS, LOOKS = 12, 10
GROWTH_MAX = 2 << 20


@pytest.mark.slow
def test_an_inbox_that_stays_needs_no_more_memory_and_descriptors(tmp_path):
    """After as many exports again, and looks that find nothing, the process is no larger."""
    folder, out, success = tmp_path / "drop", tmp_path / "out", tmp_path / "out/.inbox-success"
    folder.mkdir()

    def moment():
        return success.stat().st_mtime_ns if success.exists() else 0

    def look():
        before = moment()
        wait_until(lambda: moment() > before)
        return process.num_fds()

    def round_of_looks(number):
        sealed(folder, rows_csv(2, first=10 * number, seed=number), f"{number:03}.csv.pgp")
        (folder / f"{number:03}.csv.pgp.done").touch()
        # A look that is under way has a file open; the fewest are those that stay.
        descriptors = min(look() for _ in range(LOOKS))
        return process.memory_info().rss, descriptors

    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        words = ["inbox", folder, "-c", config, "-o", out, "-q", "--every", "0.02s"]
        notes = {NOTES: str(tmp_path / "notes")}
        inbox = zygote().start(*words, hook=FORK_RUNS, environment=notes)
        process = psutil.Process(inbox.pid)
        seen = [round_of_looks(number) for number in range(1, ROUNDS + 1)]
        inbox.signal(signal.SIGTERM)
        ended = inbox.wait()

    assert 143 == ended.code, ended.said
    assert ROUNDS == len((tmp_path / "notes").read_text().splitlines())
    (half, descriptors), (last, descriptors_at_the_end) = seen[ROUNDS // 2], seen[-1]
    assert last - half < GROWTH_MAX, seen
    assert descriptors == descriptors_at_the_end, seen
