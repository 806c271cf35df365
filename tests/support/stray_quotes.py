"""Random tables as senders write them, some of whose lines lost a sign or gained one.

Every line carries marks of its own, `@row.place@`, so that after reading it can be said of each line
which row it ended in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.config.policies import Quoting
from pipeline.exports.columns import ReaderOptions

if TYPE_CHECKING:
    from random import Random

MARK = re.compile(r"@\d+\.\d+@")
COLUMNS = ("id", "holder", "pan", "month", "year")
WORDS = (
    "Ann Lee",
    "O'Hara",
    "สมชาย",
    "José",
    "x",
    "12/31",
    "Moo 4",
    'the "old" one',
    "a;b",
    "a, b",
)
SMALL = 30
STRAY = ("ditto", "opened", "closed", "middle", "lost delimiter", "delimiter", "bare", "blank")


def check_digit(stem: str) -> str:
    """Give the digit that makes a number pass Luhn."""
    total = 0
    for place, sign in enumerate(reversed(stem)):
        digit = int(sign) * (1 + (place % 2 == 0))
        total += digit - 9 * (digit > 9)
    return str(-total % 10)


@dataclass
class Table:
    """A table, its bytes cut into blocks, how to read it, and what is true of it."""

    options: ReaderOptions
    blocks: list[bytes]
    header: tuple[str, ...] = ()
    last_digits: dict[int, str] = field(default_factory=dict)
    """Row to the last digits of its number, where that is one."""
    shifted: set[int] = field(default_factory=set)
    """Rows that got or lost a delimiter, which a quote may make up for: their id may be any field."""
    lines: list[frozenset[str]] = field(default_factory=list)
    """The marks on each line; a line has none where nothing stands in it."""
    is_damaged: bool = False


class _Maker:
    def __init__(self, random: Random, first_row: int, rows: int, damage: float) -> None:
        # A chunk costs a hundred times what a row does.
        self.chunk_rows = (1, 7, 60) if rows <= SMALL else (500, 5000)
        self.random = random
        self.first_row = first_row
        self.damage = damage
        self.delimiter = random.choice(",;\t|\x01")
        self.end = random.choice(("\n", "\r\n"))
        self.quotes_all = random.random() < 0.2
        self.notes = [f"note{n}" for n in range(random.randint(0, 4))]
        self.header = [*COLUMNS, *self.notes]
        random.shuffle(self.header)
        self.table = Table(self._options(), [], tuple(self.header))

    def _options(self) -> ReaderOptions:
        return ReaderOptions(
            {
                "legacy_id": "id",
                "name": "holder",
                "number": "pan",
                "expiration_month": "month",
                "expiration_year": "year",
            },
            carry=tuple(self.notes),
            delimiter=self.delimiter,
            quoting=Quoting.RFC4180,
            chunk_rows=self.random.choice(self.chunk_rows),
        )

    def written(self, text: str) -> str:
        if self.quotes_all or any(sign in text for sign in (self.delimiter, '"', "\n")):
            return '"' + text.replace('"', '""') + '"'
        return text

    def note(self, row: int) -> str:
        random = self.random
        if random.random() < 0.7:
            return random.choice(("", *WORDS))
        lines = random.randint(1, 3)
        first = 1 + random.randrange(10**9)
        return "\n".join(f"{random.choice(WORDS)} @{row}.{first + n}@" for n in range(lines))

    def fields(self, row: int) -> list[str]:
        stem = "4" + f"{self.random.randrange(10**14):014d}"
        number = stem + check_digit(stem)
        if self.random.random() < 0.05:
            number = number[:-1]
        else:
            self.table.last_digits[row] = number[-4:]
        known = {
            "id": f"R{row}",
            "holder": f"{self.random.choice(WORDS[:4])} @{row}.0@ K",
            "pan": number,
            "month": str(self.random.randint(1, 12)),
            "year": "2035",
        }
        return [self.written(known[n] if n in known else self.note(row)) for n in self.header]

    def damaged(self, row: int, fields: list[str]) -> list[str]:
        """Take a sign from a row or give it one; marks stay whole.

        No row both loses a delimiter and gets one: that is another row, and nobody can know.
        """
        random, place = self.random, self.random.randrange(len(fields))
        field, kind = fields[place], self.random.choice(STRAY)
        if kind == "ditto" and "@" not in field and not field.startswith("R"):
            fields[place] = '"'
        elif kind == "opened":
            fields[place] = '"' + field
        elif kind == "closed":
            fields[place] = field + '"'
        elif kind == "middle" and field and "@" not in field[:1]:
            fields[place] = f'{field[:1]}"{field[1:]}'
        elif kind == "lost delimiter" and place and len(fields) == len(self.header):
            self.table.shifted.add(row)
            fields[place - 1 : place + 1] = [fields[place - 1] + field]
        elif kind == "delimiter" and len(fields) == len(self.header):
            self.table.shifted.add(row)
            fields.insert(place, random.choice(("", "x")))
        elif kind in {"bare", "blank"}:
            empty = self.delimiter * random.randint(1, len(fields)) if kind == "bare" else " "
            fields[0] = f"{empty}{self.end}{fields[0]}"
        self.table.is_damaged = True
        return fields

    def made(self, rows: int) -> Table:
        lines = [self.delimiter.join(self.header)]
        for row in range(self.first_row, self.first_row + rows):
            fields = self.fields(row)
            while self.random.random() < self.damage:
                fields = self.damaged(row, fields)
            lines.append(self.delimiter.join(fields))
        text = self.end.join(lines)
        self.table.lines = [frozenset(MARK.findall(line)) for line in text.split("\n")[1:]]
        raw = (text + self.end * self.random.randint(0, 1)).encode()
        size = self.random.choice((len(raw) + 1, 7, 64, 1000))
        self.table.blocks = [raw[start : start + size] for start in range(0, len(raw), size)]
        return self.table


def table(random: Random, first_row: int, rows: int) -> Table:
    """Make a table; every third has nothing wrong with it."""
    damage = random.choice((0.0, 0.05, 0.3))
    return _Maker(random, first_row, rows, damage).made(rows)
