"""A month of hours, in real processes: exports come half-written, runs are killed, the vault is down.

An oracle that knows only what was dropped and what was done to each hour says how every hour and
every day must end, and what its log must tell. Commands are forked from a process that has loaded
the program, so that an hour takes a second.

`CARDFERRY_REHEARSAL_DAYS` sets the month's length. With `CARDFERRY_REHEARSAL_FOLDER` the month is
kept in that folder, and every call adds so many days to it: a month can be lived in parts.
`CARDFERRY_REHEARSAL_SEED` makes another month: months of different seeds, each in a folder of its
own, can be lived side by side.
"""

import json
import os
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median

import psutil
import pyarrow.parquet as pq
import pytest

from tests.support.cards import card_number
from tests.support.commands import HEADER, cardferry, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.night_oracle import (
    DOWN,
    KILLED,
    TERMINATED,
    UNDISTURBED,
    Export,
    Oracle,
    holder,
    told_by,
)
from tests.support.nursery import FORK_RUNS, NOTES
from tests.support.sandbox import read_journal, spawned

DAYS = int(os.environ.get("CARDFERRY_REHEARSAL_DAYS", "30"))
KEPT = os.environ.get("CARDFERRY_REHEARSAL_FOLDER")
SEED = int(os.environ.get("CARDFERRY_REHEARSAL_SEED", "14"))
HOURS = 24
GOOD_ROWS = 6
WEIGHTS = {KILLED: 5, TERMINATED: 3, DOWN: 5, UNDISTURBED: 87}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Month:
    """The inbox, the vault, and the hours that pass over them."""

    def __init__(self, root):
        self.root = root
        self.inbox, self.out = root / "inbox", root / "out"
        self.inbox.mkdir(exist_ok=True)
        self.journal, self.kept = root / "journal", root / "month.json"
        before = json.loads(self.kept.read_text()) if self.kept.exists() else {}
        self.oracle = Oracle.of(before)
        self.events = Counter(before.get("events", {}))
        self.days, self.serial = before.get("days", 0), before.get("serial", 0)
        # The vault's address is part of what a result means: it stays.
        self.port = before.get("port") or free_port()
        self.random = Random(f"{SEED} {self.days}")
        self.half_written = None
        self.vault = None
        self._up = ExitStack()

    def __enter__(self):
        self.journal.touch()
        self.up()
        return self

    def __exit__(self, *_):
        self._up.close()

    def up(self):
        """Start the vault, at the address where it always is."""
        options = {"journal": self.journal, "port": self.port}
        self.vault = self._up.enter_context(spawned("--latency-ms", "40", **options))

    def down(self):
        """End the vault: its address refuses connections."""
        self.vault.stop(signal.SIGKILL)
        self._up.close()

    def keep(self):
        """Write down what the next part has to know; every file that came is finished by now."""
        known = {"days": self.days, "serial": self.serial, "port": self.port}
        self.kept.write_text(json.dumps(known | self.oracle.kept() | {"events": self.events}))

    def drop(self):
        """Drop an export: finished, or half of it to be finished an hour later."""
        self.serial += 1
        ids = {f"id-{self.serial}-{place}" for place in range(GOOD_ROWS)}
        bad = {f"bad-{self.serial}"} if self.random.random() < 0.3 else set()
        mended = set(self.random.sample(sorted(self.oracle.open), 1)) if self.oracle.open else set()
        mended = mended if self.random.random() < 0.5 else set()
        numbers = {each: card_number(self.random) for each in sorted(ids | mended)}
        lines = [HEADER, *(self._line(*each) for each in numbers.items())]
        lines += [self._line(each, "4242") for each in sorted(bad)]
        path = sealed(self.root, "\n".join(lines).encode() + b"\n", f"{self.serial:05}.csv.pgp")
        # Two exports in a row may mend one id, each with another card: the later one stays.
        cards = {each: number[-4:] for each, number in numbers.items()}
        export = Export(self.inbox / path.name, path.read_bytes(), cards, bad)
        self.oracle.drop(export)
        path.unlink()
        if self.random.random() < 0.2 and self.half_written is None:
            # Whoever writes it is still at it: no hour may take it.
            export.path.write_bytes(export.sealed[: len(export.sealed) // 2])
            self.half_written = export
        else:
            self._finish(export)

    def _line(self, legacy_id, number):
        return f"{legacy_id},{holder(legacy_id)},{number},12,2031,Bangkok,cus"

    def _finish(self, export):
        export.path.write_bytes(export.sealed)
        # Each a little later than the one before, and all of them long ago.
        then = time.time() - 100_000 + self.serial
        os.utime(export.path, (then, then))
        export.path.with_name(f"{export.path.name}.done").touch()
        self.oracle.queue.append(export)
        self.oracle.queue.sort(key=lambda each: each.path.name)

    def _finish_half(self):
        """Let whoever was still writing an export finish it."""
        half, self.half_written = self.half_written, None
        if half is not None:
            self._finish(half)

    def day(self, config):
        """Let a day pass, and ask at its end how things are."""
        for _ in range(HOURS):
            self.hour(config)
        if (self.out / "ledger.sqlite").exists():
            cardferry("status", self.out, "--check", code=self.oracle.day())
        self.days += 1

    def end(self, config):
        """Carry what still lies in the inbox."""
        self._finish_half()
        expected = self.oracle.hour(UNDISTURBED)
        cardferry("inbox", self.inbox, "-c", config, "-o", self.out, code=expected.code)

    def hour(self, config):
        """Let an hour pass: something may come, something may happen, and the inbox is looked at."""
        self._finish_half()
        if self.random.random() < 0.35:
            self.drop()
        event = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        idle = not self.oracle.queue
        if event == TERMINATED and idle:
            # A look at an empty inbox ends too soon to be asked to stop in the middle.
            event = UNDISTURBED
        elif event == KILLED and not idle and self.oracle.queue[0].killed:
            # A row that two killed runs had under way is held; which that was nobody saw.
            event = TERMINATED
        self.events[f"{event}, nothing to carry" if idle else event] += 1
        log = self.root / "log"
        log.unlink(missing_ok=True)
        words = ["inbox", self.inbox, "-c", config, "-o", self.out, "-q", "--log-file", log]
        expected = self.oracle.hour(event)
        ended = self._run(event, words, idle=idle)
        if idle and ended.killed:
            return
        assert expected.code == ended.code, (event, ended.said)
        story = log.read_text()
        assert (expected.code, expected.endings) == told_by(story), story
        assert [text for text in expected.told if text not in story] == [], story
        # A decryptor whose run was killed finds that out when it next reads or writes.
        wait_until(lambda: self.started_here() == [])

    def started_here(self):
        """Give the processes that commands have left."""
        return psutil.Process(zygote().pid).children(recursive=True)

    def _run(self, event, words, *, idle):
        notes = {NOTES: str(self.root / "notes")}
        if event == DOWN:
            self.down()
        before = len(read_journal(self.journal))
        inbox = zygote().start(*words, hook=FORK_RUNS, environment=notes)
        if event == KILLED and idle:
            inbox.signal(signal.SIGKILL)
        elif event in {KILLED, TERMINATED}:
            wait_until(lambda: len(read_journal(self.journal)) > before)
            # Nothing goes on at the vault while the blow falls.
            self.vault.process.send_signal(signal.SIGSTOP)
            try:
                if event == KILLED:
                    [nursery] = psutil.Process(inbox.pid).children()
                    [run] = nursery.children()
                    run.kill()
                else:
                    inbox.signal(signal.SIGTERM)
            finally:
                self.vault.process.send_signal(signal.SIGCONT)
        ended = inbox.wait()
        if event == DOWN:
            self.up()
        return ended

    def notes(self):
        """Give what is known of the runs that nobody killed, in their order."""
        lines = (self.root / "notes").read_text().splitlines()
        return [note for note in map(json.loads, lines) if note["code"] in {0, 3}]


def flat(month, name, more):
    """Require that the last runs need no more than so much above the first ones."""
    amounts = [note[name] for note in month.notes()]
    some = max(1, len(amounts) // 4)
    first, last = median(amounts[:some]), median(amounts[-some:])
    assert last <= first * (1 + more), (name, first, last)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_hour_of_a_month_ends_as_it_must(tmp_path):
    """Exit codes are the oracle's, every row of every file is settled once, nothing is left over."""
    root = Path(KEPT) if KEPT else tmp_path
    root.mkdir(exist_ok=True)
    with Month(root) as month:
        config = settings(root, month.vault.base_url, "in_flight_max = 1")
        if not month.days:
            cardferry("inbox", month.inbox, "-c", config, "-o", month.out, code=0)
        for _ in range(DAYS):
            month.day(config)
        month.end(config)

    table = pq.read_table(month.out / "mapping.parquet", columns=["legacy_id", "token_id"])
    mapped = list(zip(*table.to_pydict().values(), strict=True))
    unseen = json.loads((month.out / "report.json").read_text())["unseen_tokens_max"]
    assert unseen <= month.events[KILLED] + month.events[TERMINATED]
    assert [] == list(month.oracle.troubles(mapped, read_journal(month.journal), unseen))
    failures = pq.read_table(month.out / "failures.parquet").column("legacy_id").to_pylist()
    assert sorted(failures) == sorted(month.oracle.open)
    flat(month, "descriptors", 0)
    flat(month, "memory_kb", 0.1)
    cardferry("verify", month.out)
    month.keep()
