"""Asks a host what there is, again where nothing was learnt, at the pace that it bears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.migration.attach_transitions import FREE
from pipeline.migration.troubles import refused
from pipeline.model import OutcomeKind
from pipeline.vault.flow.row_refusals import Refusal
from pipeline.vault.interface import RefusalCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipeline.clock import Clock
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.interface import CustomerAnswer


class VaultReader:
    """Asks a host questions that change nothing there.

    Args:
        flow_control: Decides when each request may be sent to it.
        clock: For waits and latencies.
        attempts_max: So many counted requests learn nothing before it is given up.
    """

    def __init__(self, flow_control: FlowControl, clock: Clock, attempts_max: int) -> None:
        self._flow_control = flow_control
        self._clock = clock
        self._attempts_max = attempts_max

    async def read(
        self, row: int, call: Callable[[], Awaitable[CustomerAnswer]]
    ) -> CustomerAnswer | None:
        """Read something of the API host, again where nothing was learnt; None when it told nothing.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        backoff = self._flow_control.backoff()
        tries = 0
        while tries < self._attempts_max:
            turn = await self._flow_control.reserve_turn()
            sent_at = None if turn is None else await self._flow_control.wait_for_turn(turn)
            if sent_at is None:
                return None
            answer = self.reported(await call(), row, sent_at, self._clock.monotonic())
            kind = answer.outcome.kind
            if kind is OutcomeKind.OK or answer.cause is RefusalCause.NOT_FOUND:
                return answer
            if kind in {OutcomeKind.FATAL, OutcomeKind.DENIED}:
                raise refused(answer.outcome.setting or answer.outcome.evidence)
            tries += kind not in FREE
            if not await backoff.wait(answer.outcome):
                return None
        return None

    def reported(
        self, answer: CustomerAnswer, row: int, sent_at: float, now: float
    ) -> CustomerAnswer:
        """Let the flow control learn from an answer.

        Args:
            answer: What one request came to.
            row: Any number that tells this row from the others.
            sent_at: When it was sent, in monotonic seconds.
            now: When the answer came.

        Returns:
            The answer; a denial that may speak of one card only has become DECLINED.
        """
        outcome = answer.outcome
        self._flow_control.count(outcome)
        refusal = self._flow_control.report(outcome, row, sent_at=sent_at, now=now)
        if outcome.kind is OutcomeKind.DENIED and refusal is not Refusal.OF_ALL:
            return answer._replace(outcome=outcome._replace(kind=OutcomeKind.DECLINED))
        return answer
