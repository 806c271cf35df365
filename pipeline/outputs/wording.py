"""Says codes and numbers in the words and figures that readers of the report see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.cards.field_formats import YEARS_AHEAD_MAX
from pipeline.counts import agreeing, counted

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Final = "\u2013"
"""A dash, where there is no value."""

ENDING_WORDS: Final = {
    "tokenized": "tokenized in this migration",
    "already_tokenized": "already tokenized, same card",
    "skipped": "skipped: nothing to move, or left out",
    "rejected": "rejected",
    "failed": "failed at the vault",
    "held": "held for a decision",
    "pending": "still waiting",
}
"""What became of rows, in the order of the balance."""

OUTCOME_WORDS: Final = {
    "ok": "done: token made, card attached",
    "throttled": "slow down (429)",
    "rejected": "rejected: a card, or a token used before",
    "declined": "vault could not (5xx and the like)",
    "ambiguous": "no trustworthy answer",
    "mismatch": "answer about another card",
    "not_sent": "not sent at all",
    "fatal": "run stopped",
}
"""What attempts came to."""

HASH_WORDS: Final = {
    "mapping": "In the mapping",
    "unattached": "With a token, but on no customer",
    "superseded": "Replaced by a newer card",
    "already_tokenized": "Already tokenized",
    "skipped": "Skipped",
    "failures": "In the failure report",
    "resolved": "Failed once, moved by a later row",
    "pending": "Still waiting",
}
"""Where legacy ids ended, in the order in which their hash totals are added up."""

QUANTILE_WORDS: Final = {
    "p50": "Latency, median",
    "p95": "Latency, 95 of 100 answers",
    "p99": "Latency, 99 of 100 answers",
}

EXIT_WORDS: Final = {
    None: "has not ended, or was killed",
    0: "every row of its exports settled",
    1: "stopped by a bug",
    3: "finished, some rows did not move",
    4: "stopped, resumable",
    5: "stopped: local disk",
    6: "export refused",
    7: "settings refused",
    8: "stopped: verification failed",
    9: "stopped: card number found",
    129: "stopped, as its terminal went away",
    130: "stopped by the operator",
    143: "stopped by the system",
}

STATE_ROLES: Final = {
    **{state: state for state in ("tokenized", "already_tokenized", "skipped")},
    **{state: state for state in ("rejected", "failed", "held")},
    **dict.fromkeys(("planned", "sent", "ambiguous"), "pending"),
}
"""The colour of each state of a row: that of its ending."""

FILE_WORDS: Final = {
    "mapping.parquet": "each legacy id with its token",
    "failures.parquet": "each row that is open, with its reason",
    "failures.csv": "the same for a spreadsheet",
    "customers.parquet": "each customer that cards were attached to",
    "customers.csv": "the same for a spreadsheet",
    "superseded.parquet": "each token that a newer card replaced",
    "report.json": "the numbers of this report",
    "report.html": "this report",
    "trail.jsonl": "who did what and when, each event tied to the one before it",
    "manifest.json": "the digest of every file and table",
    "manifest.json.sig": "the signature over the manifest",
}
"""What each file of a migration's folder is."""

TONES: Final = {"complete": "good", "empty": "good", "does_not_balance": "bad"}
"""How a verdict is coloured; everything else asks for attention."""

_PICTURES: Final = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
"""Control characters, and the pictures that Unicode has of them."""

_UNSEEN: Final = dict.fromkeys(
    (0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF), 0xFFFD
)
"""Characters that show nothing and may turn text around; each shows as a replacement mark."""


