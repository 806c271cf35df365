"""Finds out within seconds whether the vault can be reached, before the first card is touched."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pipeline.counts import counted
from pipeline.errors import SettingsRefused, VaultRefusedSettings, VaultUnavailable
from pipeline.ledger.key_values import API_ACCOUNT
from pipeline.logs import EventLog
from pipeline.migration import vault_factory
from pipeline.model import OutcomeKind
from pipeline.vault.probe import NoAnswer, NotReached, NotTrusted, address_of, probe

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.ledger import Ledger
    from pipeline.vault.interface import Account

PAUSES_S: Final = (0.0, 1.0, 2.0)
"""Before each look at the vault; a restart of a second or two is not worth a night."""

_ASKED: Final = f"asked {counted(len(PAUSES_S), 'time')} before the first card"
_PATIENCE_S: Final = 5.0
_NOT_REACHED_NEXT: Final = "Check `vault.url` and the network; or the vault itself is down. Then run the same command again."
_OUT_OF_ORDER: Final = frozenset({502, 503, 504})
"""With these a gateway says that what stands behind it is away; every card would meet the same."""

_CORRECT_BOTH: Final = (
    "Correct them in the settings file, or where that points to, then run the same command again; no card "
    "was sent."
)

log = EventLog("vault")


def reach_vault(
    settings: Settings, credentials: Credentials, clock: Clock, *, is_attaching: bool
) -> Account | None:
    """Connect to the vault, and to the API host where cards are attached; ask something harmless.

    Both are asked at once, for each takes a round trip of the time before the first card.

    Returns:
        The account that the secret key opens; None where there is none to ask for, or where a
        connection was made and nobody could tell, which the run's own patience deals with.

    Raises:
        VaultUnavailable: One cannot be reached or the vault is out of order; the message has
            address and cause.
        VaultRefusedSettings: The vault could not prove over TLS who it is, or the API host refuses
            the key or answers in the other mode; every such problem of both is listed.
    """
    if is_attaching:
        return asyncio.run(_reach_both(settings, credentials, clock))
    asyncio.run(_reach(settings, clock))
    return None


def require_same_account(ledger: Ledger, account: Account | None) -> None:
    """Refuse a secret key of another account than the one that this ledger's customers are in.

    There every customer would be unknown, and each card of one would fail for good.

    Args:
        ledger: The open ledger of the run.
        account: What the key opens; None where nobody could tell.

    Raises:
        SettingsRefused: It opens another; no card was sent.
    """
    if account is None:
        return
    is_bound = ledger.ask(lambda look: look.is_any_customer_known())
    known = ledger.recall(API_ACCOUNT)
    if is_bound and known not in {None, account.account_id}:
        raise SettingsRefused(
            ["attach.secret_key: opens another account than the one of this migration's customers"],
            next_step="Take the key of that account, or begin in another folder; no card was sent.",
        )
    if known != account.account_id:
        ledger.remember(API_ACCOUNT, account.account_id)


async def _reach_both(settings: Settings, credentials: Credentials, clock: Clock) -> Account | None:
    vault = asyncio.create_task(_reach(settings, clock))
    api = asyncio.create_task(_reach_api(settings, credentials, clock))
    await asyncio.wait([vault, api])
    troubles = [end for end in (vault.exception(), api.exception()) if end is not None]
    refusals = [trouble for trouble in troubles if isinstance(trouble, VaultRefusedSettings)]
    if len(refusals) > 1:
        problems = [problem for refusal in refusals for problem in refusal.problems]
        raise VaultRefusedSettings(problems, next_step=_CORRECT_BOTH)
    if troubles:
        raise troubles[0]
    return api.result()


async def _reach_api(settings: Settings, credentials: Credentials, clock: Clock) -> Account | None:
    url = settings.attach.url if settings.attach else ""
    outcome = None
    for pause_s in PAUSES_S:
        await clock.sleep(pause_s)
        async with vault_factory.transport(settings, _PATIENCE_S, url) as line:
            answer = await vault_factory.customer_client(
                settings, credentials, line, clock
            ).account()
        outcome = answer.outcome
        if answer.account is not None:
            log.info("the api host answers")
            return answer.account
        if outcome.kind in {OutcomeKind.FATAL, OutcomeKind.DENIED}:
            raise VaultRefusedSettings(
                [outcome.setting or f"attach.url or attach.secret_key: {outcome.evidence}"],
                next_step="Correct it in the settings file, or where that points to, then run the same command "
                "again; no card was sent.",
            )
    if outcome is not None and outcome.kind is OutcomeKind.NOT_SENT:
        raise VaultUnavailable(
            f"the API host at {address_of(url)} cannot be reached: {outcome.evidence}"
            f" ({_ASKED}); no card was sent",
            next_step="Check `attach.url` and the network; or the host itself is down. Then run the same command again.",
        )
    log.warning("the api host gave no usable answer to a harmless request")
    return None


async def _reach(settings: Settings, clock: Clock) -> None:
    url = settings.vault.url
    cause, next_step = "", ""
    for pause_s in PAUSES_S:
        await clock.sleep(pause_s)
        try:
            async with vault_factory.transport(settings, patience_s=_PATIENCE_S) as line:
                found = await probe(line, url)
        except NotTrusted as refused:
            raise VaultRefusedSettings(
                [f"vault.url or vault.ca_file: {address_of(url)}: {refused}"],
                next_step="Correct it, or have the vault's certificate mended.",
            ) from None
        except NotReached as failure:
            cause, next_step = f"cannot be reached: {failure}", _NOT_REACHED_NEXT
        except NoAnswer:
            log.warning("the vault gave no answer to a harmless request")
            return
        else:
            log.info("the vault answers", status=found.status, tls=found.peer is not None)
            if found.status not in _OUT_OF_ORDER:
                return
            cause = f"is out of order: it answers a harmless request with status {found.status}"
            next_step = "Run the same command again when the vault is well."
    raise VaultUnavailable(
        f"the vault at {address_of(url)} {cause} ({_ASKED}); no card was sent", next_step=next_step
    )
