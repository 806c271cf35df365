"""A thousand folders that somebody changed, by SQL, by file tools or by our own writer: each is found."""

import json
import os
import random
import shutil
import sqlite3
from contextlib import closing, suppress

import pytest

from pipeline import hashing
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from tests.support.folders import (
    SIGNED_NAMES,
    found_in,
    migrations,
    public_pem,
    publish_as_forger,
    published,
    signer_of,
    unchecked,
    without_rules,
)
from tests.support.ledgers import FACTS, StepClock

FEW, MANY, PARTS = 10, 1_000, 10
HISTORY = ("events", "outcomes", "attempts", "tokens", "rows", "exports", "runs", "versions")
VALUES = ("0", "1", "-1", "'x'", "''", "NULL", "'4242'", "x'00'", "9223372036854775807")


def changed_by(folder, statements):
    """Run SQL on a ledger with its triggers away; False if no row was changed by it."""
    with without_rules(folder) as connection:
        before = "\n".join(connection.iterdump())
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            with suppress(sqlite3.Error):
                connection.execute(statement)
        return before != "\n".join(connection.iterdump())


def a_cell(folder, chance):
    """Change one cell of one row of a table."""
    table = chance.choice(HISTORY)
    connection = sqlite3.connect(folder / "ledger.sqlite")
    columns = [c[1] for c in connection.execute(f"PRAGMA table_info({table})")]
    rowids = [r for (r,) in connection.execute(f"SELECT rowid FROM {table}")]  # noqa: S608
    connection.close()
    column, rowid = chance.choice(columns), chance.choice(rowids)
    value = chance.choice(VALUES)
    statement = f"UPDATE {table} SET {column} = {value} WHERE rowid = {rowid}"  # noqa: S608
    return changed_by(folder, [statement])


def two_tokens(folder, chance):
    """Give two customers each other's token."""
    connection = sqlite3.connect(folder / "ledger.sqlite")
    rows = connection.execute("SELECT row_id, token_id, card_id FROM tokens").fetchall()
    connection.close()
    (one, token_1, card_1), (other, token_2, card_2) = chance.sample(rows, 2)
    swap = "UPDATE tokens SET token_id = '{}', card_id = '{}' WHERE row_id = {}"
    return changed_by(
        folder,
        [
            swap.format("for a moment", card_1, one),
            swap.format(token_1, card_1, other),
            swap.format(token_2, card_2, one),
        ],
    )


def a_row_away(folder, chance):
    """Take one row out of a table."""
    table = chance.choice(HISTORY)
    connection = sqlite3.connect(folder / "ledger.sqlite")
    rowids = [r for (r,) in connection.execute(f"SELECT rowid FROM {table}")]  # noqa: S608
    connection.close()
    statement = f"DELETE FROM {table} WHERE rowid = {chance.choice(rowids)}"  # noqa: S608
    return changed_by(folder, [statement])


