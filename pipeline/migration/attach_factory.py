"""Builds what attaches cards in a run: the line to the API host, its pace, and the step itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.metrics import Flow
from pipeline.migration import vault_factory
from pipeline.migration.attach_step import AttachStep
from pipeline.migration.attacher import Attacher
from pipeline.migration.default_cards import AttachPolicy
from pipeline.migration.known_customers import KnownCustomers
from pipeline.vault.flow.flow_control import FlowControl

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from pipeline.config.attach import AttachSettings
    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import CustomerRecord
    from pipeline.migration.run_request import Sending
    from pipeline.vault.flow.flow_control import ConcurrencyLimit

LAST_GOOD_API_RATE: Final = "api_rate_last_good"
"""Under this name the ledger keeps the API host's rate for the next run to start from."""


class AttachParts(NamedTuple):
    """What attaches cards in a run."""

    line: AbstractAsyncContextManager[object]
    flow_control: FlowControl
    customers: KnownCustomers
    step: AttachStep
    attacher: Attacher


def attach_parts(
    sending: Sending,
    attach: AttachSettings,
    commit: GroupCommit,
    limit: ConcurrencyLimit,
    stopping: asyncio.Event,
    leave: Callable[[int], None],
) -> AttachParts:
    """Give what attaches cards in a run.

    Args:
        sending: What the run sends with.
        attach: The settings of attaching.
        commit: Makes intents and outcomes durable.
        limit: The slots, which both hosts share.
        stopping: Set when the run is to stop.
        leave: Told rows that this run leaves as they are.
    """
    settings, flow = sending.settings, sending.flow
    flow.is_attaching, flow.api = True, Flow()
    line = vault_factory.transport(settings, url=attach.url)
    vault = vault_factory.customer_client(settings, sending.credentials, line, sending.clock)
    last_good = sending.ledger.recall(LAST_GOOD_API_RATE)
    flow_control = FlowControl(
        vault_factory.adaptive_rate(attach.rate_per_s, last_good),
        limit,
        sending.clock,
        sending.random,
        flow.api,
        stopping,
    )
    in_doubt = sending.ledger.ask(lambda look: look.customers_in_doubt())
    attacher = Attacher(
        vault=vault,
        commit=commit,
        flow_control=flow_control,
        policy=AttachPolicy(
            attempts_max=settings.flow.attempts_max,
            default_on_given=attach.default_on_given,
            mark=_mark(sending.ledger),
        ),
        clock=sending.clock,
        in_doubt=in_doubt,
    )
    customers = KnownCustomers()
    step = AttachStep(
        attacher=attacher,
        flow_control=flow_control,
        customers=customers,
        leave=leave,
        clock=sending.clock,
        flow=flow,
    )
    return AttachParts(line, flow_control, customers, step, attacher)


def _mark(ledger: Ledger) -> Callable[[CustomerRecord], str]:
    """Give what marks a customer as made by this ledger: its first run's name, and a number."""
    origin = ledger.ask(lambda look: look.first_run_id()) or ledger.run_id
    return lambda customer: f"{origin}/{customer.id}"
