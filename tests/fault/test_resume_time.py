"""How long a resumed migration takes to its first new send when most of it is settled."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from random import Random

import pytest

from pipeline.clock import SystemClock
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.settling import Settling
from pipeline.model import Token
from tests.support.cards import card_number
from tests.support.commands import sealed
from tests.support.crash import ROOT, wait_until
from tests.support.crowd import crowd
from tests.support.exports import keyring
from tests.support.ledgers import tokenized
from tests.support.migrations import HEADER, Migration
from tests.support.sandbox import read_journal, running

BATCH = 5_000
LIMIT_S = 30


def plain_export(rows):
    """Write an export of many rows over a thousand different numbers."""
    seeded = Random(1)
    numbers = [card_number(seed) for seed in [seeded] * 1_000]
    lines = [f"id-{n},Holder {n},{numbers[n % 1_000]},12,2031" for n in range(rows)]
    return "\n".join([HEADER, *lines, ""]).encode()


def settle_first(folder, count):
    """Settle the first rows of the planned export as if the vault had answered them all."""
    ledger = Ledger(ledger_url(folder), SystemClock())
    ledger.begin_run("built", {}, ledger.recall("settings_digest"))
    settling = Settling(ledger, BATCH)
    first = 10_000_000_001
    made = datetime(2026, 11, 23, tzinfo=UTC)
    for start in range(first, first + count, BATCH):
        claims = settling.claimable(start, min(start + BATCH, first + count) - 1)
        intents = [settling.intent(claim.id, 1) for claim in claims]
        settling.apply(intents)
        settling.apply(
            [
                tokenized(
                    intent,
                    Token(
                        token_id=f"tokn_test_{claim.id}",
                        card_id=f"card_test_{claim.id}",
                        brand="Visa",
                        last_digits=claim.last_digits,
                        expiration_month=12,
                        expiration_year=2031,
                        fingerprint=None,
                        livemode=False,
                        created_at=made,
                    ),
                )
                for claim, intent in zip(claims, intents, strict=True)
            ]
        )
    ledger.end_run(143, {})
    ledger.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_first_new_send_comes_soon_after_the_start(tmp_path):
    """With nine tenths settled: lock, checks, digest and the skipped rows take under 30 s."""
    with running(journal=tmp_path / "journal") as vault:
        rows, settled = 1_000_000, 900_000
        migration = Migration(tmp_path / "m", vault)
        key = f'key = {{ file = "{keyring().secret("cv25519")}" }}'
        text = migration.settings.read_text("utf-8").replace("allow_plaintext = true", key)
        migration.settings.write_text(text, "utf-8")
        migration.paths = [sealed(tmp_path, plain_export(rows))]
        assert migration.run(hook="tests.support.hooks:no_sends").code == 4
        settle_first(migration.out, settled)

        began = time.monotonic()
        words = [sys.executable, "-m", "pipeline", *map(str, migration.words())]
        process = subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        wait_until(lambda: read_journal(vault.journal) or process.poll() is not None)
        took = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)

        print(f"{took:.1f} s to the first new send, {settled:,} of {rows:,} settled")
        assert read_journal(vault.journal), said
        assert took < LIMIT_S * crowd()
