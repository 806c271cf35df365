"""A later reading begins in the middle of an export, with the very rows that the first one gave."""

import gzip
import random
from dataclasses import replace
from unittest.mock import patch

import pytest

from pipeline.config.policies import Multiline, Quoting
from pipeline.exports import reading_points, record_cursor, text_lines
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.packing.unpack import Unpacking
from pipeline.exports.reader import read
from pipeline.exports.reading_points import NeededRows, PointsMisfit, ReadingPoint, ReadingPoints

COLUMNS = {
    "legacy_id": "id",
    "number": "number",
    "name": "name",
    "expiration_month": "month",
    "expiration_year": "year",
}
EVERY = 40
CHUNK = 25
ROWS = 900


@pytest.fixture(autouse=True)
def small_steps():
    """Batches of two kilobytes and a place every forty rows, so that small exports have many."""
    with (
        patch.object(text_lines, "_BATCH_BYTES", 2048),
        patch.object(record_cursor, "ROWS_BETWEEN", EVERY),
    ):
        yield


def line(n, name="Ann Lee"):
    return f"id-{n},4242424242424242,{name},12,2030"


def rows(of=line, ends="\n"):
    return ends.join(["id,number,name,month,year", *map(of, range(1, ROWS + 1)), ""])


def odd(n):
    """Give a row as exports have them: noted over lines, malformed, too long, unclosed, blank."""
    kinds = {
        0: line(n, '"Ann\nof the hill\r\nLee"'),
        3: "only,three,fields",
        5: line(n, "A" * 3_000),
        7: line(n, '"Ann Lee'),
        8: line(n, 'Ann "the" Lee'),
        11: line(n) + "\n\n,,,,",
        13: line(n, "Ann\x01Lee"),
    }
    return kinds.get(n % 17, line(n))


def quoted(n):
    return line(n, '"Ann ""the"" Lee,\nof the hill"' if n % 3 else '"Lee, Ann"')


def json_line(n):
    cards = ", ".join(
        f'{{"id": "id-{n}-{c}", "number": "4242424242424242", "name": "Ann", "month": 1, "year": 2030}}'
        for c in range(n % 4)
    )
    return f'{{"cards": [{cards}]}}' if n % 31 else "no object"


FORMS = {
    "plain": (rows().encode(), {}),
    "odd rows": (rows(odd).encode(), {"row_bytes_max": 1_000}),
    "quoted over lines": (rows(quoted).encode(), {"multiline": Multiline.ALWAYS}),
    "stray quotes": (
        rows(lambda n: line(n, '"' if n % 5 else "O'Hara")).replace(",", "\t").encode(),
        {"delimiter": "\t", "quoting": Quoting.NONE},
    ),
    "one delimiter more": (rows(lambda n: line(n) + ",").encode(), {}),
    "old Mac": (rows(ends="\r").encode(), {}),
    "UTF-16 with a mark": (rows(lambda n: line(n, "Ann Łee")).encode("utf-16"), {}),
    "UTF-8 with a mark": (rows(lambda n: line(n, "Zoë")).encode("utf-8-sig"), {}),
    "cp874": (rows(lambda n: line(n, "สมชาย")).encode("cp874"), {"encoding": "cp874"}),
    "no header": (
        "\n".join(map(line, range(1, ROWS))).encode(),
        {"header": False, "columns": dict(zip(COLUMNS, "12345", strict=True))},
    ),
    "JSON lines": (
        "\n".join(map(json_line, range(1, ROWS))).encode(),
        {"format": "jsonl", "records": "cards.*"},
    ),
}


def pieces(plain, seed):
    """Cut an export as no other reading does."""
    chance, at = random.Random(seed), 0
    while at < len(plain):
        size = chance.randint(1, 5_000)
        yield plain[at : at + size]
        at += size


def whole(plain, options):
    """Read everything; give the chunks, with their numbers as texts, and the places."""
    given = read(pieces(plain, 1), options)
    chunks = []
    while True:
        try:
            chunks.append(shown(next(given)))
        except StopIteration as end:
            return chunks, end.value


def shown(chunk):
    numbers = [chunk.numbers.reveal(place) for place in range(len(chunk.rows))]
    return (
        (chunk.first_row, chunk.last_row),
        chunk.rows.tolist(),
        dict(chunk.columns),
        numbers,
        chunk.rejections,
    )


def options_of(form):
    plain, changes = FORMS[form]
    return plain, ReaderOptions(**{"columns": COLUMNS, "chunk_rows": CHUNK} | changes)


