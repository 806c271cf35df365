"""Writes down how cards come to customers: intents before each request, outcomes after it.

An attachment is entered with its first intent. Until then a tokenized row counts as unattached.
Requests about customers and cards are attempts like those for tokens, told apart by their step,
and only grow; `attachments` and `customers` say where each stands.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, or_, select, update

from pipeline.errors import VerificationFailed
from pipeline.ledger.records import (
    NOT_ATTACHED_YET,
    AttachIntent,
    AttachSettlement,
    AttachState,
    AttemptStep,
    CustomerFound,
    CustomerState,
    Retirement,
    RowRefusal,
)
from pipeline.ledger.retiring import retire_tokens
from pipeline.ledger.schema import NOT_FOR_TOKENS, attachments, attempts, customers, outcomes, rows
from pipeline.model import OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Executable, Exists

AttachEntry = AttachIntent | AttachSettlement | CustomerFound | Retirement | RowRefusal

_MAKEABLE: Final = (CustomerState.WANTED.value, CustomerState.MAKING.value)


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
    for entry in entries:
        if not isinstance(entry, AttachIntent):
            _write(connection, entry, epoch, at_ms)
    for entry in entries:
        if isinstance(entry, AttachIntent):
            _intend(connection, entry, epoch, at_ms)


def _write(
    connection: Connection,
    entry: AttachSettlement | CustomerFound | Retirement | RowRefusal,
    epoch: int,
    at_ms: int,
) -> None:
    match entry:
        case AttachSettlement():
            _settle(connection, entry, epoch, at_ms)
        case CustomerFound():
            _find(connection, entry, epoch)
        case Retirement():
            _retire(connection, entry, at_ms)
        case RowRefusal():
            _refuse_row(connection, entry)


def _intend(connection: Connection, intent: AttachIntent, epoch: int, at_ms: int) -> None:
    values = {"row_id": intent.row_id, "customer": intent.customer}
    if intent.step is AttemptStep.ATTACH:
        _enter(connection, values, AttachState.ATTACHING)
        if intent.makes_customer:
            here = (customers.c.id == intent.customer, customers.c.state.in_(_MAKEABLE))
            making = update(customers).where(*here, ~_made_unseen_by_another(intent))
            making = making.values(state=CustomerState.MAKING)
            _once(connection, making)
    connection.execute(
        insert(attempts).values(
            id=intent.attempt_id,
            row_id=intent.row_id,
            step=intent.step.value,
            number=intent.number,
            epoch=epoch,
            at_ms=at_ms,
        )
    )


def _made_unseen_by_another(intent: AttachIntent) -> Exists:
    """Give whether another row's request may have made this customer, and nobody knows yet."""
    return (
        select(attachments.c.row_id)
        .where(
            attachments.c.customer == intent.customer,
            attachments.c.row_id != intent.row_id,
            attachments.c.state.in_(NOT_ATTACHED_YET),
            or_(attachments.c.unknowns > 0, attachments.c.state == AttachState.ATTACHING),
        )
        .exists()
    )


def _enter(connection: Connection, values: dict[str, Any], state: AttachState) -> None:
    """Move an attachment to `attaching`, or enter it there."""
    here = attachments.c.row_id == values["row_id"]
    moved = connection.execute(
        update(attachments)
        .where(here, attachments.c.state.in_([AttachState.UNATTACHED, AttachState.DOUBTED]))
        .values(state=state, code=None, attempts=attachments.c.attempts + 1)
    )
    if moved.rowcount == 0:
        add = _insert_unless_there(connection).values(**values, state=state.value, attempts=1)
        _once(connection, add)


def _insert_unless_there(connection: Connection) -> Any:
    # By name, as loading PostgreSQL's loads all of its drivers.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    return dialect.insert(attachments).on_conflict_do_nothing()


