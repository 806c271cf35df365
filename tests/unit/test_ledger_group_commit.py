"""One writer, few commits, in order: what waits, what fails and what is never written."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from pipeline.errors import LocalStorageFailed
from pipeline.ledger.group_commit import GroupCommit
from pipeline.ledger.records import Intent
from pipeline.ledger.settling import Applied
from tests.support.loops import RUNNERS, name_of


@dataclass
class Recorder:
    """Stands where `Settling` stands; a batch may take its time or fail."""

    batches: list = field(default_factory=list)
    fail_at: int | None = None
    frozen: list = field(default_factory=list)
    said: list = field(default_factory=list)

    def intent(self, row_id, number):
        return Intent(row_id, row_id, number)

    def apply(self, batch):
        if self.fail_at == len(self.batches):
            raise LocalStorageFailed("the disk is full", next_step="Free some.")
        self.batches.append(list(batch))
        return Applied(self.frozen)


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    def run_with_commit(scenario, recorder, in_flight_max=8):
        async def main():
            with ThreadPoolExecutor(1) as thread:
                said = recorder.said.append
                commit = GroupCommit(recorder, thread, said, said, in_flight_max)
                return await scenario(commit)

        return request.param(main())

    return run_with_commit


def test_intents_queued_together_share_a_commit(run):
    """Eight slots, at most two commits: the first one's, and everybody else's."""
    recorder = Recorder()

    async def scenario(commit):
        await asyncio.gather(*(commit.intend(row, 1) for row in range(8)))

    run(scenario, recorder)

    assert [row for batch in recorder.batches for row in batch] == [
        Intent(row, row, 1) for row in range(8)
    ]
    assert len(recorder.batches) <= 2


@pytest.mark.parametrize(
    ("in_flight_max", "most"), [(1, 64), (64, 64), (100, 100), (512, 512), (4000, 512)]
)
def test_a_batch_holds_no_more_entries_than_slots(run, in_flight_max, most):
    """So half of the slots can send; but never a tiny share, and never more than a statement."""
    recorder = Recorder()

    async def scenario(commit):
        for number in range(1300):
            commit.settle(number)
        await commit.drain()

    run(scenario, recorder, in_flight_max)

    assert [item for batch in recorder.batches for item in batch] == list(range(1300))
    assert {len(batch) for batch in recorder.batches[:-1]} == {most}
    assert len(recorder.batches[-1]) <= most


def test_a_settlement_is_durable_before_an_intent_queued_after_it(run):
    """So a slot that may send again has its last outcome on the disk."""
    recorder = Recorder()

    async def scenario(commit):
        commit.settle("outcome of row 1")
        await commit.intend(2, 1)
        return [item for batch in recorder.batches for item in batch]

    assert run(scenario, recorder) == ["outcome of row 1", Intent(2, 2, 1)]


def test_an_intent_is_not_given_before_its_commit_ended(run):
    """Whoever waits sees the batch that holds the intent."""
    recorder = Recorder()

    async def scenario(commit):
        waiting = asyncio.ensure_future(commit.intend(1, 1))
        while not recorder.batches:
            assert not waiting.done()
            await asyncio.sleep(0)
        return await waiting

    assert run(scenario, recorder) == Intent(1, 1, 1)


def test_after_a_failed_commit_nothing_is_written_any_more(run):
    """Every waiter learns of it, now and later, and no batch is tried again."""
    recorder = Recorder(fail_at=1)

    async def scenario(commit):
        await commit.intend(1, 1)
        told = await asyncio.gather(
            *(commit.intend(row, 1) for row in range(2, 6)), return_exceptions=True
        )
        commit.settle("late")
        with pytest.raises(LocalStorageFailed):
            await commit.intend(9, 1)
        with pytest.raises(LocalStorageFailed):
            await commit.drain()
        return told

    told = run(scenario, recorder)

    assert all(isinstance(one, LocalStorageFailed) for one in told)
    assert recorder.batches == [[Intent(1, 1, 1)]]


def test_no_slot_may_send_once_a_later_batch_has_failed(run):
    """Not even one whose own intent is durable, if it learns of both at once."""
    recorder = Recorder(fail_at=1)

    async def slot(commit, row):
        commit.settle(f"outcome of row {row}")
        await commit.intend(row, 2)

    async def scenario(commit):
        slots = [asyncio.ensure_future(slot(commit, row)) for row in range(64)]
        # One turn for the slots to queue, one to set the thread to work; then the loop is busy
        # until the second batch has failed.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        commit._executor.submit(lambda: None).result(10)
        return await asyncio.gather(*slots, return_exceptions=True)

    told = run(scenario, recorder, 64)

    assert 64 == len(recorder.batches[0])
    assert all(isinstance(one, LocalStorageFailed) for one in told)


def test_a_failure_is_told_even_if_nobody_waits(run):
    """Outcomes have no waiter, yet nothing may be sent after one of them could not be written."""
    recorder = Recorder(fail_at=0)

    async def scenario(commit):
        commit.settle("outcome of row 1")
        with pytest.raises(LocalStorageFailed):
            await commit.drain()

    run(scenario, recorder)

    assert [LocalStorageFailed] == [type(failure) for failure in recorder.said]


def test_frozen_rows_are_told_before_anybody_goes_on(run):
    """A doubled token id stops the run, and no slot sends before it knows."""
    recorder = Recorder(frozen=[7, 8])

    async def scenario(commit):
        await commit.intend(1, 1)
        return list(recorder.said)

    assert run(scenario, recorder) == [[7, 8]]


def test_drain_waits_for_everything_that_was_queued(run):
    """Nothing is left in memory when a run ends."""
    recorder = Recorder()

    async def scenario(commit):
        for number in range(100):
            commit.settle(number)
        await commit.drain()

    run(scenario, recorder)

    assert [item for batch in recorder.batches for item in batch] == list(range(100))


def test_whoever_wants_to_read_gets_a_turn_after_a_few_batches(run):
    """The ledger's thread takes batch after batch by itself, but lets others in before long."""
    recorder, asked = Recorder(), threading.Event()

    async def scenario(commit):
        apply = recorder.apply

        def apply_and_queue_more(batch):
            asked.wait(10)
            if len(recorder.batches) < 49:
                commit._queue.append((("more",), None))
            return apply(batch)

        recorder.apply = apply_and_queue_more
        commit.settle("first")
        await asyncio.sleep(0.01)
        read = commit._executor.submit(lambda: len(recorder.batches))
        asked.set()
        await commit.drain()
        return read.result()

    assert run(scenario, recorder) == 4
    assert len(recorder.batches) == 50


def test_a_thread_that_takes_no_more_work_is_told_to_whoever_waits(run):
    """What cannot be written is refused aloud, and nobody waits for it for ever."""
    recorder = Recorder()

    async def scenario(commit):
        apply = recorder.apply

        def apply_and_close(batch):
            commit._queue.append(((len(recorder.batches),), None))
            commit._executor.shutdown(wait=False)
            return apply(batch)

        recorder.apply = apply_and_close
        # Its own commit goes well; whether it learns of the failure is a matter of moments.
        await asyncio.gather(commit.intend(1, 1), return_exceptions=True)
        with pytest.raises(RuntimeError):
            await commit.drain()
        with pytest.raises(RuntimeError):
            await commit.intend(2, 1)

    run(scenario, recorder)

    assert recorder.batches == [[Intent(1, 1, 1)], [0], [1], [2]]


def test_a_thread_that_was_closed_at_rest_is_told_as_well(run):
    """Whoever comes too late learns it, and does not wait."""
    recorder = Recorder()

    async def scenario(commit):
        commit._executor.shutdown()
        with pytest.raises(RuntimeError):
            await commit.intend(1, 1)
        with pytest.raises(RuntimeError):
            await commit.drain()

    run(scenario, recorder)

    assert recorder.batches == []
