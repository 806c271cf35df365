"""Sums a migration up in the sentences that a reader meets first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def judge(balance: Mapping[str, int], unseen: int) -> dict[str, str]:
    """Sum a migration up.

    Args:
        balance: Rows read, what became of them, and the difference.
        unseen: U, the most tokens that may exist unseen.

    Returns:
        `outcome` as one word for programs, `sentence` for people, and `unseen` on U.
    """
    outcome, sentence = _verdict(balance)
    return {"outcome": outcome, "sentence": sentence, "unseen": unseen_in_words(unseen)}


def _verdict(balance: Mapping[str, int]) -> tuple[str, str]:
    rows = balance["rows"]
    mapped = balance["tokenized"] + balance["already_tokenized"]
    missing = balance["rejected"] + balance["failed"]
    if balance["difference"]:
        return "does_not_balance", (
            f"The counts do not add up: {_rows(abs(balance['difference']))} "
            f"{'have' if abs(balance['difference']) > 1 else 'has'} no known ending. "
            "Trust nothing here before that is explained."
        )
    if not rows:
        return "empty", "The exports held no rows, so there was nothing to move."
    if balance["pending"]:
        return "unfinished", (
            f"Not finished: {_rows(balance['pending'])} of {rows:,} still wait to be sent. "
            "The same command goes on where this left off."
        )
    if balance["held"]:
        return "held", (
            f"Finished, with {_rows(balance['held'])} held back for a decision: "
            f"{mapped:,} of {rows:,} with a token, {missing:,} without one."
        )
    if missing:
        return "complete_with_failures", (
            f"Finished: {mapped:,} of {rows:,} rows have a token; "
            f"{missing:,} could not be moved, and each is listed with its reason."
        )
    return "complete", f"Complete: every one of the {rows:,} rows has a token."


def unseen_in_words(unseen: int) -> str:
    """Say what U means for whoever has never heard of it."""
    if not unseen:
        return (
            "Every card that was sent got an answer that was kept, so no token exists that this "
            "report does not know of."
        )
    tokens = "one token" if unseen == 1 else f"{unseen:,} tokens"
    return (
        f"At most {tokens} may exist in the vault that nobody saw: that often a card was sent and "
        "no answer that could be trusted came back. It is an upper bound and not a count, since "
        "the vault has no way to list tokens. An unseen token was charged nothing and maps to no "
        "legacy id, and nobody can use it without knowing its id."
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
