"""Writes the profile of `cardferry check` as a page: one file that needs nothing and runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.failure_codes import FAILURE_CODES
from pipeline.outputs.charts import shares
from pipeline.outputs.report import page_of
from pipeline.outputs.wording import FAR_AHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIXES = (
    ("brands", "Brands", "Brand"),
    ("expiration_years", "Years in which the cards expire", "Year"),
    ("name_scripts", "Scripts that the names are written in", "Script"),
    ("name_letters", "Letters in the names, beyond ASCII", "Letter"),
    ("customers_by_cards", "Customers by their number of cards", "Cards"),
    ("lookalike_ids", "Ids that pass as a card number by chance", "Column"),
    ("left_out", "Optional values that are left out", "Field"),
)
"""Figures that are counts by a word: the figure's name, the table's caption and its first column."""


def render_profile(figures: Mapping[str, Any]) -> bytes:
    """Give the page for what `migration.check.profile` found."""
    network = figures["network_transaction_ids"] or {}
    return page_of(
        "profile.html.j2",
        figures=figures,
        outcomes={
            "would be sent": figures["to_send"],
            "already there from another row": figures["already_tokenized"],
            "would be rejected": figures["rejected"],
            "skipped": sum(figures["skipped"].values()),
        },
        failures=sorted(figures["failures"].items(), key=lambda item: -item[1]),
        codes=FAILURE_CODES,
        bars={"failures": shares(figures["failures"])},
        mixes=[
            (name, caption, first, figures[name], shares(figures[name]))
            for name, caption, first in _MIXES
            if figures[name]
        ],
        network=network,
        far_ahead=FAR_AHEAD,
    )
