"""Keeps tokens, customers, cards and charges in SQLite: the sandbox's state.

Without a file the database lives in memory and remembers a bounded number of tokens; with one,
every change is committed before its answer leaves, so that killing the process loses nothing that
was answered. A card number or a security code never comes here: a card is what the API shows of
it, plus the failure code that its charges will end with.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.sandbox.records import ObjectRow, TokenRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.sandbox.records import Window

_LAYOUT: Final = 2
_EVICTED_AT_ONCE: Final = 1_000

_SCHEMA: Final = """
CREATE TABLE tokens (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    used INTEGER NOT NULL DEFAULT 0, charge_status TEXT NOT NULL DEFAULT 'unknown',
    failure_code TEXT, card BLOB NOT NULL);
CREATE TABLE objects (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, account TEXT NOT NULL, parent TEXT NOT NULL, created_at TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, hidden BLOB NOT NULL, shown BLOB NOT NULL);
CREATE INDEX objects_by_kind ON objects (account, kind, deleted, created_at, seq);
CREATE INDEX objects_by_parent ON objects (account, parent, kind, deleted, created_at, seq);
CREATE TABLE fingerprint_keys (account TEXT PRIMARY KEY, secret BLOB NOT NULL) WITHOUT ROWID;
"""


_TEXTS: Final = " || ' ' || ".join(
    f"ifnull(json_extract(CAST(shown AS TEXT), '$.{name}'), '')"
    for name in ("email", "description")
)


class StateRefused(Exception):
    """The state's file cannot be used; the message says why."""


