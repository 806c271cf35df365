"""Settled ledgers for tests: row counts in, a ledger out that went through the real protocol.

Every row is planned and settled by the pipeline's own code, in big commits, so that a hundred
rows take no time and a million are possible. The same arguments give the same ledger.
"""

import hashlib
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from pipeline.config.addresses import SecretSource
from pipeline.failure_codes import FAILURE_CODES, Stage
from pipeline.hashing import hash_total, shown
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url, ledger_url_of_run
from pipeline.ledger.plan_records import PlannedCard, ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import Settlement
from pipeline.ledger.settling import Settling
from pipeline.model import OutcomeKind, Rejection, RowState, Token

URL_NAME = "CARDFERRY_LEDGER_URL"
BATCH_ROWS = 5_000
DIGITS = ("4242", "4444", "1111", "0005", "0000")
BRANDS = ("Visa", "Visa", "Visa", "MasterCard", "MasterCard", "JCB", "American Express")
COUNTRIES = ("th", "th", "th", "jp", "sg", None)
EARLY_CODES = [c.code for c in FAILURE_CODES.values() if c.stage in {Stage.READ, Stage.VALIDATE}]
FACTS = {
    "operator": "somchai",
    "host": "import-1",
    "pid": 4711,
    "python": "3.11.7",
    "version": "0.1.0",
    "command": "run",
    "settings": {
        "vault": {"url": "https://vault.omise.co", "mode": "test", "public_key": "**********"},
        "flow": {"rate_per_s": 50.0, "in_flight_max": 8},
    },
    "settings_digest": "5e" * 32,
    "guards": {
        "not_dumpable": True,
        "no_core_file": True,
        "memory_lock": "limited",
        "swap_present": False,
        "private_umask": True,
        "no_new_privileges": True,
    },
    "in_flight_max": 8,
    "on_ambiguous": "retry",
}
STATISTICS = {
    "sent": 210,
    "retries": 7,
    "throttled": 4,
    "ambiguous": 1,
    "breaker_opened": 0,
    "rate_last_good": 48.5,
    "seconds": 21.5,
    "rows_per_s": 9.3,
    "latency_ms": {"p50": 21.0, "p95": 44.0, "p99": 80.0},
}


def tokenized(intent, token):
    """Give the settlement of an attempt that made a token."""
    return Settlement(
        attempt_id=intent.attempt_id,
        row_id=intent.row_id,
        kind=OutcomeKind.OK,
        evidence="token",
        state=RowState.TOKENIZED,
        code=None,
        unknowns=0,
        vault_code=None,
        request_id=None,
        latency_us=1_000,
        token=token,
    )


def batched(items, size):
    """Cut an iterable into lists of `size` items; the last may be shorter."""
    items = iter(items)
    while block := list(islice(items, size)):
        yield block


class StepClock:
    """A wall clock that only moves when it is told to."""

    def __init__(self, moment=datetime(2026, 11, 20, 8, 30, tzinfo=UTC)):
        self.moment = moment

    def now(self):
        return self.moment

    def monotonic(self):
        return self.moment.timestamp()

    def step(self, seconds):
        self.moment += timedelta(seconds=seconds)


