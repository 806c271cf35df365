"""Measures what the ledger costs a row, and what a night costs that brings nothing new.

`python -m tests.bench.ledger [ROWS]`: microseconds of processor time a row for planning, claiming,
settling (32 slots, one commit a batch) and putting its card on a customer of its own, bytes a row,
and seconds for opening a settled ledger. Processor time, so that a neighbour on the machine does not
count.
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.records import (
    AttachSettlement,
    AttachState,
    CustomerFound,
    CustomerState,
)
from pipeline.ledger.settling import Settling
from pipeline.model import OutcomeKind
from tests.support.ledgers import StepClock, batched, new_builder

SLOTS = 32


def measured(work):
    """Give the seconds of processor time that something takes, and what it gives."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def settle(builder, settling, claims):
    """Settle claims as slots do: each batch holds the last outcomes and the next intents."""
    spent, outcomes = 0.0, []
    for block in batched(claims, SLOTS):
        intents = [settling.intent(claim.id, 1) for claim in block]
        spent += measured(lambda batch=[*outcomes, *intents]: settling.apply(batch))[0]
        outcomes = [
            builder._settlement(claim, intent, 0, 0, 0)
            for claim, intent in zip(block, intents, strict=True)
        ]
    return spent + measured(lambda: settling.apply(outcomes))[0]


def attach(builder, settling, first_id, last_id):
    """Put every card on a customer of its own, as slots do: last outcomes beside next intents."""
    with builder.ledger.look() as look:
        claims = look.attachable(first_id, last_id)
    spent, outcomes = 0.0, []
    for block in batched(claims, SLOTS):
        intents = [
            settling.attach_intent(claim.row_id, claim.customer, 1, makes_customer=True)
            for claim in block
        ]
        spent += measured(lambda batch=[*outcomes, *intents]: settling.apply(batch))[0]
        outcomes = [attached(intent) for intent in intents]
    return spent + measured(lambda: settling.apply(outcomes))[0]


def attached(intent):
    number = intent.customer
    return AttachSettlement(
        attempt_id=intent.attempt_id,
        row_id=intent.row_id,
        customer=number,
        kind=OutcomeKind.OK,
        evidence="as asked for",
        state=AttachState.ATTACHED,
        code=None,
        unknowns=0,
        vault_code=None,
        request_id=f"req-{number}",
        latency_us=18_000,
        card_id=f"card_test_{number:019d}",
        is_default=True,
        found=CustomerFound(
            number,
            CustomerState.MADE,
            f"cust_test_{number:019d}",
            livemode=False,
            created_s=1_800_000_000,
        ),
    )


def questions(folder):
    """Give what each part of opening a settled ledger takes, in seconds."""
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        yield "verify", measured(ledger.verify)[0]
        with ledger.look() as look:
            for name in ("contradiction", "table_digests", "by_state", "by_code", "by_export"):
                yield name, measured(getattr(look, name))[0]
            yield "mapped_rows", measured(lambda: sum(map(len, look.mapped_rows())))[0]


def main(rows):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builder = new_builder(folder)
        builder.begin("run-1")
        planning, export = measured(lambda: builder.plan("cards.csv", rows, owned=True))
        settling = Settling(builder.ledger, 4 * SLOTS)
        claiming, claims = measured(lambda: settling.claimable(export.first_id, export.last_id))
        settled = settle(builder, settling, claims)
        on_customers = attach(builder, settling, export.first_id, export.last_id)
        builder.end(0)
        builder.ledger.close()
        parts = {"plan": planning, "claim": claiming, "settle": settled, "attach": on_customers}
        for word, seconds in parts.items():
            print(f"{word:>14} {seconds / rows * 1e6:8.2f} us a row")
        if (folder / LEDGER_NAME).exists():
            print(f"{'size':>14} {(folder / LEDGER_NAME).stat().st_size / rows:8.1f} bytes a row")
        for word, seconds in questions(folder):
            print(f"{word:>14} {seconds:8.3f} s for {rows:,} rows")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)
