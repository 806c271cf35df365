"""The search of files and folders: every kind of file, and what is not a file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import sqlite3
import tarfile
import zipfile
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cards.scan import ScanTotals, scan
from pipeline.cards.scan_streams import Unpacking, search_packed
from tests.support.canaries import make_number

NUMBER = make_number(Random(3))


def found(path, totals=None):
    return [(finding.place, finding.encoding) for finding in scan([path], totals)]


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array(["", NUMBER]),
        pa.array([b"", NUMBER.encode()]),
        pa.array(["", NUMBER]).dictionary_encode(),
        pa.array([0, int(NUMBER)]),
        pa.array([None, -int(NUMBER)]),
        pa.array([0, int(NUMBER)], pa.uint64()),
        pa.array([0.5, float(NUMBER)]),
        pa.array([None, Decimal(NUMBER)]),
        pa.array([[], ["x", NUMBER]]),
        pa.array([None, {"card": {"number": NUMBER}}]),
        pa.array([[], [("number", NUMBER)]], pa.map_(pa.string(), pa.string())),
    ],
    ids=lambda column: f"{column.type}-{column.null_count}",
)
def test_a_number_is_found_in_every_type_of_parquet_column(tmp_path, column, compression):
    """Cells are searched decoded, and placed by row and column."""
    path = tmp_path / "cells.parquet"
    table = pa.table({"id": ["a", "b"], "value": column})
    pq.write_table(table, path, compression=compression)

    assert found(path) == [("row 2, column 2", "plain")]


def test_a_number_in_the_metadata_of_a_parquet_file_is_found(tmp_path):
    """Key-value metadata is searched too."""
    path = tmp_path / "metadata.parquet"
    table = pa.table({"id": ["a"]}).replace_schema_metadata({"note": NUMBER})
    pq.write_table(table, path)

    assert ("metadata", "plain") in found(path)


def test_a_damaged_parquet_file_is_searched_as_bytes_and_reported(tmp_path):
    """What cannot be decoded is no clean bill."""
    path = tmp_path / "damaged.parquet"
    path.write_bytes(b"PAR1 " + NUMBER.encode() + b" no footer")
    totals = ScanTotals()

    assert found(path, totals) == [("byte 5", "plain")]
    assert [(str(path), "damaged or encrypted Parquet")] == totals.troubles


def database(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    # Some builds wipe what they delete; the search must not rely on that.
    connection.execute("PRAGMA secure_delete=OFF")
    for statement, *values in statements:
        connection.execute(statement, values)
    return connection


TABLE = ("CREATE TABLE cards (name TEXT, number, month TEXT)",)
ROW = "INSERT INTO cards VALUES ('SOMCHAI', ?, '12')"


@pytest.mark.parametrize("value", [NUMBER, int(NUMBER), float(NUMBER), NUMBER.encode()])
def test_a_number_is_found_in_a_living_record(tmp_path, value):
    """Records are taken apart: the month beside a number does not hide it."""
    path = tmp_path / "living.sqlite"
    with closing(database(path, TABLE, (ROW, value))):
        pass

    assert found(path) == [("page 2", "plain")]


KEYED = ("CREATE TABLE keyed (number INTEGER PRIMARY KEY, month TEXT)",)
KEYED_ROW = "INSERT INTO keyed VALUES (?, ?)"


@pytest.mark.parametrize("number", [int(NUMBER), -int(NUMBER)])
@pytest.mark.parametrize("ending", ["", " WITHOUT ROWID"])
def test_a_number_is_found_that_is_the_key_of_a_table(tmp_path, number, ending):
    """Such a key is no value of its record, which has NULL in its place, but stands before it."""
    path = tmp_path / "keyed.sqlite"
    with closing(database(path, (KEYED[0] + ending,), (KEYED_ROW, number, "12"))):
        pass

    assert found(path) == [("page 2", "plain")]


def test_a_number_is_found_that_only_parts_two_pages_of_a_table(tmp_path):
    """The inner page keeps the key of a row that was deleted."""
    path = tmp_path / "parted.sqlite"
    keys = (1, int(NUMBER), int(NUMBER) + 1, int(NUMBER) + 2)
    rows = [(KEYED_ROW, key, "x" * 1_800) for key in keys]
    delete = ("DELETE FROM keyed WHERE number = ?", int(NUMBER))
    with closing(database(path, KEYED, *rows, delete)):
        pass

    assert found(path) == [("page 2", "plain")]


def test_a_number_is_found_that_is_a_key_in_the_first_page(tmp_path):
    """The first page begins with a header of the database, and is taken apart by itself."""
    path = tmp_path / "first.sqlite"
    schema = "INSERT INTO sqlite_schema (rowid, type, name, tbl_name) VALUES (?, 'x', 'y', 'z')"
    with closing(database(path, ("PRAGMA writable_schema=ON",), (schema, int(NUMBER)))):
        pass

    assert found(path) == [("page 1", "plain")]


@pytest.mark.parametrize("ending", [("DELETE FROM cards",), ("DROP TABLE cards",)])
def test_a_deleted_number_is_found(tmp_path, ending):
    """Free pages and the gaps inside pages keep what was deleted."""
    path = tmp_path / "deleted.sqlite"
    with closing(database(path, TABLE, (ROW, NUMBER), ending)):
        pass
    places = {place for place, _ in found(path)}

    assert {"page 2"} == places


def test_a_number_is_found_in_a_write_ahead_log(tmp_path):
    """Page images in a WAL are taken apart like pages."""
    path = tmp_path / "ahead.sqlite"
    with closing(database(path, ("PRAGMA journal_mode=WAL",), TABLE, (ROW, NUMBER))):
        places = found(tmp_path / "ahead.sqlite-wal")

    assert places == [("page 2", "plain")]


def test_a_number_is_found_in_a_rollback_journal(tmp_path):
    """A transaction that is under way leaves the old pages beside the database."""
    path = tmp_path / "back.sqlite"
    with closing(database(path, TABLE, (ROW, NUMBER), ("PRAGMA cache_size=1",))) as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM cards")
        connection.execute("CREATE TABLE filler (text)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("z" * 500,)] * 500)
        places = found(tmp_path / "back.sqlite-journal")

    assert places == [("page 2", "plain")]


def test_an_id_beside_last_digits_is_no_number(tmp_path):
    """Neighbouring columns do not join to a number that nobody wrote."""
    path = tmp_path / "neighbours.sqlite"
    split = "CREATE TABLE cards (id TEXT, last_digits TEXT)"
    row = "INSERT INTO cards VALUES (?, ?)"
    with closing(database(path, (split,), (row, NUMBER[:-4], NUMBER[-4:]))):
        pass

    assert not found(path)


def test_a_file_that_only_begins_like_a_database_is_searched_as_bytes(tmp_path):
    """A false head hides nothing."""
    path = tmp_path / "false.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 100 + NUMBER.encode())

    assert found(path) == [("byte 116", "plain")]


def test_a_page_of_nonsense_hides_nothing(tmp_path):
    """A damaged page is searched as bytes, cells or not."""
    path = tmp_path / "nonsense.sqlite"
    with closing(database(path, TABLE)):
        pass
    pages = bytearray(path.read_bytes())
    pages[4096:] = b"\x0d\0\0\xff\xff" + Random(1).randbytes(1000) + NUMBER.encode() + bytes(3076)
    path.write_bytes(pages)

    assert found(path) == [("page 2", "deleted record")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_number_is_found_in_a_packed_file(tmp_path, pack):
    """Packed files are unpacked while they are read."""
    path = tmp_path / "packed"
    path.write_bytes(pack(b"." * 100 + NUMBER.encode()))

    assert found(path) == [("unpacked byte 100", "plain")]


def test_a_number_is_found_in_the_members_of_archives(tmp_path):
    """Members of a zip are searched, packed ones inside it too, and so is a packed tar."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plain.txt", NUMBER)
        archive.writestr("packed.gz", gzip.compress(NUMBER.encode()))
    member = tarfile.TarInfo("plain.txt")
    member.size = len(NUMBER)
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(NUMBER.encode()))

    assert [place for place, _ in found(tmp_path)] == [
        "member 1 byte 0",
        "member 2 unpacked byte 0",
        "unpacked byte 512",
    ]


