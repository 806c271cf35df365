"""Carries tokenized cards to customers of a real sandbox, with time that passes faster.

The ledger, the group commit, the flow control, the client and the transport are the pipeline's own.
"""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pipeline.errors import LocalStorageFailed
from pipeline.ledger.group_commit import GroupCommit
from pipeline.ledger.planning import PlannedCard, Planning, ProvedFacts, SealedFacts
from pipeline.ledger.records import AttachState, CustomerState
from pipeline.ledger.recovery import settle_open_intents
from pipeline.ledger.settling import Settling
from pipeline.metrics import Flow
from pipeline.migration.attacher import Attacher
from pipeline.migration.card_to_attach import card_of
from pipeline.migration.default_cards import AttachPolicy
from pipeline.model import Token
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_rate import AdaptiveRate
from pipeline.vault.omise.customers import CustomerClient
from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.transport import VaultTransport
from tests.support.ledgers import tokenized

SLOTS = 4
SPEED = 200.0
"""So many seconds of the attacher pass in one of ours: it waits 60 for late work."""

GONE = {CustomerState.REFUSED, CustomerState.UNLOCATED}


class FastClock:
    """A clock on which time runs `SPEED` times as fast, so that waits are short."""

    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic() * SPEED

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / SPEED)


def attached_cards(look):
    """Give the cards that are on customers as a ledger's snapshot has them."""
    by_id = look.cards_on({row[1] for block in look.customer_rows() for row in block})
    return [card for cards in by_id.values() for card in cards]


