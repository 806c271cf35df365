"""Says which outcomes end a run, and with which trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.counts import counted
from pipeline.errors import (
    CardferryError,
    CardNumberFound,
    VaultRefusedSettings,
    VaultUnavailable,
)
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.flow.row_refusals import Refusal
from pipeline.vault.interface import ECHOED

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = "vault.public_key: "
_FORM: Final = (
    "[export.columns] or vault.api_version: the vault rejects the form of every request so far"
)


def trouble_of(outcome: Outcome, refusal: Refusal | None) -> CardferryError | None:
    """Give the trouble that an outcome ends the run with, `None` when the run goes on.

    Args:
        outcome: What an attempt came to.
        refusal: Whom it speaks of, if it refuses.
    """
    if outcome.kind is OutcomeKind.MISMATCH:
        return _echoed() if outcome.evidence == ECHOED else mixed_up()
    for_all = outcome.kind is OutcomeKind.DENIED and refusal is Refusal.OF_ALL
    if for_all or outcome.kind is OutcomeKind.FATAL:
        return refused(outcome.setting or outcome.evidence)
    if outcome.is_of_form and refusal is Refusal.OF_ALL:
        return refused(_FORM)
    return None


def mixed_up() -> VaultUnavailable:
    """Give the trouble that an answer for another card, or a token id given twice, means."""
    return VaultUnavailable(
        "the vault mixed cards up: an answer spoke of another card; the rows are held",
        next_step="Talk to the vault before you run again; `failures.csv` lists the rows.",
    )


def too_many_failures() -> VaultUnavailable:
    """Give the trouble that more failing rows than the settings allow mean."""
    return VaultUnavailable(
        "more rows fail than rules.max_failure_rate allows",
        next_step="Look at `cardferry status DIR`. Set the rule higher, and the same command goes on with the "
        "rows that wait; those that failed stay so and are not sent again.",
    )


class VaultOutage(VaultUnavailable):
    """The vault does nothing for this process, and perhaps for nobody."""


def outage(troubles: Mapping[str, int]) -> VaultOutage:
    """Give the trouble that a vault out of order for too long means.

    Args:
        troubles: What requests met, the commonest first, with how many.
    """
    met = next(iter(troubles), None)
    return VaultOutage(
        "the vault has been out of order for longer than flow.outage_max_s"
        + (f"; what most requests met: {met}" if met else ""),
        next_step="Run the same command again when the vault is well.",
    )


def too_many_in_doubt() -> VaultUnavailable:
    """Give the trouble that too many tokens whose cards cannot be settled now mean."""
    return VaultUnavailable(
        "the API host leaves the cards of as many tokens in doubt as may be under way",
        next_step="Run the same command again when it is well; no card is lost.",
    )


def _echoed() -> CardNumberFound:
    return CardNumberFound(
        "the vault's answer repeats the card number in a field that is kept; the row is held",
        next_step="Talk to the vault; nothing of that answer was written down.",
    )


def once_cards_were_taken(trouble: CardferryError | None, tokenized: int) -> CardferryError | None:
    """Say of a key that is refused in mid-run that the vault took cards with it before.

    Args:
        trouble: What stopped the run.
        tokenized: How many cards of this run got a token.
    """
    if not tokenized or not isinstance(trouble, VaultRefusedSettings):
        return trouble
    taken = f"; the vault took {counted(tokenized, 'card')} of this run with this key before it refused it"
    problems = [each + taken if each.startswith(_KEY) else each for each in trouble.problems]
    if problems == list(trouble.problems):
        return trouble
    return VaultRefusedSettings(
        problems,
        next_step="Ask whether the key was revoked, or whether the vault has trouble. Put a new one in the "
        "settings file, or where that points to. `cardferry doctor -o DIR -c CONFIG` tests the key and "
        "sends no card. Then run the same command again.",
    )


def refused(setting: str) -> VaultRefusedSettings:
    """Give the trouble that the vault's refusal of everybody means; `setting` says where to look."""
    return VaultRefusedSettings(
        [setting],
        next_step="Correct it in the settings file, or where that points to, then run the same command again.",
    )
