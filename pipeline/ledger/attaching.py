"""Writes down how cards come to customers: intents before each request, outcomes after it.

An attachment is entered with its first intent. Until then a tokenized row counts as unattached.
Requests about customers and cards are attempts like those for tokens, told apart by their step,
and only grow; `attachments` and `customers` say where each stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from pipeline.errors import VerificationFailed
from pipeline.ledger.attach_statements import (
    ATTACHING,
    ATTEMPT,
    FINDING,
    MAKING,
    NO_OTHER_DEFAULT,
    OUTCOME,
    SETTLING,
    entering,
)
from pipeline.ledger.batches import CARD_MOVED
from pipeline.ledger.many_rows import run_for_each
from pipeline.ledger.records import (
    NOT_ATTACHED_YET,
    AttachIntent,
    AttachSettlement,
    AttachState,
    AttemptStep,
    CustomerFound,
    Retirement,
    RowRefusal,
)
from pipeline.ledger.retiring import retire_tokens
from pipeline.ledger.schema import attachments, rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Update

    from pipeline.ledger.records import AttachEntry

    _Said = AttachSettlement | CustomerFound | Retirement | RowRefusal


def net_open(entries: Sequence[AttachEntry]) -> int:
    """Give how many more requests are open after these entries than before."""
    begun = sum(isinstance(entry, AttachIntent) for entry in entries)
    ended = [e for e in entries if isinstance(e, AttachSettlement) and e.attempt_id is not None]
    return begun - len(ended)


def write_attaching(
    connection: Connection, entries: Sequence[AttachEntry], epoch: int, at_ms: int
) -> None:
    """Write what is said of cards and customers, in order, then the intents.

    Args:
        connection: In a transaction of the run.
        entries: What to write.
        epoch: The run's epoch.
        at_ms: The batch's moment.

    Raises:
        VerificationFailed: Something was not where this run had left it.
    """
    said = [entry for entry in entries if not isinstance(entry, AttachIntent)]
    for part in _independent(said):
        _write(connection, part, epoch, at_ms)
    intents = [entry for entry in entries if isinstance(entry, AttachIntent)]
    if intents:
        _intend(connection, intents, epoch, at_ms)


def _independent(entries: Iterable[_Said]) -> Iterator[list[_Said]]:
    """Part entries, in order, so that no part speaks twice of one row or customer."""
    part: list[_Said] = []
    spoken_of: set[int] = set()
    for entry in entries:
        if isinstance(entry, AttachSettlement):
            # Rows have positive numbers, and here customers have negative ones.
            about = {entry.row_id, -entry.customer}
        else:
            about = {-entry.id if isinstance(entry, CustomerFound) else entry.row_id}
        if not spoken_of.isdisjoint(about):
            yield part
            part, spoken_of = [], set()
        part.append(entry)
        spoken_of |= about
    if part:
        yield part


def _write(connection: Connection, part: Sequence[_Said], epoch: int, at_ms: int) -> None:
    settled = [entry for entry in part if isinstance(entry, AttachSettlement)]
    if settled:
        _settle(connection, settled, at_ms)
    found = [entry for entry in part if isinstance(entry, CustomerFound)]
    found += [entry.found for entry in settled if entry.found is not None]
    if found:
        _find(connection, found, epoch)
    for entry in part:
        if isinstance(entry, Retirement):
            _retire(connection, entry, epoch, at_ms)
        elif isinstance(entry, RowRefusal):
            _refuse_row(connection, entry)


def _intend(
    connection: Connection, intents: Sequence[AttachIntent], epoch: int, at_ms: int
) -> None:
    begun = [intent for intent in intents if intent.step is AttemptStep.ATTACH]
    if begun:
        _enter(connection, begun)
        _each(connection, ATTACHING, [{"of_row": intent.row_id} for intent in begun])
    making = [
        {"of_customer": intent.customer, "of_row": intent.row_id}
        for intent in begun
        if intent.makes_customer
    ]
    if making:
        _each(connection, MAKING, making)
    begun_at = {"epoch": epoch, "at_ms": at_ms}
    made = [
        {
            "id": intent.attempt_id,
            "row_id": intent.row_id,
            "step": intent.step.value,
            "number": intent.number,
            **begun_at,
        }
        for intent in intents
    ]
    run_for_each(connection, ATTEMPT, made)


def _enter(
    connection: Connection, entries: Sequence[AttachIntent] | Sequence[AttachSettlement]
) -> None:
    """Enter the attachments that are not there yet."""
    entered = [{"row_id": e.row_id, "customer": e.customer} for e in entries]
    run_for_each(connection, entering(connection.dialect.name), entered)


def _settle(connection: Connection, items: Sequence[AttachSettlement], at_ms: int) -> None:
    ended = [item for item in items if item.attempt_id is not None]
    if ended:
        run_for_each(connection, OUTCOME, [_outcome(item, at_ms) for item in ended])
    without_request = [item for item in items if item.attempt_id is None]
    if without_request:
        _enter(connection, without_request)
    _each(connection, SETTLING, [_settled(item, at_ms) for item in items])
    defaults = [
        {"of_customer": item.customer, "of_row": item.row_id} for item in items if item.is_default
    ]
    if defaults:
        run_for_each(connection, NO_OTHER_DEFAULT, defaults)


def _settled(item: AttachSettlement, at_ms: int) -> dict[str, Any]:
    attached_ms, deleted_ms = moments(item, at_ms)
    return {
        "of_row": item.row_id,
        "new_state": item.state.value,
        "new_code": item.code,
        "doubts": item.unknowns,
        "new_vault_code": item.vault_code,
        "new_request_id": item.request_id,
        "new_card_id": item.card_id,
        "new_is_default": None if item.is_default is None else int(item.is_default),
        "new_attached_ms": attached_ms,
        "new_deleted_ms": deleted_ms,
    }


def moments(item: AttachSettlement, at_ms: int) -> tuple[int | None, int | None]:
    """Give when the card was seen on its customer, and when it was deleted, as far as this says so."""
    if item.deleted:
        return None, at_ms
    return None if item.card_id is None else at_ms, None


def _outcome(item: AttachSettlement, at_ms: int) -> dict[str, Any]:
    return {
        "attempt_id": item.attempt_id,
        "kind": item.kind.value,
        "evidence": item.evidence,
        "vault_code": item.vault_code,
        "request_id": item.request_id,
        "latency_us": item.latency_us,
        "at_ms": at_ms,
    }


def _find(connection: Connection, found: Sequence[CustomerFound], epoch: int) -> None:
    known = [
        {
            "of_customer": item.id,
            "new_state": item.state.value,
            "new_code": item.code,
            "new_customer_id": item.customer_id,
            "new_livemode": None if item.livemode is None else int(item.livemode),
            "new_created_s": item.created_s,
            "new_epoch": None if item.customer_id is None else epoch,
        }
        for item in found
    ]
    _each(connection, FINDING, known)


def _refuse_row(connection: Connection, item: RowRefusal) -> None:
    waits = (rows.c.id == item.row_id, rows.c.state.in_([RowState.PLANNED, RowState.AMBIGUOUS]))
    refused = {"state": item.state.value, "code": item.code, "field": "customer"}
    if connection.execute(update(rows).where(*waits).values(**refused)).rowcount != 1:
        raise _moved()


def _retire(connection: Connection, item: Retirement, epoch: int, at_ms: int) -> None:
    """Take a token that is proved gone out of force, and plan its row again."""
    retire_tokens(connection, [item.row_id], item.reason, at_ms=at_ms, epoch=epoch)
    connection.execute(
        update(attachments)
        .where(attachments.c.row_id == item.row_id, attachments.c.state.in_(NOT_ATTACHED_YET))
        .values(state=AttachState.UNATTACHED)
    )


def _each(connection: Connection, statement: Update, of: list[dict[str, Any]]) -> None:
    """Run a statement that has to change exactly one row for each of these.

    Raises:
        VerificationFailed: It did not.
    """
    if run_for_each(connection, statement, of) != len(of):
        raise _moved()


def _moved() -> VerificationFailed:
    return VerificationFailed(
        CARD_MOVED,
        next_step="Look for a second program that writes to this folder.",
    )