def number(value: Any) -> str:
    """Give a count with commas between thousands; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    return f"{value:,}"


def share(value: int, whole: int) -> str:
    """Give a share in percent, never rounded to all or nothing."""
    if not whole:
        return NOTHING
    percent = 100 * value / whole
    if 0 < percent < 0.1:  # noqa: PLR2004 - one digit shows no less.
        return "< 0.1 %"
    if 99.9 < percent < 100:  # noqa: PLR2004 - and no more.
        return "> 99.9 %"
    return f"{percent:.1f} %"


def milliseconds(microseconds: Any) -> str:
    """Give a latency in milliseconds."""
    return f"{microseconds / 1000:,.1f} ms" if isinstance(microseconds, int) else NOTHING


def moment(text: str | None) -> str:
    """Give a moment without its letters."""
    return NOTHING if text is None else text.replace("T", " ").removesuffix("Z")


def visible(value: Any) -> str:
    """Give a text from outside so that every character of it can be seen."""
    return str(value).translate(_PICTURES).translate(_UNSEEN)


def ending(exit_code: int | None) -> str:
    """Say in words how a run ended; an unknown code stands for itself."""
    return EXIT_WORDS.get(exit_code, f"exit code {exit_code}")


def verdict_of(
    balance: Mapping[str, int],
    unseen: int,
    resolved: Mapping[str, int] | None = None,
    attach: Mapping[str, int] | None = None,
    left_out: int = 0,
) -> dict[str, str]:
    """Sum a migration up.

    Args:
        balance: Rows read, what became of them, and the difference.
        unseen: U, the most tokens that may exist unseen.
        resolved: Rows by state that failed and whose legacy id a later row moved.
        attach: What became of the tokens' cards; None for tokens alone.
        left_out: The skipped rows among them that are not in a cohort, or were given up.

    Returns:
        `outcome` as one word for programs, `sentence` for people, and `unseen` on U.
    """
    outcome, sentence = attach_verdict(*_verdict(balance, resolved or {}, left_out), attach)
    return {"outcome": outcome, "sentence": sentence, "unseen": unseen_in_words(unseen)}


def _verdict(
    balance: Mapping[str, int], resolved: Mapping[str, int], left_out: int
) -> tuple[str, str]:
    rows = balance["rows"]
    mapped = balance["tokenized"] + balance["already_tokenized"]
    rejected, failed, held = (
        balance[state] - resolved.get(state, 0) for state in ("rejected", "failed", "held")
    )
    if balance["difference"]:
        return "does_not_balance", (
            f"The counts do not add up: {counted(abs(balance['difference']), 'row')} "
            f"{agreeing(abs(balance['difference']), 'has', 'have')} no known ending. "
            "Trust nothing here before that is explained."
        )
    if not rows:
        return "empty", "The exports held no rows, so there was nothing to move."
    if balance["pending"]:
        return "unfinished", (
            f"Not finished: {counted(balance['pending'], 'row')} of {rows:,} still {agreeing(balance['pending'], 'waits', 'wait')} to be sent. "
            "A run that is given their exports again goes on where this left off."
        )
    aside = _aside(balance.get("skipped", 0) - left_out, left_out, sum(resolved.values()))
    if held:
        return "held", (
            f"Finished, with {counted(held, 'row')} held back for a decision: "
            f"{mapped:,} of {counted(rows, 'row')} {agreeing(mapped, 'has', 'have')} a token, "
            f"{held + rejected + failed:,} {agreeing(held + rejected + failed, 'has', 'have')} none{_lost(rejected + failed)}{aside}."
        )
    if rejected + failed:
        return "complete_with_failures", (
            f"Finished: {mapped:,} of {counted(rows, 'row')} {agreeing(mapped, 'has', 'have')} a token; "
            f"{rejected + failed:,} could not be moved, and each is listed with its reason{aside}."
        )
    some = f"{mapped:,} of {counted(rows, 'row')} {agreeing(mapped, 'has', 'have')}"
    every = (
        some
        if aside
        else agreeing(rows, "the one row has", f"every one of the {counted(rows, 'row')} has")
    )
    return "complete", f"Complete: {every} a token{aside}."


def _lost(count: int) -> str:
    """Tell of the rows without a token that are not held back."""
    return f", of which {count:,} could not be moved" if count else ""


def _aside(empty: int, left_out: int, resolved: int) -> str:
    """Tell of the rows that are neither moved nor missing."""
    told = [f"; {counted(empty, 'row')} had nothing to move"] if empty else []
    if left_out:
        # They have cards: whoever reads that nothing is left to do would leave them behind.
        told.append(f"; {left_out_words(left_out)}")
    told += (
        [f"; {counted(resolved, 'row')} failed at first and moved by a later row"]
        if resolved
        else []
    )
    return "".join(told)


def left_out_words(count: int) -> str:
    """Tell of rows that hold cards and were not to be moved yet, or never."""
    were = agreeing(count, "was", "were")
    return f"{counted(count, 'row')} {were} left out (not in the cohort, or given up)"


TOKENS_PERISH: Final = (
    "Tokens are single-use and perish: put the cards on customers ([attach] in the settings, "
    "then `cardferry retry --unattached`) before they do."
)
"""What whoever migrates tokens alone has to know."""

FAR_AHEAD: Final = (
    f"more than {YEARS_AHEAD_MAX} years ahead: the years may be of the Buddhist era (25xx) in two "
    "digits, or in another `export.columns.expiration.format`; look before you send them"
)
"""What is odd about expirations that the rules still accept."""


def attach_verdict(
    outcome: str, sentence: str, attach: Mapping[str, int] | None
) -> tuple[str, str]:
    """Give the verdict once what became of the cards is known; the first two as they were without.

    Args:
        outcome: As far as tokens go.
        sentence: The same for people.
        attach: The attach balance; None for tokens alone.
    """
    if attach is None or outcome not in {"complete", "complete_with_failures", "held"}:
        return outcome, sentence
    on = attach["attached"] + attach["reused"]
    off = attach["attach_failed"] + attach["attach_held"]
    waiting = attach["unattached"]
    if waiting:
        tokens = f"{counted(waiting, 'token')} {agreeing(waiting, 'is', 'are')}"
        words = f"{tokens} not attached yet; the same command goes on."
        return "unfinished", f"{sentence} {_on_customers(on)}; {words}"
    if off:
        words = f"{off:,} could not be put there, and each is listed with its reason."
        return (
            "held" if attach["attach_held"] or outcome == "held" else "complete_with_failures",
            f"{sentence} {_on_customers(on)}; {words}",
        )
    if not on:
        return outcome, sentence
    every = "The one card is on its customer" if on == 1 else f"All {_on_customers(on)}"
    return outcome, f"{sentence} {every}."


def _on_customers(cards: int) -> str:
    where = agreeing(cards, "is on its customer", "are on their customers")
    return f"{counted(cards, 'card')} {where}"


def unseen_in_words(unseen: int) -> str:
    """Say what U means for whoever has never heard of it."""
    if not unseen:
        return (
            "Every card that was sent got an answer that was kept, so no token exists that this "
            "report does not know of."
        )
    tokens = counted(unseen, "token")
    return (
        f"At most {tokens} may exist in the vault that nobody saw: that often a card was sent and "
        "no answer that could be trusted came back. It is an upper bound and not a count, since "
        "the vault has no way to list tokens. An unseen token was charged nothing and maps to no "
        "legacy id, and nobody can use it without knowing its id."
    )