@dataclass
class Carrying:
    """A ledger with one export, and the sandbox that its cards go to."""

    builder: object
    sandbox: object
    export: object

    @property
    def ledger(self):
        return self.builder.ledger

    def claims(self):
        with self.ledger.look() as look:
            return look.attachable(self.export.first_id, self.export.last_id)

    def customers(self):
        with self.ledger.look() as look:
            return [row for block in look.customer_rows() for row in block]

    def balance(self):
        with self.ledger.look() as look:
            counted = look.attach_balance()
        assert counted["tokenized"] == sum(counted.values()) - counted["tokenized"]
        return {name: n for name, n in counted.items() if n}

    def unseen(self):
        with self.ledger.look() as look:
            return look.unseen_cards_max()

    def attached(self):
        """Pairs of customer and card as the ledger has them."""
        with self.ledger.look() as look:
            return {(card.customer_id, card.card_id) for card in attached_cards(look)}

    def failures(self):
        with self.ledger.look() as look:
            return [row[3] for block in look.failed_rows() for row in block]

    def at_the_vault(self):
        """Pairs of customer and card as the vault's own journal has them."""
        made = [line for line in self.sandbox.entries() if line.get("token") and "made" in line]
        return {(line["on"], line["made"]) for line in made}

    def tokenize(self):
        """Make a token of every card that has none, at the sandbox, as the tokenizer would."""
        settling = Settling(self.ledger, 10_000)
        claims = settling.claimable(self.export.first_id, self.export.last_id)
        intents = [settling.intent(claim.id, claim.attempts + 1) for claim in claims]
        settling.apply(intents)
        settling.apply([self._token(intent) for intent in intents])

    def _token(self, intent):
        shown = self.sandbox.token()
        inside = shown["card"]
        token = Token(
            token_id=shown["id"],
            card_id=inside["id"],
            brand=inside["brand"],
            last_digits=inside["last_digits"],
            expiration_month=inside["expiration_month"],
            expiration_year=inside["expiration_year"],
            fingerprint=inside["fingerprint"],
            livemode=False,
            created_at=datetime.fromisoformat(shown["created_at"]),
        )
        return tokenized(intent, token)

    def attach(self, **options):
        """Attach what waits, customers side by side; give how each row ended, by its number."""
        return asyncio.run(self._attach(**options))

    def recover(self, run_id):
        """Begin another run, as after a kill."""
        self.builder.begin(run_id)
        settle_open_intents(self.ledger, 1)

    async def _attach(
        self,
        *,
        secret_key=None,
        read_s=0.3,
        default_on_given=False,
        dies_after=None,
        made_here=True,
    ):
        clock, stopping = FastClock(), asyncio.Event()
        settling = Mortal(self.ledger, SLOTS, dies_after)
        with ThreadPoolExecutor(1) as thread:
            async with VaultTransport(
                self.sandbox.base_url, timeouts=Timeouts(read=read_s, total=read_s * 2)
            ) as line:
                client = CustomerClient(
                    line,
                    url=self.sandbox.base_url,
                    secret_key=secret_key or self.sandbox.secret_key,
                    api_version="2019-05-29",
                    livemode=False,
                    clock=clock,
                )
                commit = GroupCommit(settling, thread, _never, lambda _: stopping.set(), SLOTS)
                limit = ConcurrencyLimit(SLOTS)
                attacher = Attacher(
                    vault=client,
                    commit=commit,
                    flow_control=FlowControl(
                        AdaptiveRate(1000.0), limit, clock, random.Random(1), Flow(), stopping
                    ),
                    policy=AttachPolicy(
                        attempts_max=5,
                        default_on_given=default_on_given,
                        mark=lambda customer: f"ledger/{customer.id}",
                    ),
                    clock=clock,
                )
                try:
                    return await self._side_by_side(attacher, clock, stopping, made_here)
                finally:
                    await commit.drain()

    async def _side_by_side(self, attacher, clock, stopping, made_here):
        slots, ends = asyncio.Semaphore(SLOTS), {}
        by_customer = {}
        # A card in doubt goes before the other cards of its customer.
        for claim in sorted(self.claims(), key=lambda c: c.state is not AttachState.DOUBTED):
            by_customer.setdefault(claim.customer, []).append(claim)
        with self.ledger.look() as look:
            records = look.customers_of(by_customer)

        async def carry(number, claims):
            async with slots:
                customer = await attacher.know(records[number])
                for claim in claims:
                    if customer is None or customer.state in GONE or stopping.is_set():
                        return
                    card = card_of(claim, customer, clock.monotonic())
                    card.made_here = made_here
                    card.fields = {"description": f"row {claim.row_id % 1000}"}
                    try:
                        ends[claim.row_id % 1000] = await attacher.attach(card)
                    except BaseException:
                        stopping.set()
                        raise
                    customer = card.customer

        carrying = [carry(number, claims) for number, claims in by_customer.items()]
        ended = await asyncio.gather(*carrying, return_exceptions=True)
        for trouble in ended:
            if trouble is not None:
                raise trouble
        return ends


class Mortal(Settling):
    """Writes so many batches and then no more, as if the process had died at that moment."""

    def __init__(self, ledger, in_flight_max, batches):
        super().__init__(ledger, in_flight_max)
        self.left = batches

    def apply(self, batch):
        if self.left == 0:
            raise LocalStorageFailed("killed", next_step="Begin again.")
        applied = super().apply(batch)
        if self.left is not None:
            self.left -= 1
        return applied


def _never(_rows):
    raise AssertionError("a token id was given twice")


def planned(builder, sandbox, cards):
    """Plan one export; `cards` are (legacy customer, given id, flagged as default)."""
    planning = Planning(builder.ledger)
    facts = SealedFacts("a.csv", 10, "a" * 64, bytes(32), "plain")
    export = planning.begin(facts, date(2026, 11, 20))
    rows = [
        PlannedCard(
            *(n, f"id-{n}", "4242", "Visa", 12, 2031, None, customer, given), is_default=default
        )
        for n, (customer, given, default) in enumerate(cards, 1)
    ]
    planning.add(export, rows, [])
    planning.finish(export, ProvedFacts("sequoia", None, None, len(rows), "00" * 32))
    return Carrying(builder, sandbox, export)