class State:
    """The state of every account.

    Args:
        path: The SQLite file; None keeps everything in memory.
        tokens_max: How many tokens the memory keeps, oldest forgotten first; unbounded in a file.

    Raises:
        StateRefused: The file is no state of ours, or another sandbox holds it.
    """

    def __init__(self, path: Path | None, tokens_max: int) -> None:
        self._tokens_max = None if path else tokens_max
        self._fingerprint_keys: dict[str, bytes] = {}
        if path:
            _touch(path)
        # The server may run in a thread of its own, but never in two at once.
        self._db = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False, timeout=1
        )
        try:
            self._open()
        except sqlite3.Error:
            self._db.close()
            raise StateRefused(
                "the state's file is held by another sandbox or is none of this version"
            ) from None

    def _open(self) -> None:
        # One sandbox a file: the lock is the system's, so a killed process leaves none behind.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._db.execute(f"PRAGMA {pragma}")
        with self.transaction():
            layout = self._db.execute("PRAGMA user_version").fetchone()[0]
            if layout == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={_LAYOUT}")
            elif layout != _LAYOUT:
                raise sqlite3.DatabaseError

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside either all or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def fingerprint_key(self, account: str) -> bytes:
        """Give the key of an account's card fingerprints: random, made once, kept with the state.

        So equal numbers have equal fingerprints for as long as the state lives, and nobody who
        knows the account's keys alone can find a number by its fingerprint.
        """
        known = self._fingerprint_keys.get(account)
        if known is None:
            self._db.execute(
                "INSERT OR IGNORE INTO fingerprint_keys VALUES (?, ?)",
                (account, secrets.token_bytes(32)),
            )
            known = self._db.execute(
                "SELECT secret FROM fingerprint_keys WHERE account = ?", (account,)
            ).fetchone()[0]
            self._fingerprint_keys[account] = known
        return known

    def last_id(self) -> str | None:
        """Give the id with the greatest moment of all that were ever kept."""
        rows = [
            self._db.execute(f"SELECT id FROM {table} ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608
            for table in ("tokens", "objects WHERE kind != 'card'")
        ]
        known = [row[0] for row in rows if row]
        return max(known, key=lambda ident: ident.rpartition("_")[2], default=None)

    def add_token(
        self, account: str, ident: str, card: dict[str, Any], failure_code: str | None
    ) -> None:
        """Keep a new token."""
        seq = self._db.execute(
            "INSERT INTO tokens (id, account, failure_code, card) VALUES (?, ?, ?, ?)",
            (ident, account, failure_code, orjson.dumps(card)),
        ).lastrowid
        if self._tokens_max and seq and seq % _EVICTED_AT_ONCE == 0 and seq > self._tokens_max:
            self._db.execute("DELETE FROM tokens WHERE seq <= ?", (seq - self._tokens_max,))

    def token(self, account: str, ident: str) -> TokenRow | None:
        """Give a token, or None when this account has none of that id."""
        row = self._db.execute(
            "SELECT id, used, charge_status, failure_code, card FROM tokens"
            " WHERE id = ? AND account = ?",
            (ident, account),
        ).fetchone()
        return TokenRow(row[0], bool(row[1]), row[2], row[3], orjson.loads(row[4])) if row else None

    def mark_token(self, ident: str, charge_status: str | None, *, used: bool) -> None:
        """Set whether a token is used and, unless None, the status of its charge."""
        self._db.execute(
            "UPDATE tokens SET used = ?, charge_status = coalesce(?, charge_status) WHERE id = ?",
            (used, charge_status, ident),
        )

    def add(self, account: str, parent: str, hidden: dict[str, Any], shown: dict[str, Any]) -> None:
        """Keep a new customer, card or charge."""
        self._db.execute(
            "INSERT INTO objects (id, kind, account, parent, created_at, hidden, shown)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                shown["id"],
                shown["object"],
                account,
                parent,
                shown["created_at"],
                orjson.dumps(hidden),
                orjson.dumps(shown),
            ),
        )

    def get(self, account: str, kind: str, ident: str) -> ObjectRow | None:
        """Give a customer, card or charge, deleted or not; None when there is none."""
        row = self._db.execute(
            "SELECT id, parent, deleted, hidden, shown FROM objects"
            " WHERE id = ? AND account = ? AND kind = ?",
            (ident, account, kind),
        ).fetchone()
        return _object_row(row) if row else None

    def change(self, shown: dict[str, Any], *, deleted: bool = False) -> None:
        """Keep an object's new state."""
        self._db.execute(
            "UPDATE objects SET shown = ?, deleted = ? WHERE id = ?",
            (orjson.dumps(shown), deleted, shown["id"]),
        )

    def delete_children(self, account: str, parent: str) -> None:
        """Mark every card of a customer as deleted."""
        self._db.execute(
            "UPDATE objects SET deleted = 1,"
            " shown = json_set(CAST(shown AS TEXT), '$.deleted', json('true'))"
            " WHERE account = ? AND parent = ? AND kind = 'card' AND deleted = 0",
            (account, parent),
        )

    def window(
        self, account: str, kind: str, parent: str | None, window: Window, text: str = ""
    ) -> tuple[list[ObjectRow], int]:
        """Give the wanted part of a list of what is not deleted, and how many there are in all.

        Args:
            account: Whose.
            kind: `customer`, `card` or `charge`.
            parent: The customer whose cards are wanted; None for any parent.
            window: Which part.
            text: What the e-mail address or the description must hold, or the id be; "" for
                anything.
        """
        where = " FROM objects WHERE account = ? AND kind = ? AND deleted = 0"
        where += " AND created_at BETWEEN ? AND ?"
        what: list[object] = [account, kind, window.since, window.until]
        # A condition that is not needed stays away, or no index would serve the others.
        if parent is not None:
            where += " AND parent = ?"
            what.append(parent)
        if text:
            where += f" AND (id = ? OR instr(lower({_TEXTS}), lower(?)))"
            what += [text, text]
        order = "DESC" if window.newest_first else "ASC"
        in_order = f" ORDER BY created_at {order}, seq {order}"
        rows = self._db.execute(
            "SELECT id, parent, deleted, hidden, shown FROM objects WHERE seq IN (SELECT seq"  # noqa: S608 - fixed texts only.
            + where
            + in_order
            + " LIMIT ? OFFSET ?)"
            + in_order,
            (*what, window.limit, window.offset),
        ).fetchall()
        total = window.offset + len(rows)
        if not 0 < len(rows) < window.limit:
            # Only a part that ends the list, as most lists of cards do, tells how long it is.
            total = self._db.execute("SELECT count(*)" + where, what).fetchone()[0]
        return [_object_row(row) for row in rows], total

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _touch(path: Path) -> None:
    """Make the file, readable by its owner only, when it is not there.

    Raises:
        StateRefused: It cannot be made or opened.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        raise StateRefused("the state's file cannot be opened") from None


def _object_row(row: tuple[str, str, int, bytes, bytes]) -> ObjectRow:
    return ObjectRow(row[0], row[1], bool(row[2]), orjson.loads(row[3]), orjson.loads(row[4]))
