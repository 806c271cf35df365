"""Deliberate bugs, each put into a forked command before it starts: the checks must see them.

Every function here breaks one rule of the ledger protocol (DESIGN.md, sections 3, 4 and 6) in
the running code; nothing of this exists in the pipeline itself.
"""

import asyncio
import sys
from contextlib import contextmanager

from sqlalchemy import event

from pipeline.exports.sealed_file import BlockDigest
from pipeline.ledger import planning, recovery, settling
from pipeline.ledger.group_commit import GroupCommit
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.schema import rows
from pipeline.ledger.sqlite import batch, connection, store
from pipeline.migration import run, run_ledger, send
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.omise.tokens import VaultClient
from tests.support import hooks


def intent_not_awaited():
    """The card is sent while its intent is still on its way to the disk."""

    async def intend(self, row_id, number):
        intent = self._settling.intent(row_id, number)
        self._queue.append(((intent,), None))
        self._wake()
        return intent

    GroupCommit.intend = intend


def commit_after_send():
    """The intent is written only when the answer is there."""

    async def intend(self, row_id, number):
        return self._settling.intent(row_id, number)

    settle = GroupCommit.settle

    def settle_both(self, settlement):
        number = settlement.attempt_id
        intent = settling.Intent(number, settlement.row_id, 1)
        self._queue.append(((intent,), None))
        self._wake()
        asyncio.get_running_loop().call_later(0.05, settle, self, settlement)

    GroupCommit.intend = intend
    GroupCommit.settle = settle_both
    _count_open_intents_no_more()


def slot_freed_early():
    """A slot goes on while its outcome waits outside the queue."""
    settle = GroupCommit.settle

    def later(self, settlement):
        asyncio.get_running_loop().call_later(0.2, settle, self, settlement)

    GroupCommit.settle = later
    _count_open_intents_no_more()


def timeout_taken_as_not_sent():
    """A lost answer is planned again as if nothing had left."""
    create_token = VaultClient.create_token

    async def optimistic(self, request, sent):
        outcome = await create_token(self, request, sent)
        if outcome.kind is OutcomeKind.AMBIGUOUS:
            return Outcome(OutcomeKind.NOT_SENT, "surely not")
        return outcome

    VaultClient.create_token = optimistic


def sync_dropped():
    """Commits are not synced."""
    open_engine = connection.open_engine

    def unsynced(path, **options):
        engine = open_engine(path, **options)
        event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA synchronous = OFF"))
        return engine

    connection.open_engine = unsynced


def sync_tried_again():
    """After a failed sync the run writes on as if the next one could make up for it."""
    writing = Ledger.writing

    @contextmanager
    def forgetful(self):
        self._failure = None
        with writing(self) as driver:
            yield driver

    Ledger.writing = forgetful


def outcome_not_recorded():
    """Some answers are thrown away after they came."""
    settle = GroupCommit.settle

    def careless(self, settlement):
        if settlement.attempt_id % 5:
            settle(self, settlement)

    GroupCommit.settle = careless
    _count_open_intents_no_more()


def duplicates_not_found():
    """Rows with one legacy id in one export are all planned."""
    planning.settle_duplicates = lambda *_: None


def known_cards_not_found():
    """A legacy id met again is sent again."""
    planning.resolve_known = settling.resolve_known = lambda *_, **__: 0


def rivals_not_awaited():
    """A later export's row does not wait for the earlier one of the same id."""
    settling.Settling.has_rivals = lambda *_: False


def digest_not_compared():
    """Pass 2 takes whatever bytes the file holds by then; and it was changed."""
    change_the_export_between_the_passes()
    add = BlockDigest.add

    def credulous(self, block):
        expected, self._expected = self._expected, None
        add(self, block)
        self._expected = expected

    BlockDigest.add = credulous


def change_the_export_between_the_passes():
    """No bug of ours: somebody writes other names into the export after it was proved."""
    really = send.LocalSending.send

    def meddled(self, work):
        path = next(word for word in sys.argv if word.endswith(".csv"))
        with open(path, "r+b") as file:  # noqa: PTH123 - the same inode, as an editor would not.
            whole = file.read()
            file.seek(0)
            file.write(whole.replace(b" row ", b" raw "))
        really(self, work)

    send.LocalSending.send = meddled


def recovery_not_run():
    """Open intents of a dead run are left as they are."""
    run.settle_open_intents = lambda *_: recovery.Recovered(0, 0)


def unknowns_not_counted():
    """Open intents of a dead run become ambiguous, but U does not grow."""
    settle = recovery.settle_open_intents

    def forgetful(opened, retries):
        found = settle(opened, retries)
        with opened.transaction() as connection:
            connection.execute(rows.update().values(unknowns=0))
        return found

    run.settle_open_intents = forgetful


def fence_not_checked():
    """A run that was overtaken writes on."""
    store.require_epoch = lambda *_: None
    condition, _ = batch.TRIGGERS["fence"]
    batch.TRIGGERS["fence"] = (condition, "SELECT 1;")
    stop_unlocked_before_sending()


def stop_unlocked_before_sending():
    """No bug of ours: a file system that keeps no locks, and a run that sleeps with its plan made."""
    lock_not_taken()
    hooks.stop_before_sending()


def lock_not_taken():
    """Two runs enter one folder."""

    @contextmanager
    def unlocked(*_, **__):
        yield

    run_ledger.migration_lock = unlocked


def _count_open_intents_no_more():
    """Take the assertion out that would stop most of these bugs before any test sees them."""
    settling.Settling.__init__ = _with_many_slots(settling.Settling.__init__)
    apply = settling.Settling.apply

    def lenient(self, batch):
        self._open = 1_000
        return apply(self, batch)

    settling.Settling.apply = lenient


def _with_many_slots(initialise):
    def initialise_with_many(self, ledger, _in_flight_max, *rest):
        initialise(self, ledger, 1_000_000, *rest)

    return initialise_with_many
