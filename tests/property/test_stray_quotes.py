"""Whatever a stray sign does to a table, no line of it is lost and no id gets another row's card."""

import re
from collections import Counter
from dataclasses import replace
from datetime import date
from random import Random
from unittest.mock import patch

import pytest

from pipeline.cards.rows import CARRY_PREFIX
from pipeline.cards.validator import validate
from pipeline.exports import text_lines
from pipeline.exports.reader import read
from pipeline.exports.records import SWALLOWED
from tests.support.chunks import rules
from tests.support.frames import frame_of
from tests.support.stray_quotes import MARK, SMALL, table

RULES = rules(as_of=date(2026, 11, 27))


class Account:
    """What became of the lines and cards of one table."""

    def __init__(self, made):
        self.made = made
        self.unread = 0
        self.mapped = 0
        self.hints = set()
        self.wrong = []

    def read(self):
        """Read and judge the table."""
        for chunk in read(self.made.blocks, self.made.options):
            self.unread += len(chunk.rejections)
            self.hints |= {rejection.hint for rejection in chunk.rejections}
            cards = frame_of(validate(chunk, RULES).cards)
            names = ("legacy_id", "name", "last_digits")
            for card in zip(*(cards[name] for name in names), strict=True):
                self.check(*card)
        return self

    def check(self, legacy_id, name, digits):
        """Note a card whose id, name and number are not of one row."""
        self.mapped += 1
        # A quote inside an id is a letter of it, as long as it is the only thing that is odd.
        bare = legacy_id.replace('"', "")[1:]
        row = int(bare) if bare.isdecimal() else -1
        named = re.search(r"@(\d+)\.0@", name)
        if row < 0 and named and int(named[1]) in self.made.shifted:
            row = int(named[1])
        if self.made.last_digits.get(row) != digits or f"@{row}.0@" not in name:
            self.wrong.append((legacy_id, name, digits))

    @property
    def lost(self):
        """Lines that did not end in exactly one row, counting those that stand for themselves."""
        ended = Counter()
        # Every column is carried, and none hidden as the number, so that all texts can be seen.
        options = replace(self.made.options, carry=self.made.header)
        for chunk in read(self.made.blocks, options):
            for row in frame_of(chunk).filter(like=CARRY_PREFIX).to_numpy().tolist():
                ended.update(set(MARK.findall(" ".join(row))))
        lines = self.made.lines
        missing = sum(bool(marks) and marks.isdisjoint(ended) for marks in lines)
        torn = sum(not marks <= ended.keys() for marks in lines) - missing
        doubled = sum(count > 1 for count in ended.values())
        bare = sum(not marks for marks in lines)
        return doubled + torn + (not missing <= self.unread <= missing + bare)


def carry(seed, rows, table_max=120):
    """Read tables of that many rows in all and give their sums."""
    random, made, mapped, unread = Random(seed), 0, 0, 0
    while made < rows:
        size = min(random.randint(1, table_max), rows - made)
        batch = random.choice((40, 300, 256 * 1024)) if size <= SMALL else 8192
        with patch.object(text_lines, "_BATCH_BYTES", batch):
            account = Account(table(random, made, size)).read()

        assert account.wrong == [], (seed, made, size)
        assert account.lost == 0, (seed, made, size)
        # A note over lines that looks like rows is told, too: nobody knows that it is one.
        assert account.made.is_damaged or account.hints <= {SWALLOWED.hint}, (seed, made, size)
        made += size
        mapped += account.mapped
        unread += account.unread
    return mapped, unread


def test_every_line_ends_in_one_row_and_no_id_gets_another_rows_card():
    """A few thousand rows of tables of any width, delimiter, quoting and cut."""
    mapped, unread = carry(1, 3_000)

    assert mapped > 1_500
    assert unread > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_of_a_million_rows_none_is_lost_and_none_is_wrong(seed):
    """Fifty thousand rows a seed."""
    mapped, unread = carry(100 + seed, 50_000, 3_000)
    print(f"seed {seed}: {mapped} mapped, {unread} lines told as malformed, 0 lost, 0 wrong")
