"""CSV for people: RFC 4180 to the letter, and no cell that a spreadsheet would run."""

import csv
import io

from pipeline.outputs.csv_text import csv_block

TEXTS = (
    "plain",
    "",
    "a,b",
    'a "b"',
    "line\nfeed",
    "lone\rreturn",
    " blank ",
    "ไทย",
    "a;b",
    "-",
    "x=1",
)


def test_a_block_of_columns_is_written_as_pythons_own_writer_would():
    """Commas, quotes and line ends are quoted, nothing else is, and None is an empty field."""
    texts = [text for text in TEXTS if text != "-"]
    columns = [texts, list(range(len(texts))), [None] * len(texts)]
    wanted = io.StringIO(newline="")
    csv.writer(wanted, lineterminator="\r\n").writerows(zip(*columns, strict=True))

    assert csv_block(columns) == wanted.getvalue().encode()


def test_a_cell_that_a_spreadsheet_runs_begins_with_an_apostrophe():
    """Signs that start a formula lose their power, numbers below zero and truths stay as they are."""
    signs = list("=+-@\t\r\0\uff1d\uff0b\uff0d\uff20")
    columns = [[sign + "1" for sign in signs], [-1] * len(signs), [True] * len(signs)]

    rows = list(csv.reader(io.StringIO(csv_block(columns).decode(), newline="")))

    assert [row[0] for row in rows] == ["'" + sign + "1" for sign in signs]
    assert {tuple(row[1:]) for row in rows} == {("-1", "true")}