def a_rule(folder, chance):
    """Add, drop or rename a rule of the schema."""
    connection = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    names = [
        n for (n,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
    ]
    if chance.random() < 0.5:
        connection.execute(f"DROP TRIGGER {chance.choice(names)}")
    else:
        name = chance.choice(("sqliteevil", "rows_quietly", "x"))
        connection.execute(f"CREATE TRIGGER {name} AFTER UPDATE ON rows BEGIN SELECT 1; END")
    connection.close()
    return True


def an_event(folder, chance):
    """Change who did something, and hash the whole chain anew after it."""
    with without_rules(folder) as connection:
        bodies = connection.execute("SELECT body FROM events ORDER BY seq")
        events = [json.loads(body) for (body,) in bodies]
        last = len(events) - 1
        events[chance.randrange(last)]["actor"] = "mallory"
        head = hashing.GENESIS
        for event in events:
            body = hashing.canonical(event)
            head = hashing.link_bytes(head, body)
            connection.execute(
                "UPDATE events SET body = ?, hash = ? WHERE seq = ?",
                (body.decode(), head, event["seq"]),
            )
    return True


def a_bit(folder, chance):
    """Flip one bit of a file."""
    path = folder / chance.choice(SIGNED_NAMES)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return True


def a_file(folder, chance):
    """Take a file away, cut it, make it longer, or put a link, a pipe or a folder in its place."""
    path = folder / chance.choice(SIGNED_NAMES)
    content = path.read_bytes()
    path.unlink()
    kind = chance.randrange(6)
    if kind == 1:
        path.write_bytes(content[: chance.randrange(len(content))])
    elif kind == 2:
        path.write_bytes(content + chance.randbytes(9))
    elif kind == 3:
        (folder / "beside").write_bytes(content)
        path.symlink_to(folder / "beside")
    elif kind == 4:
        os.mkfifo(path)
    elif kind == 5:
        path.mkdir()
    return True


def an_older_file(folder, chance):
    """Put one or several files of the earlier publication back."""
    names = [n for n in (*SIGNED_NAMES, "ledger.sqlite") if (migrations().first / n).exists()]
    different = [
        n for n in names if (migrations().first / n).read_bytes() != (folder / n).read_bytes()
    ]
    for name in chance.sample(different, chance.randint(1, len(different) - 1)):
        shutil.copy(migrations().first / name, folder / name)
    return True


def our_own_writer(folder, chance):
    """Change the ledger and let our own publisher write everything anew, signed by another key."""
    if not chance.choice((a_cell, two_tokens, a_row_away))(folder, chance):
        return False
    try:
        publish_as_forger(folder, key=signer_of(b"the key of somebody else entirely"[:32]))
    except Exception:  # noqa: BLE001 - a ledger that our writer cannot write from is changed enough.
        return True
    return True


def a_forged_run(folder, chance):
    """Change a row of what was settled, and write a run after it that did nothing."""
    column = chance.choice(("code", "field", "hint", "vault_code", "request_id", "unknowns"))
    settled = "SELECT id FROM rows WHERE state NOT IN ('planned', 'sent', 'ambiguous')"
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        ids = [row for (row,) in connection.execute(f"{settled} AND code IS NOT 'filtered'")]
    value = f"{column} + 1" if column == "unknowns" else "'x'"
    statement = f"UPDATE rows SET {column} = {value} WHERE id = {chance.choice(ids)}"  # noqa: S608
    is_changed = changed_by(folder, [statement])
    with unchecked(), closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.begin_run("20261121T083000Z-0badc0de", FACTS, FACTS["settings_digest"])
        ledger.end_run(0, {})
    return is_changed


KINDS = (
    *(a_cell, two_tokens, a_row_away, a_rule, an_event),
    *(a_bit, a_file, an_older_file, our_own_writer, a_forged_run),
)


def missed_of(count, folder, first=0):
    """Manipulate a folder again and again, and give what verification with the key missed.

    The events of the last publication itself no manifest covers: who changed one of them is found
    by whoever kept the hash that the run printed, and by nobody else.
    """
    missed, made = [], 0
    published(folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        (head,) = ledger.execute("SELECT hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    for number in range(first, first + count * 2):
        chance = random.Random(f"manipulation {number}")
        kind = KINDS[number % len(KINDS)]
        shutil.rmtree(folder, ignore_errors=True)
        published(folder)
        if not kind(folder, chance):
            continue
        made += 1
        is_found = found_in(folder, key=public_pem()) or found_in(folder, head=head)
        if not is_found:
            missed.append((number, kind.__name__))
        if made == count:
            break
    return made, missed


def test_a_folder_that_somebody_changed_is_found(tmp_path):
    """One of each kind."""
    assert missed_of(FEW, tmp_path / "migration") == (FEW, [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_folders_that_somebody_changed_are_found(tmp_path, part):
    """A thousand, by SQL, file tools and our own writer, a hundred in each part."""
    count = MANY // PARTS
    assert missed_of(count, tmp_path / "migration", part * MANY) == (count, [])


def test_a_whole_folder_that_was_put_back_is_found_by_the_hash(tmp_path):
    """All files of an earlier state together verify; whoever kept the later hash finds it."""
    head = json.loads((migrations().second / "manifest.json").read_bytes())["chain"]["head"]
    shutil.copytree(migrations().first, tmp_path / "back")

    assert found_in(tmp_path / "back", key=public_pem()) == []
    assert found_in(tmp_path / "back", key=public_pem(), head=head)