@pytest.mark.parametrize("form", FORMS)
def test_any_needed_rows_come_as_in_the_first_reading(form):
    """Whatever is left out, what comes is chunk by chunk what the first reading gave."""
    plain, options = options_of(form)
    chunks, points = whole(plain, options)
    last = chunks[-1][0][1]
    found = points.fitting(options)
    assert len(found) >= last // (EVERY * 4)
    for seed in range(12):
        chance = random.Random(seed)
        wanted = sorted(chance.sample(range(1, last + 1), chance.randint(1, 4)))
        needed = NeededRows(lambda row, w=wanted: next((n for n in w if n >= row), None), found)
        with_any = [c for c in chunks if any(c[0][0] <= n <= c[0][1] for n in wanted)]

        assert [shown(c) for c in read(pieces(plain, seed), options, needed)] == with_any


def test_what_is_not_needed_is_not_read_as_rows():
    """Of nine hundred rows of which the last is needed, the places leave a small part to be read."""
    plain, options = options_of("plain")
    _, points = whole(plain, options)
    needed = NeededRows(lambda row: ROWS if row <= ROWS else None, points.fitting(options))

    with patch.object(
        record_cursor, "joined", side_effect=record_cursor.joined, autospec=True
    ) as counted:
        (chunk,) = read([plain], options, needed)

    read_rows = sum(block.count for call in counted.call_args_list for block in call.args[0])
    assert chunk.last_row == ROWS
    assert read_rows < EVERY + 3 * CHUNK + 2048 // 20


def test_places_hold_through_text():
    """They are written as distances and come back as they were; none are written as nothing."""
    points = ReadingPoints("ab", (ReadingPoint(5_001, 400_000), ReadingPoint(10_300, 850_000)))

    assert ReadingPoints.of_text(points.as_text()) == points
    assert ReadingPoints("ab").as_text() is None
    assert ReadingPoints.of_text(None).points == ()


@pytest.mark.parametrize(
    "change",
    [
        {"encoding": "latin-1"},
        {"delimiter": ";"},
        {"quoting": Quoting.NONE},
        {"multiline": Multiline.NEVER},
        {"header": False},
        {"records": "cards.*"},
        {"format": "jsonl"},
        {"row_bytes_max": 1_000},
    ],
)
def test_places_are_nothing_to_another_reader(change):
    """Whoever may cut the same text into other rows is given no place."""
    plain, options = options_of("plain")
    _, points = whole(plain, options)
    other = ReaderOptions(**{"columns": COLUMNS} | change)

    assert points.fitting(ReaderOptions(COLUMNS, chunk_rows=7, carry=("name",)))
    assert points.fitting(other) == ()


def test_places_fit_an_export_in_json_whose_preset_is_of_csv():
    """Such an export is read with other columns, and the same settings read it so again."""
    plain, in_json = options_of("JSON lines")
    in_json = replace(in_json, format=None)
    options = ReaderOptions(COLUMNS, chunk_rows=CHUNK, as_json=in_json)
    chunks, points = whole(plain, options)

    assert points.fitting(options)
    assert points.fitting(ReaderOptions(COLUMNS, chunk_rows=CHUNK)) == ()
    last = chunks[-1][0][1]
    needed = NeededRows(lambda row: last if row <= last else None, points.fitting(options))
    assert [shown(c) for c in read(pieces(plain, 2), options, needed)] == chunks[-1:]


def test_places_are_nothing_to_another_version(monkeypatch):
    """A later program may read differently, so it reads everything."""
    plain, options = options_of("plain")
    _, points = whole(plain, options)
    monkeypatch.setattr(reading_points, "__version__", "99.0")

    assert points.fitting(options) == ()


@pytest.mark.parametrize("at", [3, 41, 10_000_000])
def test_a_place_where_no_row_can_begin_is_told(at):
    """One inside the rows that were read already, or behind the end, is another text's."""
    plain, options = options_of("plain")
    needed = NeededRows(lambda row: max(row, 500), (ReadingPoint(400, at),))

    with pytest.raises(PointsMisfit):
        list(read([plain], options, needed))


def test_a_json_document_has_no_places():
    """What stands in its middle means nothing without its beginning."""
    plain = b"[" + b",".join(json_line(n).encode() for n in range(1, 300) if n % 31) + b"]"
    options = ReaderOptions(COLUMNS, format="json", records="*.cards.*", chunk_rows=CHUNK)

    _, points = whole(plain, options)

    assert points.points == ()
    needed = NeededRows(lambda row: 200 if row <= 200 else None)
    (chunk,) = read([plain], options, needed)
    assert chunk.first_row <= 200 <= chunk.last_row


def test_places_count_what_a_container_holds():
    """An export in gzip is unpacked before its text is counted."""
    plain, options = options_of("plain")
    _, points = whole(plain, options)

    def packed():
        yield gzip.compress(plain)

    blocks = Unpacking(packed(), lambda _: None).unpacked()
    needed = NeededRows(lambda row: 700 if row <= 700 else None, points.fitting(options))

    (chunk,) = read(blocks, options, needed)
    assert chunk.columns["legacy_id"][700 - chunk.first_row] == "id-700"
