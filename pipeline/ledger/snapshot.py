"""Answers named questions about one state of the ledger: all that others get to see of it."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import select

from pipeline.ledger import digests, export_events, publications, tables_proof
from pipeline.ledger.asked_beside import asked_beside
from pipeline.ledger.attach_needs import AttachQuestions
from pipeline.ledger.card_questions import CardQuestions
from pipeline.ledger.lasting_proof import change_since_published, what_lasts
from pipeline.ledger.parts_of_rows import parts_of_rows
from pipeline.ledger.plan_questions import PlanQuestions
from pipeline.ledger.readback_questions import ReadbackQuestions
from pipeline.ledger.reading_questions import ReadingQuestions
from pipeline.ledger.schema import meta
from pipeline.ledger.section_proof import differing_section
from pipeline.ledger.section_sums import SectionSums
from pipeline.ledger.sections import ROW_FIGURES
from pipeline.ledger.waiting_exports import WaitingExports
from pipeline.ledger.whole_reading import read_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from pipeline.ledger.export_events import GivenUpExport, RefusedExport
    from pipeline.ledger.lasting_proof import Lasting
    from pipeline.ledger.parts_of_rows import PartOfRows
    from pipeline.ledger.publications import PublicationHistory
    from pipeline.ledger.second_process import SecondProcess
    from pipeline.ledger.sections import Counted, Digested
    from pipeline.ledger.whole_reading import WholeReading


class Snapshot(
    WaitingExports,
    SectionSums,
    PlanQuestions,
    CardQuestions,
    AttachQuestions,
    ReadbackQuestions,
    ReadingQuestions,
):
    """One look at a ledger; every answer is of the same state.

    Args:
        connection: A reading connection.
        sparingly: Keep few pages in memory: whoever reads every row once gains nothing from more.
        kept: Go by what is kept of sections; else every answer is worked out of the rows.

    Raises:
        LocalStorageFailed: From any question: the disk refused.
        VerificationFailed: From any question: the ledger is damaged.
    """

    def __init__(
        self, connection: Connection, *, sparingly: bool = False, kept: bool = False
    ) -> None:
        super().__init__(connection, kept=kept)
        self._contradiction: Callable[[], str | None] | None = None
        if sparingly:
            self._store.read_sparingly(connection)

    def by_turns(
        self, second: SecondProcess, work: Callable[..., Any], asked: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Give what a function returns of this state, every other time called in another process.

        Args:
            second: The process; see `SecondProcess.by_turns` for the rest.
            work: A function of a module.
            asked: What it is called with each time, behind a look at this state.
        """
        return second.by_turns(self._connection, [(*looking(work), *these) for these in asked])

    def recall(self, key: str) -> str | None:
        """Give what `Ledger.remember` kept under the key, or None."""
        found = self._first(select(meta.c.value).where(meta.c.key == key))
        return None if found is None else str(found.value)

    def publication_history(self) -> PublicationHistory:
        """Give which events outputs speak of, and which publications there were."""
        with self._store.trouble():
            return publications.publication_history(self._connection)

    def lists_are_current(self) -> bool:
        """Tell whether the lists that were published last still say what is open."""
        with self._store.trouble():
            return publications.lists_are_current(self._connection)

    def refused_exports(self, length: int | None = None) -> list[RefusedExport]:
        """Give each export refused in the first `length` events, or in all, and not taken since."""
        with self._store.trouble():
            return export_events.refused_exports(self._connection, length)

    def why_refused(self) -> dict[str | None, str]:
        """Give why exports were refused that were not taken since, by their digests."""
        return {export.sha256: export.why for export in self.refused_exports()}

    def given_up_exports(self, length: int | None = None) -> list[GivenUpExport]:
        """Give each export given up in the first `length` events, or in all, that did not come since."""
        with self._store.trouble():
            return export_events.given_up_exports(self._connection, length)

    def event_lines(self, length: int | None = None) -> Iterator[tuple[str, str]]:
        """Give (canonical body, hash) of the first `length` events, or of all, in order."""
        with self._store.trouble():
            yield from publications.event_lines(self._connection, length)

    def kinds_since(self, seq: int) -> set[str]:
        """Give the kinds of the events after one, but for those that say that outputs are as they were."""
        with self._store.trouble():
            return publications.kinds_since(self._connection, seq)

    def table_digests(self, epoch: int | None = None) -> dict[str, dict[str, int | str]]:
        """Give `rows` and `sha256` of every table, and of the schema with its rules.

        Args:
            epoch: Leave runs out that came after this one, which brought nothing; default: none.
        """
        with self._store.trouble():
            return digests.table_digests(
                self._connection,
                kept=self._kept,
                epoch=epoch,
                parts=self._parts,
                lasting=self._lasting,
            )

    def mapping_parts(self) -> list[PartOfRows]:
        """Give the parts of the mapping, in its order, and what each is made of."""
        kind = self.is_attaching(), self.recall("carry")
        with self._store.trouble():
            return list(
                parts_of_rows(self._connection, self._parts, self.customer_sections(), kind)
            )

    def failure_parts(self) -> list[PartOfRows]:
        """Give the parts of the list of open failures, likewise."""
        customer_sections, failures = self.customer_sections(), self.failures_by_section()
        with self._store.trouble():
            return list(
                parts_of_rows(self._connection, self._parts, customer_sections, (), failures)
            )

    def change_since_published(self) -> str | None:
        """Say what is not as it was published, or became another thing for no reason; None: nothing."""
        with self._store.trouble():
            known = publications.publication_history(self._connection)
            return change_since_published(
                self._connection,
                known,
                self._lasting,
                kept=self._kept,
                compared=None if self._kept else self._whole.compared(),
            )

    def differing_section(self) -> str | None:
        """Give the first section of which something else is kept than its rows give, or None."""
        with self._store.trouble():
            whole = self._whole
            return differing_section(
                self._connection, {**whole.digested, **whole.lasting, **whole.counted}
            )

    def contradiction(self) -> str | None:
        """Give the first thing that two tables tell differently, in words; None if none."""
        with self._store.trouble():
            if self._contradiction is not None:
                return self._contradiction()
            return tables_proof.contradiction(self._connection)

    @contextmanager
    def proving_meanwhile(self) -> Iterator[None]:
        """Look for a contradiction while other questions are answered, if the store can do both."""
        with asked_beside(self._connection, tables_proof.contradiction) as self._contradiction:
            yield

    def is_sound(self) -> bool:
        """Tell whether the database's own structure holds, every page and index of it."""
        with self._store.trouble():
            return self._store.is_sound(self._connection, thorough=True)

    @cached_property
    def _lasting(self) -> list[Lasting]:
        worked_out = None if self._kept else self._whole.lasting
        return what_lasts(self._connection, kept=self._kept, worked_out=worked_out)

    @cached_property
    def _parts(self) -> Mapping[str, Sequence[Digested]]:
        if not self._kept:
            return self._whole.digested
        return digests.digested_tables(self._connection, kept=True)

    @cached_property
    def _whole(self) -> WholeReading:
        return read_whole(self._connection)

    def _row_figures(self) -> Iterable[Counted]:
        if "_whole" in self.__dict__ and ROW_FIGURES in self._whole.counted:
            return self._whole.counted[ROW_FIGURES]
        return super()._row_figures()


def looking(work: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """Give how `SecondProcess` is to call a function with a look; what else it takes comes behind."""
    return _with_look, work


def _with_look(connection: Connection, work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with a look at the ledger, in whichever process."""
    return work(Snapshot(connection, sparingly=True), *arguments)
