"""Judges the customer columns of a chunk, where every card is to be put on a customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pipeline.failure_codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

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


def broken_rules(
    columns: Mapping[str, list[str]], count: int, rules: CustomerRules
) -> Iterator[tuple[str, str, Flags]]:
    """Give code, field and the rows that break it, for each rule about customers.

    Args:
        columns: A chunk's texts; a customer column may be missing.
        count: How many rows there are.
        rules: What they are judged by.
    """
    if rules.is_required:
        yield (
            Code.CUSTOMER_MISSING,
            "customer",
            _which(columns.get("customer"), count, lambda text: not text),
        )
    if "customer_id" in columns:
        yield (
            Code.CUSTOMER_ID_INVALID,
            "customer_id",
            _which(
                columns["customer_id"],
                count,
                lambda text: bool(text) and not rules.is_existing(text),
            ),
        )


def _which(texts: list[str] | None, count: int, is_broken: Callable[[str], bool]) -> Flags:
    if texts is None:
        return np.full(count, is_broken(""))
    return np.array([is_broken(text) for text in texts], dtype=np.bool_)
