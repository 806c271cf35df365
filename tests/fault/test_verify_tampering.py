"""Whatever is changed in a published migration is found, and the right file is named."""

import random
import re
import shutil
import sqlite3
from itertools import product

import pytest

from pipeline.outputs.files import OUTPUT_NAMES
from tests.support.folders import (
    SIGNED_NAMES,
    found_in,
    migrations,
    public_pem,
    published,
    without_rules,
)
from tests.support.sampled import sampled

SAMPLED_OFFSETS = 4
ALL_OFFSETS = 1_000
LINES = ("failures.csv", "trail.jsonl", "report.json", "report.html", "manifest.json")
CELLS = (
    ("rows", "legacy_id", "'cus_other'", "state = 'tokenized' AND superseded_by IS NULL"),
    ("rows", "last_digits", "'9876'", "state = 'tokenized' AND superseded_by IS NULL"),
    ("rows", "expiration_year", "2040", "state = 'tokenized'"),
    ("rows", "code", "'malformed_row'", "code = 'undecodable_text'"),
    ("rows", "attempts", "7", "state = 'rejected'"),
    ("rows", "unknowns", "0", "unknowns > 0"),
    ("rows", "request_id", "'req-0'", "request_id IS NOT NULL"),
    ("rows", "last_digits", "'9876'", "state = 'already_tokenized'"),
    ("exports", "signer", "'somebody'", "id = 1"),
    ("runs", "facts", "'{}'", "epoch = 1"),
    ("meta", "value", "'[\"column\"]'", "key = 'carry' OR key = 'settings_digest'"),
)
STATEMENTS = (
    "DELETE FROM outcomes WHERE attempt_id = 9",
    "UPDATE outcomes SET latency_us = latency_us + 1 WHERE attempt_id = 9",
    "DELETE FROM attempts WHERE id = 9",
    "DELETE FROM rows WHERE id = 10000000026",
    "INSERT INTO rows (id, legacy_id, state) VALUES (10000000999, 'cus_x', 'planned')",
    "DROP TRIGGER refuse_delete_on_tokens",
    "UPDATE events SET body = replace(body, 'somchai', 'somebody') WHERE seq = 2",
    "DELETE FROM events WHERE seq = 3",
    "UPDATE events SET seq = -1 WHERE seq = 1",
    "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
)


def flipped(path, offset, bit):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def flip_and_verify(folder, name, count, key):
    """Flip single bits, one after another, and give what verification missed."""
    seed = random.Random(f"{name} {count}")
    path = folder / name
    original = path.read_bytes()
    missed = []
    for _ in range(count):
        offset, bit = seed.randrange(len(original)), seed.randrange(8)
        flipped(path, offset, bit)
        found = found_in(folder, key=key)
        if not found or found[0].file != name:
            missed.append((offset, bit, [str(difference) for difference in found]))
        path.write_bytes(original)
    return missed


@pytest.mark.parametrize("name", sampled(SIGNED_NAMES, 3))
def test_one_flipped_bit_is_found_and_its_file_named(tmp_path, name):
    """A single flipped bit anywhere in an output is found without any key."""
    folder = published(tmp_path / "migration")

    assert flip_and_verify(folder, name, SAMPLED_OFFSETS, None) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNED_NAMES)
@pytest.mark.timeout(3600)
def test_one_flipped_bit_at_a_thousand_places_is_found(tmp_path, name):
    """The same at a thousand places, with the public key."""
    folder = published(tmp_path / "migration")

    assert flip_and_verify(folder, name, ALL_OFFSETS, public_pem()) == []


@pytest.mark.parametrize("name", [n for n in OUTPUT_NAMES if n.endswith(("csv", "json", "jsonl"))])
def test_the_place_of_a_flipped_bit_is_its_very_byte_and_line(tmp_path, name):
    """The place that is named is where the bit was flipped."""
    folder = published(tmp_path / "migration")
    content = (folder / name).read_bytes()
    offset = len(content) // 2
    flipped(folder / name, offset, 1)
    line = 1 + content[:offset].count(b"\n")

    assert found_in(folder)[0].place == f"byte {offset + 1}, line {line}"


