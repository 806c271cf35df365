"""Random tables of cards in random dialects, whole or spoilt, with what is true of each line.

The generator writes its own CSV, quote by quote, so that nothing of the reader's is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from pipeline.cards.validator import Rules, validate
from pipeline.config.models import BRANDS
from pipeline.config.policies import OnExpired, Quoting
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.cards import card_number
from tests.support.frames import frame_of

if TYPE_CHECKING:
    from random import Random

NAMES = ("Ann Lee", "O'Brien", "สมชาย ใจดี", "José Ñ", "Ivan; Petrov", "A, B & C", "Æ|Ø", "D\u00fc")
COLUMNS = {
    "legacy_id": "id",
    "number": "pan",
    "name": "holder",
    "expiration_month": "m",
    "expiration_year": "y",
    "city": "town",
}
_SMALL = 200
_STRAY = str.maketrans("", "", "\"' \\")
HEADER = ("id", "holder", "note", "pan", "m", "y", "town")
RULES = Rules(date(2026, 11, 27), OnExpired.REJECT, frozenset(BRANDS), False, True)  # noqa: FBT003


@dataclass(frozen=True)
class Form:
    """How a table is written and read."""

    delimiter: str
    quoting: Quoting
    end: str
    blanks: bool
    chunk_rows: int
    block_bytes: int


@dataclass
class Table:
    """A table's bytes and the truth about it."""

    form: Form
    plain: bytes
    last_digits: dict[str, str] = field(default_factory=dict)
    lines_of: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    is_spoilt: bool = False


def random_form(random: Random, rows: int) -> Form:
    """Give a dialect, line ends, and sizes of chunks and blocks; small ones for small tables."""
    is_small = rows <= _SMALL
    return Form(
        random.choice(",;\t|"),
        random.choice([*Quoting, Quoting.RFC4180, Quoting.RFC4180]),
        random.choice(["\n", "\r\n"]),
        random.random() < 0.2,
        random.choice([3, 7, 100] if is_small else [500, 5000]),
        random.choice([1, 13, 4096] if is_small else [65_536, 2**18]),
    )


def random_table(random: Random, rows: int, *, spoilt: bool) -> Table:
    """Write a table; a spoilt one has stray quotes and cut lines here and there."""
    form = random_form(random, rows)
    table = Table(form, b"", is_spoilt=spoilt)
    texts = [form.delimiter.join(HEADER)]
    for place in range(rows):
        legacy_id = f"row-{place}-{random.randrange(10**6)}x"
        number = card_number(random)
        note = _note(random, form)
        values = [
            legacy_id,
            random.choice(NAMES),
            note,
            number,
            str(random.randint(1, 12)),
            str(random.randint(2027, 2040)),
            random.choice(["Oslo", "Bangkok", "", "São Paulo"]),
        ]
        text = form.delimiter.join(_written(value, random, form) for value in values)
        table.last_digits[legacy_id] = number[-4:]
        table.lines_of[legacy_id] = text.count("\n") + 1
        table.lines += table.lines_of[legacy_id]
        texts.append(text)
    if spoilt:
        texts = [texts[0], *(_spoilt(text, random) for text in texts[1:])]
    table.plain = "".join(text + form.end for text in texts).encode()
    return table


def _note(random: Random, form: Form) -> str:
    """Give a note, sometimes over several lines where the dialect can hold that."""
    if random.random() < 0.8 or form.quoting is Quoting.NONE:
        return random.choice(["", "x", "call back", "100 %"])
    parts = random.choices(["call", 'she said "no"', "it's", "a,b;c", "later\\now"], k=2)
    return (form.end if random.random() < 0.5 else " ").join(parts)


def _written(value: str, random: Random, form: Form) -> str:
    """Write a value as the dialect does, quoted where it must be and at times where it need not."""
    if form.quoting is Quoting.NONE:
        return value.replace(form.delimiter, " ")
    quote = "'" if form.quoting is Quoting.SINGLE else '"'
    special = form.delimiter in value or quote in value or "\n" in value or "\\" in value
    if not special and random.random() < 0.8:
        return value
    if form.quoting is Quoting.BACKSLASH:
        inner = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
    else:
        inner = value.replace(quote, quote * 2)
    return (" " if form.blanks else "") + quote + inner + quote


def _spoilt(text: str, random: Random) -> str:
    """Spoil a record now and then, without adding or taking away a line end."""
    kind = random.random()
    if kind < 0.9 or not text:
        return text
    at = random.randrange(len(text) + 1)
    if kind < 0.97:
        return text[:at] + random.choice(['"', '""', "'", ' "', '"""']) + text[at:]
    # What is left of a line is no blank one, which would be no row.
    return text if "\n" in text else text[: max(at, 3)]


def own_id(legacy_id: str) -> str:
    """Give an id without the stray signs that spoiling put into it."""
    return legacy_id.translate(_STRAY)


@dataclass
class Found:
    """What became of a table."""

    cards: list[tuple[str, str]] = field(default_factory=list)
    unreadable: int = 0
    rejected: list[tuple[str, int]] = field(default_factory=list)
    """Each row's id, "" for one that is none, and over how many lines the table tells that id."""
    rows: int = 0


def carried(table: Table) -> Found:
    """Read and judge a table as pass 1 does."""
    form, found = table.form, Found()
    options = ReaderOptions(
        COLUMNS,
        delimiter=form.delimiter,
        quoting=form.quoting,
        chunk_rows=form.chunk_rows,
        format="csv",
    )
    size = form.block_bytes
    blocks = (table.plain[at : at + size] for at in range(0, len(table.plain), size))
    for chunk in read(blocks, options):
        verdict = validate(chunk, RULES)
        frame = frame_of(verdict.cards)
        ids = map(own_id, frame["legacy_id"].tolist())
        found.cards += zip(ids, frame["last_digits"].tolist(), strict=True)
        found.unreadable += len(chunk.rejections)
        told = frame_of(chunk)["legacy_id"]
        found.rejected += [
            (own_id(each.legacy_id or ""), told[each.row].count("\n") + 1)
            for each in verdict.rejections
        ]
        found.rows = chunk.last_row
    return found
