"""Gives the mapping, or what changed in it since a run, in the form of another system."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from pipeline.clock import timestamp
from pipeline.counts import counted
from pipeline.errors import SettingsRefused, VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import is_begun, ledger_url
from pipeline.ledger.listings import RESOLVED
from pipeline.ledger.lock import is_locked
from pipeline.outputs.columns import CUSTOMERS, MAPPING, SUPERSEDED, TEXT
from pipeline.outputs.mapping_formats import write_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.outputs.columns import PublishedTable
    from pipeline.outputs.mapping_formats import MappingFormat
    from pipeline.outputs.sinks import Sink

ADDED: Final = "added"
REPLACED: Final = "replaced"
"""What a row changed: an id that had no token has one, or it has another one than before.

A row that failed before, in any run, and has its token now is `resolved`.
"""


def export_mapping(
    folder: Path, clock: Clock, target: Sink, form: MappingFormat, since: str | None = None
) -> int:
    """Write a migration's mapping in a form, each legacy id once, in the order of its exports.

    Args:
        folder: The migration folder.
        clock: For opening the ledger; nothing is dated.
        target: Where the bytes go.
        form: The form.
        since: A run: only what later runs changed, with `change` and `replaced_token_id`.

    Returns:
        How many rows were written.

    Raises:
        VerificationFailed: There is no ledger, or it is damaged.
        SettingsRefused: There is no such run, or a value has no place in the form.
    """
    if not is_begun(folder):
        raise VerificationFailed(
            "there is no ledger in this folder",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(ledger_url(folder), clock, read_only=True)))
        if not is_locked(folder):
            ledger.prove()
        look = stack.enter_context(ledger.look(sparingly=True))
        table = MAPPING.carrying(orjson.loads(look.recall("carry") or "[]"))
        frames, schema = _frames(look, table), table.schema
        if since is not None:
            changes = (pa.field("change", TEXT, nullable=False), pa.field(_FORMER, TEXT))
            schema = pa.schema([*schema, *changes])
            frames = _changed_since(look, _runs_after(look, since, folder), frames)
        return write_mapping(target, form, schema, frames)


_FORMER: Final = "replaced_token_id"


def _frames(look: Snapshot, table: PublishedTable) -> Iterator[pd.DataFrame]:
    """Give the mapping a block at a time; moments are texts."""
    names = [column.name for column in table.columns]
    moments = [c.name for c in table.columns if pa.types.is_timestamp(c.type)]
    old_ids = _old_customer_ids(look)
    for block in look.mapped_rows():
        # Python's own values: numbers stay whole beside what is missing.
        columns = zip(names, table.columns_of(block), strict=True)
        frame = pd.DataFrame(dict(columns), columns=names, dtype=object)
        frame["old_customer_id"] = frame["customer_id"].map(old_ids)
        for name in moments:
            frame[name] = frame[name].map(_moment)
        yield frame


def _moment(seconds: int) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))


def _old_customer_ids(look: Snapshot) -> dict[str | None, str]:
    """Give the sender's own key of each customer by the vault's."""
    places = [CUSTOMERS.asked.index(name) for name in ("customer_id", "legacy_customer_id")]
    return {
        values[places[0]]: values[places[1]] for block in look.customer_rows() for values in block
    }


def _changed_since(
    look: Snapshot, later: set[str], frames: Iterator[pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """Keep the rows whose token a later run made, and say of each what it changed."""
    old_tokens = _replaced_tokens(look, later)
    resolved = {
        legacy_id
        for block in look.legacy_ids_by_ending()
        for ending, legacy_id in block
        if ending == RESOLVED
    }
    for frame in frames:
        changed = frame[frame["run_id"].isin(later)]
        ids = changed["legacy_id"]
        kept = np.where(ids.isin(resolved), RESOLVED, ADDED)
        changes = np.where(ids.isin(old_tokens), REPLACED, kept)
        yield changed.assign(change=changes, replaced_token_id=ids.map(old_tokens))


def _runs_after(look: Snapshot, since: str, folder: Path) -> set[str]:
    """Give the runs that began after a run.

    Raises:
        SettingsRefused: There is no such run; the message names one that there is.
    """
    runs = [run.run_id for run in look.runs()]
    if since not in runs:
        raise SettingsRefused(
            ["--since: this migration has no run of that name"],
            next_step=_where_runs_are(runs, folder / "report.json"),
        )
    return set(runs[runs.index(since) + 1 :])


def _where_runs_are(runs: Sequence[str], report: Path) -> str:
    if not runs:
        return "It has no run yet: leave --since out."
    of_all = "Its only run" if len(runs) == 1 else f"The last of its {counted(len(runs), 'run')}"
    last = f"{of_all} is {runs[-1]}"
    return f"{last}; {report} lists them under `runs`." if report.is_file() else f"{last}."


def _replaced_tokens(look: Snapshot, later: set[str]) -> dict[str, str]:
    """Give the token that each id had when the run ended, where a later run replaced it."""
    old: dict[str, str] = {}
    for block in look.superseded_cards():
        for values in block:
            row: dict[str, Any] = dict(zip(SUPERSEDED.asked, values, strict=True))
            if row["run_id"] in later:
                # Of several replacements the first is the one that took the old token's place.
                old.setdefault(row["legacy_id"], row["token_id"])
    return old