@pytest.mark.parametrize(
    ("name", "change"), sampled(product(LINES, ["drop", "swap", "double", "cut", "append"]), 6)
)
def test_lines_that_were_moved_are_found(tmp_path, name, change):
    """A line dropped, swapped or doubled, and a tail cut or grown, is found."""
    folder = published(tmp_path / "migration")
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    at = len(lines) // 2
    changed = {
        "drop": [*lines[:at], *lines[at + 1 :]],
        "swap": [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
        "double": [*lines[: at + 1], *lines[at:]],
        "cut": lines[:-1],
        "append": [*lines, lines[-1]],
    }[change]
    (folder / name).write_bytes(b"".join(changed))

    assert found_in(folder)[0].file == name


@pytest.mark.parametrize(
    ("name", "change"), sampled(product(SIGNED_NAMES, ["missing", "empty", "half"]), 8)
)
def test_files_that_are_gone_or_cut_are_found(tmp_path, name, change):
    """A file that is missing, empty or half is named."""
    folder = published(tmp_path / "migration")
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if change != "missing":
        (folder / name).write_bytes(b"" if change == "empty" else content[: len(content) // 2])

    assert found_in(folder)[0].file == name


@pytest.mark.parametrize("names", [("manifest.json",), ("manifest.json", "manifest.json.sig")])
def test_an_old_manifest_put_back_is_found(tmp_path, names):
    """An older manifest, with its own valid signature or without, is named as an older one."""
    folder = published(tmp_path / "migration")
    for name in names:
        shutil.copy(migrations().first / name, folder / name)
    found = found_in(folder, key=public_pem())

    assert found[0].file == "manifest.json"
    assert "older manifest" in found[0].problem


def test_the_whole_old_set_put_back_is_found(tmp_path):
    """All outputs of an earlier run with their manifest and signature do not pass for new ones."""
    folder = published(tmp_path / "migration")
    for name in SIGNED_NAMES:
        if (migrations().first / name).exists():
            shutil.copy(migrations().first / name, folder / name)
    found = found_in(folder, key=public_pem())

    assert found[0].file == "manifest.json"
    assert "older manifest" in found[0].problem


def test_a_ledger_put_back_under_newer_files_is_found(tmp_path):
    """A ledger that was rolled back is named, and not the files that are newer."""
    folder = published(tmp_path / "migration")
    shutil.copy(migrations().first / "ledger.sqlite", folder / "ledger.sqlite")

    assert {d.file for d in found_in(folder, key=public_pem())} == {"ledger.sqlite"}


def sql(folder, *statements):
    """Change a ledger as the sqlite3 program would, past every trigger."""
    with without_rules(folder) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(("table", "column", "value", "where"), sampled(CELLS, 3))
def test_a_cell_changed_in_the_ledger_is_found(tmp_path, table, column, value, where):
    """A value changed by plain SQL, its triggers put back after it, is found."""
    folder = published(tmp_path / "migration")
    key = "key" if table == "meta" else "rowid"
    one = f"{key} = (SELECT min({key}) FROM {table} WHERE {where})"  # noqa: S608
    sql(folder, f"UPDATE {table} SET {column} = {value} WHERE {one}")  # noqa: S608

    assert {difference.file for difference in found_in(folder)} == {"ledger.sqlite"}


def test_the_row_and_column_of_a_changed_cell_are_named(tmp_path):
    """The place says which row of which export, and the column."""
    folder = published(tmp_path / "migration")
    sql(folder, "UPDATE tokens SET token_id = 'tokn_test_other' WHERE row_id = 10000000050")

    assert found_in(folder)[0].place == "source row 50, column token_id"


@pytest.mark.parametrize("statement", sampled(STATEMENTS, 2, 1))
def test_a_row_taken_or_put_into_the_ledger_is_found(tmp_path, statement):
    """Rows, events and rules that are gone, new or changed are found."""
    folder = published(tmp_path / "migration")
    if statement.startswith("DROP"):
        with sqlite3.connect(folder / "ledger.sqlite") as connection:
            connection.execute(statement)
        connection.close()
    else:
        sql(folder, "PRAGMA foreign_keys = OFF", statement)

    assert found_in(folder)


def said_by(statement):
    """Give a statement of a dump, with a tab for a carriage return between the words of a table or a rule.

    SQLite keeps the text of what made a table, and takes either for the same blank between two words;
    no other bit turns a blank of such a text into another blank. Within quotes, and in every value, a
    blank counts.
    """
    if not statement.startswith("CREATE "):
        return statement
    parts = re.split("""('[^']*'|"[^"]*")""", statement)
    parts[::2] = [words.replace("\r", "\t") for words in parts[::2]]
    return "".join(parts)


def dump(path):
    """Give all that a ledger says, or None if it cannot be read."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return "\n".join(map(said_by, connection.iterdump()))
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def flip_ledger(folder, count):
    seed = random.Random(count)
    path = folder / "ledger.sqlite"
    original, said = path.read_bytes(), dump(path)
    missed = []
    for _ in range(count):
        offset, bit = seed.randrange(len(original)), seed.randrange(8)
        flipped(path, offset, bit)
        found = found_in(folder)
        if found and found[0].file != "ledger.sqlite":
            missed.append((offset, bit, [str(difference) for difference in found]))
        if not found and dump(path) != said:
            missed.append((offset, bit, []))
        path.write_bytes(original)
    return missed


def test_a_flipped_bit_in_the_ledger_is_found_or_says_nothing(tmp_path):
    """A bit flipped in the ledger's file is found, unless no word of the ledger changes by it."""
    assert flip_ledger(published(tmp_path / "migration"), SAMPLED_OFFSETS) == []


def test_a_tab_that_became_a_carriage_return_in_the_text_of_a_table_says_nothing(tmp_path):
    """Of all bits of that text it is the only kind that leaves a blank a blank; it is no difference."""
    path = published(tmp_path / "migration") / "ledger.sqlite"
    content, said = path.read_bytes(), dump(path)
    words = b"brand TEXT NOT NULL, \n\tfingerprint TEXT, \n\tcountry TEXT"
    places = [
        found.start() + words.index(b"\t") for found in re.finditer(re.escape(words), content)
    ]
    for offset in places:
        flipped(path, offset, 2)

    assert places
    assert path.read_bytes().count(words.replace(b"\t", b"\r", 1)) == len(places)
    assert found_in(path.parent) == []
    assert dump(path) == said


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_flipped_bit_at_a_thousand_places_of_the_ledger(tmp_path):
    """The same at a thousand places."""
    assert flip_ledger(published(tmp_path / "migration"), ALL_OFFSETS) == []


def test_an_untouched_migration_verifies(tmp_path):
    """Nothing is found where nothing was changed; else every test above would mean nothing."""
    assert found_in(published(tmp_path / "migration"), key=public_pem()) == []
