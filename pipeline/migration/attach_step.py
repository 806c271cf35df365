"""Takes each card from its token on to its customer, when the API host is fit for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pipeline.clock import first_of, pause
from pipeline.failure_codes import Code
from pipeline.ledger.records import AttachState, CustomerState, RowRefusal
from pipeline.migration.attach_transitions import Sight
from pipeline.migration.attacher import AttachEnd
from pipeline.migration.card_to_attach import card_of, sight_of
from pipeline.migration.troubles import mixed_up, refused, too_many_in_doubt
from pipeline.model import OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.clock import Clock
    from pipeline.ledger.records import CustomerRecord, Settlement
    from pipeline.metrics import Flow
    from pipeline.migration.attacher import Attacher
    from pipeline.migration.card_to_attach import CardToAttach
    from pipeline.migration.known_customers import KnownCustomers
    from pipeline.migration.same_cards import SameCards
    from pipeline.migration.transitions import ToAttach, WaitingCard
    from pipeline.model import Token
    from pipeline.vault.flow.flow_control import FlowControl

FIT_WITHIN_S: Final = 1.0
"""No token is made unless a request to the API host could leave so soon."""

_TAKES_NONE: Final = {
    CustomerState.REFUSED: (RowState.REJECTED, AttachState.FAILED),
    CustomerState.UNLOCATED: (RowState.HELD, AttachState.HELD),
}
"""What becomes of a row whose customer takes no card: before it has its token, and after."""


class AttachStep:
    """Lets a card begin, attaches it, and lets one row go alone until that is proved to work.

    Args:
        attacher: Puts cards on customers.
        flow_control: Decides when requests may go to the API host.
        customers: The customers of all cards under way.
        leave: Told rows that this run leaves as they are.
        clock: For waits.
        flow: The figures that progress shows.
    """

    def __init__(
        self,
        *,
        attacher: Attacher,
        flow_control: FlowControl,
        customers: KnownCustomers,
        leave: Callable[[int], None],
        clock: Clock,
        flow: Flow,
    ) -> None:
        self._attacher = attacher
        self._flow_control = flow_control
        self._stopping = flow_control.stopping
        self._customers = customers
        self._leave = leave
        self._clock = clock
        self._flow = flow
        self._proved = asyncio.Event()
        self._probing = asyncio.Lock()
        self._in_doubt = 0
        self.same_cards: SameCards | None = None
        """Finds cards that need not be put on a customer twice; None puts them there all the same."""
        self.retired = 0
        """Rows that were planned again, as their tokens had perished."""

    async def wait_until_proved(self, slot: int) -> None:
        """Let slot 0 go alone until a card is seen on its customer, or there are no more cards."""
        if slot and not self._proved.is_set():
            await first_of(self._proved.wait(), self._stopping)

    def open(self) -> None:
        """Let every slot go on."""
        self._proved.set()

    def outage_s(self) -> float:
        """Give how long the API host has done nothing for us although we asked."""
        return self._flow_control.outage_s()

    async def may_begin(self, card: WaitingCard, to: ToAttach) -> bool:
        """Say whether a card goes on: its customer takes cards, and the API host works.

        A row whose customer takes none is settled here; whatever else may not go on is left.

        Raises:
            CardferryError: The run has to stop.
        """
        record = await self._attacher.know(to.customer.record)
        if record is not None:
            self._customers.changed(to.customer, record)
            if record.state in _TAKES_NONE:
                self._refuse(card, to, record)
                return False
            is_ours = self._attacher.may_make(record.id, to.claim.row_id)
            if (record.customer_id or is_ours) and (card.request is None or await self._is_fit()):
                return True
        self._leave(to.claim.row_id)
        return False

    async def attach(
        self,
        to: ToAttach,
        token: Token | None = None,
        after: Sequence[Settlement] = (),
    ) -> None:
        """Put a row's card on its customer.

        Args:
            to: Where it is to go.
            token: The token that was just made; None for the one that the ledger has.
            after: The token's outcome, to be durable with the first request's intent.

        Raises:
            CardferryError: The run has to stop; everything that was answered is queued.
        """
        card = card_of(to.claim, to.customer.record, self._clock.monotonic(), token)
        card.fields = to.fields
        if self.same_cards is not None and not card.unknowns:
            # The token's outcome must not wait for a look.
            self._attacher.recording.begin(card, after)
            after = ()
            known = await self.same_cards.find(card, token and token.fingerprint)
            if known is not None:
                self._attacher.recording.reuse(card, known)
                self._flow.attached += 1
                return
        try:
            end = await self._attacher.attach(card, after)
        finally:
            self._customers.changed(to.customer, card.customer)
        if self.same_cards is not None and card.is_attached:
            self.same_cards.attached(card)
        self._count(card, end)
        if end is AttachEnd.SETTLED and card.is_attached and not self._proved.is_set():
            await self._prove(card)

    def _count(self, card: CardToAttach, end: AttachEnd) -> None:
        flow = self._flow
        if end is AttachEnd.NEW_TOKEN:
            self.retired += 1
            flow.tokenized -= 1
        elif end is AttachEnd.LEFT:
            self._leave(card.row_id)
            self._in_doubt += 1
            if self._in_doubt >= self._flow_control.slots and not self._stopping.is_set():
                raise too_many_in_doubt()
        elif card.transition is not None:
            state = card.transition.state
            flow.attached += state is AttachState.ATTACHED
            flow.attach_failed += state is AttachState.FAILED
            flow.attach_held += state is AttachState.HELD
            if card.transition.code is not None:
                flow.codes[card.transition.code] += 1

    def _refuse(self, card: WaitingCard, to: ToAttach, record: CustomerRecord) -> None:
        """Settle a row whose customer takes no card."""
        row_state, attach_state = _TAKES_NONE[record.state]
        code = record.code or Code.CUSTOMER_UNKNOWN
        self._flow.codes[code] += 1
        if to.claim.token_id is not None:
            self._attacher.recording.end(card_of(to.claim, record, 0.0), attach_state, code)
            self._flow.attach_failed += attach_state is AttachState.FAILED
            self._flow.attach_held += attach_state is AttachState.HELD
            return
        if card.unknowns:
            # A token may exist unseen: that is for somebody to look into.
            row_state = RowState.HELD
        self._attacher.settle(RowRefusal(to.claim.row_id, row_state, code))
        self._flow.rejected += row_state is RowState.REJECTED
        self._flow.held += row_state is RowState.HELD

    async def _is_fit(self) -> bool:
        """Wait until the API host works and has a near turn; False when the run is to stop."""
        flow_control = self._flow_control
        while not self._stopping.is_set():
            if flow_control.is_fit(FIT_WITHIN_S):
                return True
            if flow_control.is_closed:
                await pause(self._clock, flow_control.wait_s() - FIT_WITHIN_S / 2, self._stopping)
                continue
            async with self._probing:
                if not flow_control.is_closed:
                    await self._probe()
        return False

    async def _probe(self) -> None:
        """Ask the API host something harmless, as nobody else may be asking it anything."""
        flow_control = self._flow_control
        turn = await flow_control.reserve_turn()
        sent_at = None if turn is None else await flow_control.wait_for_turn(turn)
        if sent_at is None:
            return
        outcome = (await self._attacher.account()).outcome
        flow_control.report(outcome, 0, sent_at=sent_at, now=self._clock.monotonic())
        if outcome.kind is OutcomeKind.FATAL:
            raise refused(outcome.setting or outcome.evidence)

    async def _prove(self, card: CardToAttach) -> None:
        """Read the first card back; only when it is there do the others follow."""
        shown = await self._attacher.read_back(card)
        if shown is None:
            return
        if sight_of(shown, card) is not Sight.OURS:
            raise mixed_up()
        self.open()
