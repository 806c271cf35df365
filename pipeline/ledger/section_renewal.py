"""Works out what is to be kept of sections, reading their rows once, and proves what is kept."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from pipeline.errors import VerificationFailed
from pipeline.ledger.early_marks import forget_marks, standing_marks
from pipeline.ledger.section_figures import BY_ITSELF, COUNTED, READ_ONCE, TABLES, kept_of, to_count
from pipeline.ledger.section_helper import helping
from pipeline.ledger.section_work import SectionQueue, Task, work_out
from pipeline.ledger.sections import digest_of_figures, numbers, sections, stretches
from pipeline.ledger.store import store_of
from pipeline.ledger.versions import KEPT_AT_ONCE, VERSIONED, Packing, renew_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.early_marks import WorkedEarly
    from pipeline.ledger.second_process import SecondProcess
    from pipeline.ledger.section_work import Worked
    from pipeline.ledger.sections import Counted, Digested


def renew_sections(
    connection: Connection,
    epoch: int,
    *,
    kept: bool | None,
    process: SecondProcess,
    early: SecondProcess,
) -> None:
    """Work out what is to be kept of each section, in the caller's transaction.

    Args:
        connection: In a transaction.
        epoch: The run's, with which versions come (`versions`).
        kept: What is kept is right; else all is worked out, and what differs is written anew. None
            where nothing but versions is kept.
        process: Works sections out beside this one, where there are many.
        early: Has worked some of them out while rows were sent; it ends.
    """
    if kept is None:
        renew_versions(connection, epoch)
        return
    keeping = _Keeping(connection, epoch)
    done = _take_early(connection, early, process, keeping)
    queue = SectionQueue(list(_tasks(connection, done, kept=kept)))
    help_of = helping(process, queue)
    while queue or help_of.is_awaited:
        for worked in help_of.answers():
            keeping.take(worked)
        block = queue.from_front(help_of.size)
        if block is not None:
            keeping.take(work_out(connection, block))
    keeping.write()


def _take_early(
    connection: Connection, early: SecondProcess, process: SecondProcess, keeping: _Keeping
) -> Mapping[str, Collection[int]]:
    """Take in what was worked out while rows were sent, and is right; give its sections, by kind."""
    done: defaultdict[str, set[int]] = defaultdict(set)
    # What an earlier publication did not need was made of other rows.
    process.made_early = {}
    early.tell(standing_marks(connection))
    forget_marks(connection)
    taken: WorkedEarly | None = early.answer()
    early.hang_up()
    if taken is None:
        return done
    process.made_early = dict(taken.parts)
    for worked in taken.worked:
        for kind, found in worked.found.items():
            done[kind].update(section.number for section in found)
        keeping.take(worked)
    return done


def require_own_figures(connection: Connection) -> None:
    """Make sure that what is kept of sections is what was counted.

    Raises:
        VerificationFailed: It is damaged, and with it perhaps more of the file.
    """
    figures = select(sections.c.sha256, sections.c.figures, sections.c.packed)
    for sha256, told, packed in connection.execute(figures.where(sections.c.of.in_(COUNTED))):
        if (
            not isinstance(told, str)
            or not isinstance(packed, bytes)
            or sha256 != digest_of_figures(told, packed)
        ):
            raise VerificationFailed(
                "what the ledger keeps of its rows is damaged",
                next_step="Keep the folder as it is; restore the ledger from a backup.",
            )


class _Keeping:
    """Keeps what was worked out of sections, some at a time.

    Args:
        connection: In a transaction.
        epoch: The run's.
    """

    def __init__(self, connection: Connection, epoch: int) -> None:
        self._connection = connection
        self._epoch = epoch
        self._packing = {table.name: Packing(connection, table) for table in VERSIONED}
        self._found: defaultdict[str, list[Digested | Counted]] = defaultdict(list)
        self._waiting = 0

    def take(self, worked: Worked) -> None:
        """Take in what was worked out of a block, and write where enough has come together."""
        for kind, found in worked.found.items():
            self._found[kind] += found
        for name, entries in worked.versions.items():
            self._packing[name].take(entries)
        self._waiting += max(map(len, worked.found.values()), default=0)
        if self._waiting >= KEPT_AT_ONCE:
            self.write()

    def write(self) -> None:
        """Write what was taken in so far."""
        for kind, found in self._found.items():
            _keep(self._connection, kind, sorted(found))
        self._found.clear()
        for packing in self._packing.values():
            packing.keep(self._epoch)
        self._waiting = 0


def _tasks(
    connection: Connection, done: Mapping[str, Collection[int]], *, kept: bool
) -> Iterator[Task]:
    """Give all that is to be worked out; what takes longest comes last, where a helper begins."""

    def left(kind: str) -> frozenset[int]:
        return frozenset(_to_renew(connection, kind, kept=kept)).difference(done.get(kind, ()))

    for kind in BY_ITSELF:
        yield Task(None, {kind: left(kind)})
    for place, together in reversed(list(enumerate(READ_ONCE))):
        yield Task(place, {kind: left(kind) for kind in together.kinds})


def _to_renew(connection: Connection, kind: str, *, kept: bool) -> Sequence[int]:
    """Give the sections to work something out of, in order; of those that are gone nothing is kept."""
    known = kept_of(connection, kind)
    if kept:
        return to_count(connection, kind, known)
    there = numbers(connection, TABLES[kind])
    _forget(connection, kind, sorted(known.difference(there)))
    return there


def _forget(connection: Connection, kind: str, these: Sequence[int]) -> None:
    for ends in stretches(these):
        here = sections.c.of == kind, sections.c.number.between(*ends)
        connection.execute(delete(sections).where(*here))


def _keep(connection: Connection, kind: str, found: Sequence[Digested | Counted]) -> None:
    """Keep what was worked out of some sections, in order; what is kept so already stays as it is."""
    number, *others = names = found[0]._fields
    kept: set[tuple[Any, ...]] = set()
    for ends in stretches(one.number for one in found):
        here = sections.c.of == kind, sections.c.number.between(*ends)
        asked = select(*(sections.c[name] for name in names)).where(*here)
        kept.update(map(tuple, connection.execute(asked)))
    new = [one for one in found if one not in kept]
    _forget(connection, kind, [one.number for one in new])
    values = list(zip(*((one.number, kind, *one[1:]) for one in new), strict=True))
    store_of(connection).fill(connection, sections, (number, "of", *others), values)
