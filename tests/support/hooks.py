"""Changes to a forked command before it starts: what a test wants to be true of its machine."""

import asyncio
import itertools
import os
import signal
import sys
import threading
import time

from pipeline.cli import long_work
from pipeline.clock import SystemClock
from pipeline.errors import VaultUnavailable
from pipeline.ledger import open_ledger
from pipeline.ledger.planning import Planning
from pipeline.ledger.run_events import RunEvents
from pipeline.ledger.settling import Settling
from pipeline.migration import send
from pipeline.migration.run import Run
from pipeline.migration.send import LocalSending
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.omise.customers import CustomerClient
from pipeline.vault.omise.tokens import VaultClient

HASTE = 100


def hurry():
    """Let the pipeline's clock run a hundred times as fast: its waits cost a test nothing."""

    async def sleep(_self, seconds):
        await asyncio.sleep(seconds / HASTE)

    SystemClock.monotonic = lambda _self: time.monotonic() * HASTE
    SystemClock.sleep = sleep


def have_no_patience():
    """Let everything that may be told as taking long pass for it."""
    long_work.PATIENCE_S = 0.0


def on_a_terminal():
    """Let standard output pass for a terminal, as wide as COLUMNS says."""
    sys.stdout.isatty = lambda: True


def work_early():
    """Work out early what is published, of however few rows, and though no processor is idle."""
    send._MANY_ROWS = 1
    open_ledger._EARLY_CHILD = "tests.support.unhurried_child"


def start_no_thread():
    """Refuse every new thread, as a machine does whose limit of processes is reached."""

    def refuse(*_arguments, **_options):
        raise RuntimeError("can't start new thread")

    threading._start_new_thread = refuse


def ignore_hang_ups():
    """Ignore SIGHUP, as a command does that nohup started."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def decline_four():
    """Answer the first four requests with `backend_error`, which the sandbox cannot; and hurry."""
    hurry()
    asked = iter(range(4))
    really = VaultClient.create_token

    async def create_token(self, request, sent):
        if next(asked, None) is not None:
            return Outcome(OutcomeKind.DECLINED, "status 400", vault_code="backend_error")
        return await really(self, request, sent)

    VaultClient.create_token = create_token


def die():
    """Kill this process for real at the n-th commit or send, before or after it; and hurry.

    `CARDFERRY_TEST_DEATH` says where, as `commit-before:3`, or `chunk-`, `send-`, `ask-` and `-after`.
    With `-signal` for `-before` it is a SIGTERM instead, and the run drains.
    """
    hurry()
    place, _, number = os.environ["CARDFERRY_TEST_DEATH"].partition(":")
    step, _, moment = place.partition("-")
    owner, name = {
        "commit": (Settling, "apply"),
        "chunk": (Planning, "add"),
        "finish": (Planning, "finish"),
        "send": (VaultClient, "create_token"),
        "ask": (CustomerClient, "_request"),
    }[step]
    really, left = getattr(owner, name), itertools.count(1)

    def perhaps(this_moment, when):
        if this_moment == moment and when == int(number):
            os.kill(os.getpid(), signal.SIGTERM if moment == "signal" else signal.SIGKILL)

    def dying(self, *arguments, **options):
        when = next(left)
        perhaps("before", when)
        perhaps("signal", when)
        answer = really(self, *arguments, **options)
        perhaps("after", when)
        return answer

    async def dying_in_a_loop(self, *arguments, **options):
        when = next(left)
        perhaps("before", when)
        perhaps("signal", when)
        answer = await really(self, *arguments, **options)
        perhaps("after", when)
        return answer

    setattr(owner, name, dying_in_a_loop if step in {"send", "ask"} else dying)


def stop_before_sending():
    """Stop this process, for a tracer to come, when everything is planned and nothing is sent."""
    _stop_before(LocalSending, "send")


def stop_before_ending():
    """Stop this process, for a tracer to come, when all is sent and only the end is left."""
    _stop_before(Run, "_end")


def _stop_before(owner, name):
    really = getattr(owner, name)

    def stopped(*arguments, **options):
        os.kill(os.getpid(), signal.SIGSTOP)
        return really(*arguments, **options)

    setattr(owner, name, stopped)


def refuse_events_of_outcomes():
    """Let the database itself refuse events that tell of outcomes, from when the ledger is open."""
    really = RunEvents.enter
    refuse = (
        "CREATE TEMP TRIGGER IF NOT EXISTS full BEFORE INSERT ON main.events "
        "WHEN new.body LIKE '%outcomes_settled%' BEGIN SELECT RAISE(ABORT, 'full'); END"
    )

    def enter(self, connection, entry):
        connection.exec_driver_sql(refuse)
        return really(self, connection, entry)

    RunEvents.enter = enter


def no_sends():
    """Refuse before the first card is sent, as if the operator had said no."""

    def send(_self, _work):
        raise VaultUnavailable("nothing is sent in this test", next_step="Nothing.")

    LocalSending.send = send


def stumble_before():
    """Let the twentieth attempt end in a bug before the card is sent."""
    _stumble(before=True)


def stumble_after():
    """Let the twentieth attempt end in a bug after the answer came."""
    _stumble(before=False)


def _stumble(*, before):
    asked, really = itertools.count(1), VaultClient.create_token

    async def create_token(self, request, sent):
        stumbles = next(asked) == 20
        if stumbles and before:
            raise KeyError("a bug")
        outcome = await really(self, request, sent)
        if stumbles:
            raise KeyError("a bug")
        return outcome

    VaultClient.create_token = create_token