@dataclass
class Builder:
    """Fills a ledger run by run; `names` puts texts of a test's own in place of legacy ids."""

    ledger: Ledger
    clock: StepClock
    names: list = field(default_factory=list)
    prefix: str = "cus_"
    tokens_made: int = 0

    def begin(self, run_id, **facts):
        self.ledger.begin_run(run_id, FACTS | facts, FACTS["settings_digest"])

    def end(self, exit_code=0, **statistics):
        self.ledger.end_run(exit_code, STATISTICS | statistics)

    def plan(
        self, name, rows, *, first=1, reject_every=0, changed_every=0, carry=None, owned=False
    ):
        """Plan an export of `rows` rows whose legacy ids are numbered from `first`.

        Where they are `owned`, each belongs to a customer that has its legacy id.
        """
        planning = Planning(self.ledger)
        digest = hashlib.sha256(name.encode()).hexdigest()
        facts = SealedFacts(name, rows * 97, digest, bytes.fromhex(digest), "openpgp")
        export = planning.begin(facts, date(2026, 11, 20))
        total = 0
        for block in batched(range(1, rows + 1), BATCH_ROWS):
            cards, rejections = [], []
            for row in block:
                legacy_id = self._legacy_id(first + row - 1)
                if reject_every and row % reject_every == 0:
                    rejections.append(rejection(row, legacy_id, row // reject_every))
                else:
                    changed = bool(changed_every) and row % changed_every == 0
                    planned = card(row, legacy_id, first + row - 1, changed, carry)
                    cards.append(planned._replace(customer=legacy_id) if owned else planned)
            planning.add(export, cards, rejections)
            total = hash_total(total, (c.legacy_id for c in cards))
            total = hash_total(total, (r.legacy_id for r in rejections if r.legacy_id))
        proved = ProvedFacts("sequoia", "C0FFEE" * 6 + "C0FF", None, rows, shown(total))
        planning.finish(export, proved)
        self.clock.step(2)
        return export

    def settle(self, export, *, reject_every=0, fail_every=0, hold_every=0, rows_per_s=40):
        """Send every open row of an export; most become tokens."""
        settling = Settling(self.ledger, BATCH_ROWS)
        claims = settling.claimable(export.first_id, export.last_id)
        size = min(BATCH_ROWS, max(1, rows_per_s))
        for block in batched(claims, size):
            intents = [settling.intent(claim.id, claim.attempts + 1) for claim in block]
            settling.apply(intents)
            self.clock.step(size / rows_per_s)
            settling.apply(
                [
                    self._settlement(claim, intent, reject_every, fail_every, hold_every)
                    for claim, intent in zip(block, intents, strict=True)
                ]
            )

    def refuse_once(self, export):
        """Let the vault answer 429 to every open row; they stay planned."""
        settling = Settling(self.ledger, BATCH_ROWS)
        for block in batched(settling.claimable(export.first_id, export.last_id), BATCH_ROWS):
            intents = [settling.intent(claim.id, claim.attempts + 1) for claim in block]
            settling.apply(intents)
            settling.apply(
                [
                    self._settled(intent, OutcomeKind.THROTTLED, RowState.PLANNED, "status 429")
                    for intent in intents
                ]
            )
        self.clock.step(1)

    def _settlement(self, claim, intent, reject_every, fail_every, hold_every):
        row = claim.id % 10_000_000_000
        if reject_every and row % reject_every == 1:
            return self._settled(
                intent,
                OutcomeKind.REJECTED,
                RowState.REJECTED,
                "status 400",
                code="vault_rejected",
                vault_code="invalid_card",
            )
        if fail_every and row % fail_every == 2:
            kind, state = OutcomeKind.DECLINED, RowState.FAILED
            return self._settled(intent, kind, state, "status 503", code="attempts_exhausted")
        if hold_every and row % hold_every == 3:
            kind, state = OutcomeKind.AMBIGUOUS, RowState.HELD
            return self._settled(
                intent, kind, state, "read timeout", code="outcome_unknown", unknowns=1
            )
        return self._settled(
            intent, OutcomeKind.OK, RowState.TOKENIZED, "token", token=self._token(claim)
        )

    def _settled(self, intent, kind, state, evidence, **more):
        latency = 18_000 + intent.attempt_id * 7919 % 25_000
        return Settlement(
            attempt_id=intent.attempt_id,
            row_id=intent.row_id,
            kind=kind,
            evidence=evidence,
            state=state,
            code=more.get("code"),
            unknowns=more.get("unknowns", 0),
            vault_code=more.get("vault_code"),
            request_id=f"req-{intent.attempt_id}",
            latency_us=latency,
            token=more.get("token"),
        )

    def _token(self, claim):
        self.tokens_made += 1
        number = self.tokens_made
        return Token(
            token_id=f"tokn_test_{number:019d}",
            card_id=f"card_test_{number:019d}",
            brand=BRANDS[number % len(BRANDS)],
            last_digits=claim.last_digits,
            expiration_month=claim.expiration_month,
            expiration_year=claim.expiration_year,
            # Every twentieth card is one that the vault has seen before.
            fingerprint=hashlib.sha256(str(number - (number % 20 == 0)).encode()).hexdigest()[:44],
            livemode=False,
            created_at=self.clock.now(),
            country=COUNTRIES[number % len(COUNTRIES)],
        )

    def _legacy_id(self, number):
        if number <= len(self.names):
            return self.names[number - 1]
        return f"{self.prefix}{number:07d}"


def rejection(row, legacy_id, turn):
    """Give a refused row, the codes taking turns."""
    code = EARLY_CODES[turn % len(EARLY_CODES)]
    unreadable = FAILURE_CODES[code].stage is Stage.READ or code.startswith("legacy_id_")
    field_name = None if unreadable else "number"
    digits = None if unreadable else DIGITS[turn % len(DIGITS)]
    return Rejection(row, code, field_name, None if unreadable else legacy_id, digits)


def card(row, legacy_id, number, changed, carry):
    """Give a planned card; a changed one has another number and expires later."""
    return PlannedCard(
        row,
        legacy_id,
        "9999" if changed else DIGITS[number % len(DIGITS)],
        BRANDS[number % len(BRANDS)],
        1 + number % 12,
        2034 if changed else 2027 + number % 6,
        carry,
    )


def drop_rules(ledger):
    """Take a ledger's rules away, so that a test can change what they protect."""
    with ledger.transaction() as connection:
        rules = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        for name in list(connection.exec_driver_sql(rules).scalars()):
            connection.exec_driver_sql(f"DROP TRIGGER {name}")


def place_of(folder):
    """Give the URL of a ledger in a folder, or in PostgreSQL where the environment names one."""
    url = os.environ.get(URL_NAME)
    if url is None:
        return ledger_url(folder)
    return ledger_url_of_run(folder, SecretSource(env=URL_NAME), url)


def new_builder(folder, *, names=(), prefix="cus_"):
    """Open an empty ledger in a folder and give its builder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    clock = StepClock()
    ledger = Ledger(place_of(folder), clock)
    return Builder(ledger, clock, list(names), prefix)


def reopened(closed, folder):
    """Go on, in a copy of its folder, with what a builder whose ledger was closed had begun."""
    clock = StepClock(closed.clock.now())
    return replace(closed, ledger=Ledger(place_of(folder), clock), clock=clock)


def settled_builder(folder, rows=200, *, names=(), prefix="cus_", top_up=True, run_id="run-1"):
    """Give a migration with every kind of ending: a first export, and a top-up in a second run."""
    builder = new_builder(folder, names=names, prefix=prefix)
    builder.begin(run_id)
    first = builder.plan("cards.csv.pgp", rows, reject_every=13)
    small = builder.plan("late.csv.pgp", 5, first=rows * 2)
    builder.refuse_once(small)
    per_s = max(40, rows // 60)
    for export in (first, small):
        builder.settle(export, reject_every=17, fail_every=19, hold_every=43, rows_per_s=per_s)
    builder.end(3)
    if top_up:
        builder.clock.step(86_400)
        builder.begin("run-2", pid=4812)
        again = builder.plan("top-up.csv.pgp", max(20, rows // 10), changed_every=4)
        builder.settle(again)
        builder.end(3)
    return builder
