"""Counts what attempts at the vault come to, in the run's moving figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import RowState

if TYPE_CHECKING:
    from pipeline.metrics import Flow
    from pipeline.migration.transitions import Transition
    from pipeline.model import Outcome


def count(flow: Flow, transition: Transition, outcome: Outcome, took_s: float, brand: str) -> None:
    """Count what an attempt came to.

    Args:
        flow: The figures; they are changed.
        transition: Where the attempt took its row.
        outcome: What it came to.
        took_s: How long it took; 0 for one that was never sent.
        brand: The card's brand as we call it.
    """
    if took_s:
        flow.latencies.add(took_s)
    if transition.state is RowState.TOKENIZED:
        flow.tokenized += 1
        token = outcome.token
        flow.other_brands += token is not None and not _is_same_brand(token.brand, brand)
    elif transition.state is RowState.REJECTED:
        flow.rejected += 1
    elif transition.state is RowState.FAILED:
        flow.failed += 1
    elif transition.state is RowState.HELD:
        flow.held += 1
    if transition.code is not None:
        flow.codes[transition.code] += 1
    flow.answers[outcome.kind] += 1


def _is_same_brand(theirs: str, ours: str) -> bool:
    """Compare names of brands as far as vaults write them alike: letters, whatever their case."""
    return theirs == ours or _letters(theirs) == _letters(ours)


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name)).casefold()
