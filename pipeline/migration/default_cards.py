"""Makes flagged cards their customers' defaults: the vault moves no default by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.ledger.records import AttachState, AttemptStep
from pipeline.migration.attach_transitions import AttachTransition, Then
from pipeline.migration.troubles import refused
from pipeline.model import NEVER_SENT, Outcome, OutcomeKind
from pipeline.vault.interface import CustomerAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.clock import Clock
    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.records import CustomerRecord
    from pipeline.migration.attach_recording import AttachRecording
    from pipeline.migration.card_to_attach import CardToAttach
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.interface import CustomerVault

STOPPED: Final = CustomerAnswer(Outcome(OutcomeKind.NOT_SENT, NEVER_SENT))
_ATTACHED: Final = AttachTransition(AttachState.ATTACHED, Then.END)


class AttachPolicy(NamedTuple):
    """The settings of attaching.

    Attributes:
        attempts_max: Counted requests for a card in one run.
        default_on_given: Whether a flagged card may become the default of a given customer.
        mark: Our mark in the metadata of a customer that we make.
    """

    attempts_max: int
    default_on_given: bool
    mark: Callable[[CustomerRecord], str]


class DefaultCards:
    """Moves defaults, each by an intent of its own; the same move twice does no harm.

    Args:
        vault: The API host; one request a call.
        commit: Makes intents durable.
        recording: Queues outcomes.
        flow_control: Decides when each request may be sent to the API host.
        clock: For latencies.
        policy: The settings.
    """

    def __init__(
        self,
        vault: CustomerVault,
        commit: GroupCommit,
        recording: AttachRecording,
        flow_control: FlowControl,
        clock: Clock,
        policy: AttachPolicy,
    ) -> None:
        self._vault = vault
        self._commit = commit
        self._recording = recording
        self._flow_control = flow_control
        self._clock = clock
        self._policy = policy

    async def move(self, card: CardToAttach, asked: int = 0) -> None:
        """Make an attached card its customer's default, unless that is not ours to change.

        Args:
            card: The card.
            asked: How often that was asked for before.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        if card.is_on_given and not self._policy.default_on_given:
            return
        backoff = self._flow_control.backoff()
        for number in range(asked + 1, asked + self._policy.attempts_max + 1):
            outcome = await self._ask(card, number)
            if outcome is None or card.is_default or not await backoff.wait(outcome):
                return

    async def _ask(self, card: CardToAttach, number: int) -> Outcome | None:
        """Ask once; None when the run is to stop."""
        turn = await self._flow_control.reserve_turn()
        if turn is None:
            return None
        intent = await self._commit.intend_attach(
            card.row_id, card.customer.id, number, step=AttemptStep.MOVE_DEFAULT
        )
        sent_at = await self._flow_control.wait_for_turn(turn)
        answer, customer_id = STOPPED, card.customer.customer_id
        try:
            if sent_at is not None and customer_id is not None:
                answer = await self._vault.set_default_card(customer_id, card.card_id)
        finally:
            shown = answer.customer
            card.is_default = shown is not None and shown.default_card == card.card_id
            self._recording.settle(card, intent, answer.outcome, _ATTACHED)
        if sent_at is None:
            return None
        now = self._clock.monotonic()
        self._flow_control.count(answer.outcome)
        self._flow_control.report(answer.outcome, card.row_id, sent_at=sent_at, now=now)
        if answer.outcome.kind in {OutcomeKind.FATAL, OutcomeKind.DENIED}:
            raise refused(answer.outcome.setting or answer.outcome.evidence)
        return answer.outcome
