"""Builds what sends rows: pace and slots, the ledger's commits, the vault's client, and attaching."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import CardferryError
from pipeline.ledger.group_commit import GroupCommit
from pipeline.ledger.run_events import LAST_GOOD_RATE, RunEvents
from pipeline.ledger.settling import Settling
from pipeline.migration import vault_factory
from pipeline.migration.tokenizer import Tokenizer
from pipeline.migration.troubles import mixed_up
from pipeline.vault.flow.flow_control import FlowControl

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager

    from pipeline.migration.attach_factory import AttachParts
    from pipeline.migration.run_request import Sending
    from pipeline.migration.transitions import RetryPolicy
    from pipeline.vault.flow.flow_control import ConcurrencyLimit
    from pipeline.vault.interface import Vault


class SendParts(NamedTuple):
    """What sends rows in one process.

    Attributes:
        line: The line to the vault, not connected yet.
        vault: The vault's client over it.
        limit: The slots, which both hosts share.
        flow_control: Decides when each request to the vault may be sent.
        settling: Knows which rows may be sent.
        commit: Makes intents and outcomes durable.
        tokenizer: Sends cards.
        attaching: What attaches cards; None where there are tokens only.
        run_events: What enters outcomes into the trail; None where another process does.
    """

    line: AbstractAsyncContextManager[object]
    vault: Vault
    limit: ConcurrencyLimit
    flow_control: FlowControl
    settling: Settling
    commit: GroupCommit
    tokenizer: Tokenizer
    attaching: AttachParts | None
    run_events: RunEvents | None


def send_parts(
    sending: Sending,
    policy: RetryPolicy,
    thread: Executor,
    *,
    on_done: Callable[[int], None] | None = None,
) -> SendParts:
    """Give what sends rows; called on the event loop.

    Args:
        sending: What the process sends with.
        policy: What becomes of a row, and when sending stops.
        thread: The ledger's thread.
        on_done: For one of several carriers: told each row with which nothing more is done for
            now. The trail is another process's then.
    """
    settings, flow, stopping = sending.settings, sending.flow, asyncio.Event()
    limit = vault_factory.slots(settings)
    last_good = sending.ledger.recall(LAST_GOOD_RATE)
    rate = vault_factory.adaptive_rate(settings.flow.rate_per_s, last_good)
    flow_control = FlowControl(rate, limit, sending.clock, sending.random, flow, stopping)
    run_events = None
    if on_done is None:
        run_events = RunEvents(sending.ledger, flow, flow_control.last_good_rate)
    settling = Settling(sending.ledger, settings.flow.in_flight_max, run_events)
    commit = GroupCommit(
        settling,
        thread,
        lambda _rows: tokenizer.stop(mixed_up()),
        lambda failure: tokenizer.stop(_trouble(failure)),
        settings.flow.in_flight_max,
    )
    line = vault_factory.transport(settings)
    vault = vault_factory.client(settings, sending.credentials, line, sending.clock)
    tokenizer = Tokenizer(
        vault=vault,
        commit=commit,
        flow_control=flow_control,
        policy=policy,
        clock=sending.clock,
        flow=flow,
    )
    if on_done is not None:
        tokenizer.on_done = on_done
    attaching = None
    attach = sending.attach
    if attach is not None:
        # Twenty modules, for nothing where tokens only are made.
        from pipeline.migration.attach_factory import attach_parts  # noqa: PLC0415
        from pipeline.migration.same_cards import SameCards  # noqa: PLC0415

        attaching = attach_parts(sending, attach, commit, limit, stopping, settling.leave)
        if attach.same_card == "reuse":
            attaching.step.same_cards = SameCards(sending.ledger, thread)
    return SendParts(
        line, vault, limit, flow_control, settling, commit, tokenizer, attaching, run_events
    )


def _trouble(failure: BaseException) -> CardferryError | None:
    """Give what stops a run; a bug is raised by whoever met it."""
    return failure if isinstance(failure, CardferryError) else None
