"""A migration folder in, its ledger out: opened, checked, fenced, with its chain of events.

Every write happens inside `transaction()`, which first makes sure that no later run has taken
the ledger over (the epoch) and that the last event is still the one this run knows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import func, insert, inspect, select, update

from pipeline import chain
from pipeline.clock import timestamp
from pipeline.errors import SettingsRefused, VerificationFailed
from pipeline.ledger.connection import ledger_trouble, open_engine
from pipeline.ledger.schema import (
    SCHEMA_VERSION,
    events,
    meta,
    metadata,
    runs,
    sqlite_triggers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from pipeline.clock import Clock

LEDGER_NAME: Final = "ledger.sqlite"


class Ledger:
    """One migration's ledger, open.

    Args:
        path: The database file, or None for a temporary one (`cardferry check`).
        clock: Whose wall clock dates what is written.
        read_only: Open for looking only; nothing is created or checked.
    """

    def __init__(self, path: Path | None, clock: Clock, *, read_only: bool = False) -> None:
        self.engine = open_engine(path, read_only=read_only)
        self.clock = clock
        self.epoch = 0
        self.run_id = ""
        self._actor = ""
        self._origin = ""
        self._head = chain.GENESIS
        self._events = 0
        with ledger_trouble():
            try:
                if not read_only:
                    self._create_if_empty()
                self._check_version()
            except BaseException:
                self.engine.dispose()
                raise

    def close(self) -> None:
        """Close the database; nothing is pending by then."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection whose changes become durable together, or not at all.

        Raises:
            LocalStorageFailed: The disk refused; a failed sync is not tried again.
            VerificationFailed: A later run has taken over, or a rule of the schema was broken.
        """
        head, count = self._head, self._events
        try:
            with ledger_trouble(), self.engine.begin() as connection:
                self._check_fence(connection)
                yield connection
        except BaseException:
            self._head, self._events = head, count
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for looking; all looks inside see one state."""
        with ledger_trouble(), self.engine.connect() as connection:
            yield connection

    def verify(self) -> None:
        """Check the database's own structure and the chain of events.

        Raises:
            VerificationFailed: Something was damaged or changed outside of Cardferry.
        """
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if found != "ok":
                raise VerificationFailed(
                    "the ledger's database is damaged",
                    next_step="Keep the folder as it is; restore the ledger from a backup.",
                )
            head, count = chain.GENESIS, 0
            for seq, body, written in connection.execute(
                select(events.c.seq, events.c.body, events.c.hash).order_by(events.c.seq)
            ):
                count += 1
                head = chain.link_bytes(head, body.encode())
                if seq != count or written != head:
                    raise VerificationFailed(
                        f"the ledger's trail of events was changed at event {count}",
                        next_step="Keep the folder as it is and ask who touched it.",
                    )
        self._head, self._events = head, count

    def begin_run(self, run_id: str, facts: Mapping[str, object], settings_digest: str) -> None:
        """Take the ledger over for a new run: the next epoch, fenced from every earlier one.

        Args:
            run_id: The run's name in reports.
            facts: JSON-ready facts: `operator`, `host`, `pid`, settings, guards.
            settings_digest: What results mean (`config.loading.meaning_digest`).

        Raises:
            SettingsRefused: An unfinished ledger was begun with other settings.
        """
        self.verify()
        with ledger_trouble(), self.engine.begin() as connection:
            self.epoch = 1 + (connection.execute(select(func.max(runs.c.epoch))).scalar() or 0)
            self.run_id = run_id
            self._actor = str(facts.get("operator", ""))
            self._origin = f"{facts.get('host', '')}:{facts.get('pid', '')}"
            _require_same_meaning(connection, settings_digest)
            connection.execute(
                insert(runs).values(
                    epoch=self.epoch,
                    run_id=run_id,
                    started_ms=self.now_ms(),
                    facts=orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS).decode(),
                )
            )
            self.record(connection, "run_started", resource=run_id, settings=settings_digest)

    def end_run(self, exit_code: int, statistics: Mapping[str, object]) -> None:
        """Note how the run ended."""
        with self.transaction() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.epoch == self.epoch)
                .values(
                    ended_ms=self.now_ms(),
                    exit_code=exit_code,
                    statistics=orjson.dumps(dict(statistics), option=orjson.OPT_SORT_KEYS).decode(),
                )
            )
            self.record(
                connection,
                "run_ended",
                resource=self.run_id,
                success=exit_code in {0, 3},
                exit_code=exit_code,
            )

    def record(
        self,
        connection: Connection,
        kind: str,
        *,
        resource: str,
        success: bool = True,
        **detail: chain.Scalar,
    ) -> None:
        """Append an event to the chain, in the caller's transaction.

        The fields are those of PCI DSS 10.2.2: who, what, when, success, origin, resource.
        """
        self._events += 1
        body = chain.canonical(
            {
                "seq": self._events,
                "at": timestamp(self.clock.now()),
                "run_id": self.run_id,
                "actor": self._actor,
                "origin": self._origin,
                "event": kind,
                "resource": resource,
                "success": success,
                "detail": detail,
            }
        )
        self._head = chain.link_bytes(self._head, body)
        connection.execute(
            insert(events).values(seq=self._events, body=body.decode(), hash=self._head)
        )

    def note(
        self, kind: str, *, resource: str, success: bool = True, **detail: chain.Scalar
    ) -> None:
        """Append an event in a transaction of its own."""
        with self.transaction() as connection:
            self.record(connection, kind, resource=resource, success=success, **detail)

    def remember(self, key: str, value: str) -> None:
        """Keep a small fact for the next run, such as the last good rate."""
        with self.transaction() as connection:
            _put(connection, key, value)

    def recall(self, key: str) -> str | None:
        """Give what `remember` kept under the key, or None."""
        with self.reading() as connection:
            found = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
        return None if found is None else str(found)

    def now_ms(self) -> int:
        """Give the wall clock's time in whole milliseconds since 1970 (UTC)."""
        return int(self.clock.now().timestamp() * 1000)

    def _check_fence(self, connection: Connection) -> None:
        epoch = connection.exec_driver_sql("SELECT max(epoch) FROM runs").scalar() or 0
        if epoch != self.epoch:
            raise VerificationFailed(
                "a later run has taken this ledger over",
                next_step="Look at it with `cardferry status DIR`; only one run may write.",
            )

    def _create_if_empty(self) -> None:
        with self.engine.begin() as connection:
            if inspect(connection).get_table_names():
                return
            metadata.create_all(connection)
            for statement in sqlite_triggers():
                connection.exec_driver_sql(statement)
            _put(connection, "schema_version", str(SCHEMA_VERSION))

    def _check_version(self) -> None:
        with self.engine.connect() as connection:
            if not inspect(connection).has_table("meta"):
                raise VerificationFailed(
                    "this is not a Cardferry ledger",
                    next_step="Name the folder that `cardferry run -o` made.",
                )
            version = connection.execute(
                select(meta.c.value).where(meta.c.key == "schema_version")
            ).scalar_one()
        if version != str(SCHEMA_VERSION):
            raise VerificationFailed(
                "the ledger was written by a newer Cardferry",
                next_step="Install that version, or a later one.",
            )


def _put(connection: Connection, key: str, value: str) -> None:
    changed = connection.execute(update(meta).where(meta.c.key == key).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def _require_same_meaning(connection: Connection, digest: str) -> None:
    known = connection.execute(select(meta.c.value).where(meta.c.key == "settings_digest")).scalar()
    if known == digest:
        return
    unfinished = connection.exec_driver_sql(
        "SELECT 1 FROM rows WHERE state IN ('planned', 'sent', 'ambiguous') LIMIT 1"
    ).first()
    if known is not None and unfinished:
        raise SettingsRefused(
            [
                "vault, export columns or rules differ from those this unfinished migration began with"
            ],
            next_step="Finish it with the old settings, or use another folder.",
        )
    _put(connection, "settings_digest", digest)