def test_a_truncated_packed_file_is_searched_as_far_as_it_goes(tmp_path):
    """What stands before the damage is found, and the damage is reported."""
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(NUMBER.encode() + b"\n" + Random(1).randbytes(50_000))[:30_000])
    totals = ScanTotals()

    assert ("unpacked byte 0", "plain") in found(path, totals)
    assert [(str(path), "damaged or locked inside")] == totals.troubles


def test_unpacking_stops_at_its_limit():
    """A file that unpacks to more than allowed is left, with a trouble."""
    bomb = io.BytesIO(gzip.compress(bytes(1 << 22)))
    allowance = Unpacking(bytes_left=1 << 20)

    assert not list(search_packed(bomb, allowance))
    assert allowance.troubles == ["unpacks to more than the limit"]


def test_a_number_in_a_file_name_is_found_and_masked(tmp_path):
    """A path is never a way to print a number."""
    (tmp_path / f"card {NUMBER}.txt").touch()
    [finding] = scan([tmp_path])

    assert finding.place == "file name"
    assert NUMBER not in finding.path
    assert finding.path.endswith(f"{NUMBER[-4:]}.txt")


def test_links_pipes_and_sockets_are_counted_and_not_opened(tmp_path):
    """A pipe would hang the search and a link could lead anywhere."""
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
        totals = ScanTotals()
        findings = list(scan([tmp_path], totals))

    assert not findings
    assert (totals.files, totals.skipped, totals.troubles) == (0, 3, [])


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_that_is_asked_about_is_a_trouble(tmp_path, kind):
    """What is named and cannot be searched is no clean bill; what a folder holds besides may be."""
    path = Path("/dev/null") if kind == "device" else tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(path)
    totals = ScanTotals()

    assert [] == list(scan([path], totals))
    assert [(str(path), "neither a file nor a folder")] == totals.troubles


def test_files_are_counted_with_their_bytes(tmp_path):
    """The totals say how much was searched."""
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "deep" / "down" / "a.txt").write_text("12345")
    (tmp_path / "b.txt").write_text(f"{NUMBER}\n{NUMBER}\n")
    totals = ScanTotals()
    list(scan([tmp_path], totals))

    assert (2, 5 + 2 * len(NUMBER) + 2, 2) == (totals.files, totals.bytes, totals.findings)


def test_a_file_that_goes_away_is_a_trouble(tmp_path):
    """What could not be searched is never silently clean."""
    totals = ScanTotals()
    list(scan([tmp_path / "gone"], totals))

    assert [(str(tmp_path / "gone"), "No such file or directory")] == totals.troubles