def _settle(connection: Connection, item: AttachSettlement, epoch: int, at_ms: int) -> None:
    if item.attempt_id is not None:
        _add_outcome(connection, item, item.attempt_id, at_ms)
    changed = _changed(item, at_ms)
    here = attachments.c.row_id == item.row_id
    moved = connection.execute(
        update(attachments)
        .where(here)
        .values(**changed, unknowns=attachments.c.unknowns + item.unknowns)
    )
    if moved.rowcount == 0:
        if item.attempt_id is not None:
            raise _moved()
        connection.execute(
            insert(attachments).values(row_id=item.row_id, customer=item.customer, **changed)
        )
    if item.is_default:
        others = (attachments.c.customer == item.customer, attachments.c.row_id != item.row_id)
        connection.execute(
            update(attachments).where(*others, attachments.c.is_default == 1).values(is_default=0)
        )
    if item.found is not None:
        _find(connection, item.found, epoch)


def _changed(item: AttachSettlement, at_ms: int) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "state": item.state.value,
        "code": item.code,
        "vault_code": item.vault_code,
        "request_id": item.request_id,
    }
    if item.card_id is not None:
        changed["card_id"] = item.card_id
    if item.is_default is not None:
        changed["is_default"] = int(item.is_default)
    if item.deleted:
        changed["deleted_ms"] = at_ms
    elif item.card_id is not None:
        changed["attached_ms"] = at_ms
    return changed


def _add_outcome(
    connection: Connection, item: AttachSettlement, attempt_id: int, at_ms: int
) -> None:
    connection.execute(
        insert(outcomes).values(
            attempt_id=attempt_id,
            kind=item.kind.value,
            evidence=item.evidence,
            vault_code=item.vault_code,
            request_id=item.request_id,
            latency_us=item.latency_us,
            at_ms=at_ms,
        )
    )


def _find(connection: Connection, found: CustomerFound, epoch: int) -> None:
    known: dict[str, Any] = {"state": found.state.value, "code": found.code, "epoch": epoch}
    if found.customer_id is not None:
        known["customer_id"] = found.customer_id
    if found.livemode is not None:
        known["livemode"] = int(found.livemode)
    if found.created_s is not None:
        known["created_s"] = found.created_s
    _once(connection, update(customers).where(customers.c.id == found.id).values(**known))


def _refuse_row(connection: Connection, item: RowRefusal) -> None:
    waits = (rows.c.id == item.row_id, rows.c.state.in_([RowState.PLANNED, RowState.AMBIGUOUS]))
    refused = {"state": item.state.value, "code": item.code, "field": "customer"}
    _once(connection, update(rows).where(*waits).values(**refused))


def _retire(connection: Connection, item: Retirement, at_ms: int) -> None:
    """Take a token that is proved gone out of force, and plan its row again."""
    retire_tokens(connection, [item.row_id], item.reason, at_ms)
    connection.execute(
        update(attachments)
        .where(attachments.c.row_id == item.row_id, attachments.c.state.in_(NOT_ATTACHED_YET))
        .values(state=AttachState.UNATTACHED)
    )


def doubt_open_attachments(connection: Connection, now_ms: int, evidence: str) -> int:
    """Give every request about a card that has no outcome the only honest one.

    The card may be on the customer or not: the same request, with the same token, goes out again.

    Returns:
        How many cards are in doubt.
    """
    unanswered = (
        select(attempts.c.id)
        .outerjoin(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(NOT_FOR_TOKENS, outcomes.c.attempt_id.is_(None))
    )
    open_ids = list(connection.execute(unanswered).scalars())
    if open_ids:
        add = insert(outcomes).values(
            attempt_id=bindparam("attempt_id"),
            kind=OutcomeKind.AMBIGUOUS.value,
            evidence=evidence,
            latency_us=0,
            at_ms=now_ms,
        )
        connection.execute(add, [{"attempt_id": number} for number in open_ids])
    return connection.execute(
        update(attachments)
        .where(attachments.c.state == AttachState.ATTACHING)
        .values(state=AttachState.DOUBTED, unknowns=attachments.c.unknowns + 1)
    ).rowcount


def _once(connection: Connection, statement: Executable) -> None:
    """Run a statement that has to change exactly one row.

    Raises:
        VerificationFailed: It did not.
    """
    # SQLAlchemy keeps the count of inserted rows only where it is asked to.
    kept = {"preserve_rowcount": True}
    if connection.execute(statement, execution_options=kept).rowcount != 1:
        raise _moved()


def _moved() -> VerificationFailed:
    return VerificationFailed(
        "a card or customer of the ledger was not where this run had left it",
        next_step="Look for a second program that writes to this folder.",
    )
