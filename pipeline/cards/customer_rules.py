"""Judges the customer columns of a chunk, where every card is to be put on a customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pipeline.failure_codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    import pandas as pd

    Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CustomerRules:
    """What the customer columns are judged by.

    Args:
        is_required: Whether a card without a customer is rejected.
        is_existing: Says whether a text can be the id of an existing customer, of this mode.
    """

    is_required: bool
    is_existing: Callable[[str], bool]


def broken_rules(frame: pd.DataFrame, rules: CustomerRules) -> Iterator[tuple[str, str, Flags]]:
    """Give code, field and the rows that break it, for each rule about customers.

    Args:
        frame: A chunk's rows; a customer column may be missing.
        rules: What they are judged by.
    """
    if rules.is_required:
        yield Code.CUSTOMER_MISSING, "customer", _which(frame, "customer", lambda text: not text)
    if "customer_id" in frame.columns:
        yield (
            Code.CUSTOMER_ID_INVALID,
            "customer_id",
            _which(frame, "customer_id", lambda text: bool(text) and not rules.is_existing(text)),
        )


def _which(frame: pd.DataFrame, column: str, is_broken: Callable[[str], bool]) -> Flags:
    if column not in frame.columns:
        return np.full(len(frame), is_broken(""))
    return np.array([is_broken(text) for text in frame[column].tolist()], dtype=np.bool_)
