"""Works out what is marked, in the early process, and keeps it until it is asked for (`early_sections`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.ledger.early_marks import MARKS, WorkedEarly
from pipeline.ledger.parts_of_rows import cut
from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.schema import attachments, rows
from pipeline.ledger.section_figures import READ_ONCE, TABLES
from pipeline.ledger.section_work import SectionQueue, Task, work_out
from pipeline.ledger.sections import (
    EARLY_CARDS,
    ROW_COUNTS,
    Digested,
    digests_known,
    ids_of,
    numbers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.early_marks import Marked, Standing
    from pipeline.ledger.section_work import Worked

_AT_ONCE: Final = 4


class _Found(NamedTuple):
    """What was worked out of some sections with a mark of one kind."""

    mark: str
    numbers: Collection[int]
    worked: Worked


class EarlyWork:
    """What was worked out early."""

    def __init__(self) -> None:
        self._marked: dict[tuple[str, int], int] = {}
        """Of each section that was marked, by the kind of mark, the number of the newest."""
        self._found: list[_Found] = []
        self._parts: dict[tuple[Any, ...], tuple[Collection[int], Any]] = {}

    def work_out(
        self, connection: Connection, marked: Marked, is_broken_off: Callable[[], bool]
    ) -> None:
        """Work out what was marked.

        Args:
            connection: To a copy that was made since.
            marked: The sections.
            is_broken_off: Tells whether to leave the rest to whoever publishes.
        """
        self._forget(marked)
        for mark, these in marked.sections.items():
            queue = SectionQueue(_tasks(connection, mark, frozenset(these)))
            while not is_broken_off() and (block := queue.from_front(_AT_ONCE)) is not None:
                self._found.append(_Found(mark, block.wanted, work_out(connection, block)))
        for numbers_of, call in self._calls(connection, marked.parts):
            if is_broken_off():
                return
            work, *arguments = call
            self._parts[call] = numbers_of, work(connection, *arguments)

    def of(self, standing: Standing) -> WorkedEarly:
        """Give what was worked out of sections that are as they were."""

        def stand(mark: str, these: Collection[int]) -> bool:
            marks = standing.marks[mark]
            return all(marks.get(one) == self._marked[mark, one] for one in these)

        return WorkedEarly(
            [one.worked for one in self._found if stand(one.mark, one.numbers)],
            {
                call: made
                for call, (these, made) in self._parts.items()
                if stand(EARLY_CARDS, these)
            },
        )

    def _forget(self, marked: Marked) -> None:
        """Forget what is known of sections that were written to since, as they are marked anew."""
        anew = {(mark, number) for mark, these in marked.sections.items() for number in these}
        self._marked |= dict.fromkeys(anew, marked.number)
        self._found = [
            one for one in self._found if not any((one.mark, n) in anew for n in one.numbers)
        ]
        for call, (these, _) in list(self._parts.items()):
            if any((EARLY_CARDS, number) in anew for number in these):
                del self._parts[call]

    def _calls(
        self, connection: Connection, beginning: tuple[Any, ...]
    ) -> Iterator[tuple[Collection[int], tuple[Any, ...]]]:
        """Give the calls that make something of a part of rows, of each part that is whole.

        What is told of cards on customers changes with those, of which a mark knows nothing.
        """
        if (
            not beginning
            or QueryBase(connection).is_attaching()
            or numbers(connection, attachments)
        ):
            return
        for part in self._whole_parts(connection):
            these = [one.number for one in part]
            call = (*beginning, *ids_of(these[0], these[-1]))
            if call not in self._parts:
                yield these, call

    def _whole_parts(self, connection: Connection) -> Iterator[Sequence[Digested]]:
        """Give the parts of which every section is marked, and that another part comes behind."""
        known = digests_known(connection, rows)
        known |= {
            one.number: one
            for found in self._found
            for one in found.worked.found.get(rows.name, ())
            if isinstance(one, Digested)
        }
        there = []
        for number in numbers(connection, rows):
            if number not in known:
                break
            there.append(known[number])
        *whole, _ = cut(there) if there else [()]
        for part in whole:
            if all((EARLY_CARDS, one.number) in self._marked for one in part):
                yield part


def _tasks(connection: Connection, mark: str, these: frozenset[int]) -> Iterator[Task]:
    """Give all that is to be worked out of sections with one kind of mark."""
    for place, together in enumerate(READ_ONCE):
        if MARKS[mark] in together.counting:
            there = {kind: numbers(connection, TABLES[kind]) for kind in together.kinds}
            yield Task(place, {kind: these.intersection(found) for kind, found in there.items()})
    if mark == EARLY_CARDS:
        yield Task(None, {ROW_COUNTS: these})
