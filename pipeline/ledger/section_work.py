"""Works out what is to be kept of some sections, in whichever process is asked to."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

import orjson

from pipeline.ledger.held_sections import held_sections
from pipeline.ledger.section_figures import BY_ITSELF, READ_ONCE
from pipeline.ledger.sections import digest_section
from pipeline.ledger.versions import VERSIONED, packed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Counted, Digested


class Task(NamedTuple):
    """Sections of which something is to be worked out in one reading.

    Attributes:
        place: Of the tables in `READ_ONCE`, or None where one kind is asked for by itself.
        missing: The sections of which it is wanted, by kind; a kind, where it is by itself.
    """

    place: int | None
    missing: Mapping[str, Collection[int]]


class Block(NamedTuple):
    """Some sections of one task, worked out together.

    Attributes:
        place: As in `Task`.
        wanted: Their numbers, in order.
        missing: Those of which something is wanted, in order, by what it is.
    """

    place: int | None
    wanted: tuple[int, ...]
    missing: dict[str, tuple[int, ...]]


class Worked(NamedTuple):
    """What was worked out of a block.

    Attributes:
        found: What is to be kept, by kind.
        versions: The packed versions of sections, by table and number (`versions.packed`).
    """

    found: dict[str, list[Digested | Counted]]
    versions: dict[str, dict[int, bytes]]


class SectionQueue:
    """Hands out what is still to be worked out, from both ends.

    Args:
        tasks: All that is to be done.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._left = deque(
            (task, number)
            for task in tasks
            for number in sorted(set[int]().union(*task.missing.values()))
        )
        self._again: list[Block] = []

    def __len__(self) -> int:
        return len(self._left) + sum(len(block.wanted) for block in self._again)

    def from_front(self, size: int) -> Block | None:
        """Give the next sections of the first task, as many as `size`; None if nothing is left."""
        if self._again:
            return self._again.pop()
        return self._taken(size, at_end=False)

    def from_back(self, size: int) -> Block | None:
        """Give the last sections of the last task, as many as `size`; None if nothing is left."""
        return self._taken(size, at_end=True)

    def put_back(self, blocks: Iterable[Block]) -> None:
        """Take back what was handed out and not done."""
        self._again.extend(blocks)

    def _taken(self, size: int, *, at_end: bool) -> Block | None:
        left, place = self._left, -1 if at_end else 0
        if not left:
            return None
        task = left[place][0]
        taken: list[int] = []
        while left and len(taken) < size and left[place][0] is task:
            taken.append((left.pop if at_end else left.popleft)()[1])
        wanted = tuple(sorted(taken))
        missing = {
            kind: tuple(number for number in wanted if number in of)
            for kind, of in task.missing.items()
        }
        return Block(task.place, wanted, {kind: these for kind, these in missing.items() if these})


def work_out(connection: Connection, block: Block) -> Worked:
    """Work out what is wanted of some sections, reading each of their rows once.

    Args:
        connection: A reading connection.
        block: The sections.
    """
    if block.place is None:
        counted: dict[str, list[Digested | Counted]] = {
            kind: [*BY_ITSELF[kind][1](connection, these)] for kind, these in block.missing.items()
        }
        return Worked(counted, {})
    together, missing = READ_ONCE[block.place], block.missing
    counting = {
        kind: (frozenset(missing[kind]), begin(connection, missing[kind]))
        for kind, begin in together.counting.items()
        if kind in missing
    }
    digested = {table: frozenset(missing.get(table.name, ())) for table in together.tables}
    found: defaultdict[str, list[Digested | Counted]] = defaultdict(list)
    versions: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    for number, held in held_sections(connection, together.tables, block.wanted):
        for table, rows in zip(together.tables, held, strict=True):
            if number in digested[table]:
                told = list(map(orjson.dumps, rows))
                found[table.name].append(digest_section(number, told))
                if table in VERSIONED:
                    versions[table.name][number] = packed(table, rows, told)
        for kind, (wanted, count) in counting.items():
            if number in wanted:
                found[kind].append(count(number, *held))
    return Worked(dict(found), dict(versions))
