"""Reads a migration back from the vault and compares it, card by card, with what the ledger says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import LocalStorageFailed, SettingsRefused, VaultUnavailable
from pipeline.ledger.ledger_url import LEDGER_NAME, is_begun
from pipeline.ledger.publications import READING_BACK
from pipeline.metrics import Flow
from pipeline.migration import vault_factory
from pipeline.migration.readback_customers import CustomersReadBack
from pipeline.migration.readback_findings import Checked, ReadbackFinding, compare_token
from pipeline.migration.readback_progress import ReadbackProgress
from pipeline.migration.run_ledger import opened_alone
from pipeline.migration.vault_reader import VaultReader
from pipeline.outputs.readback import READBACK_NAME, write_readback
from pipeline.outputs.signature import Signer
from pipeline.vault.flow.flow_control import FlowControl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.readback_questions import HeldCard
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.migration.run_request import Tools
    from pipeline.vault.interface import CustomerAnswer, Vault

SAMPLE: Final = 100
"""So many tokens are read back unless more are asked for: it is one request each."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What reading back found.

    Attributes:
        findings: How many cards, or tokens, by `ReadbackFinding`.
        held: How many the vault should hold.
        is_sample: Whether only some were read.
        is_of_tokens: Whether tokens were read, as no card is on a customer.
        requests: How many requests this command made.
    """

    findings: dict[str, int]
    held: int
    is_sample: bool
    is_of_tokens: bool
    requests: int

    @property
    def read(self) -> int:
        """How many were read back."""
        return sum(
            count for name, count in self.findings.items() if name != ReadbackFinding.STRANGER
        )

    @property
    def differs_at_most(self) -> float | None:
        """The share of all that differ at most, with 95 % confidence, where a sample was as held."""
        if not self.is_sample or not self.is_good or not self.read:
            return None
        return 0.0 if self.read == self.held else 1 - 0.05 ** (1 / self.read)

    @property
    def is_good(self) -> bool:
        """Whether the vault holds what the ledger says, and nothing else of ours."""
        return not any(count for name, count in self.findings.items() if name != ReadbackFinding.OK)


@dataclass(frozen=True, slots=True)
class ReadbackRequest:
    """What is to be read back: a sample of so many, or everything; None leaves it to the kind.

    Attributes:
        wait_s: How long to wait for a run of the folder to end.
    """

    sample: int | None = None
    everything: bool = False
    wait_s: float = 0.0


def read_back(
    folder: Path,
    asked: ReadbackRequest,
    settings: tuple[Settings, Credentials],
    tools: Tools,
    who: tuple[str, str],
) -> ReadBack:
    """Read a folder's cards back from the vault, write `readback.parquet`, and note it in the trail.

    Args:
        folder: The migration folder.
        asked: How much of it.
        settings: The settings that the run was started with, and its keys.
        tools: Clock, randomness, who is shown the progress, and who is told what takes long.
        who: Who looks, and from which host and process, for the trail.

    Raises:
        SettingsRefused: Cards are attached, and the settings have no `[attach]`.
        VaultUnavailable: The vault did not answer; the same command goes on.
        LocalStorageFailed: There is no ledger, the disk refused, or the ledger's server did not
            come back soon.
    """
    if not is_begun(folder):
        raise LocalStorageFailed(
            f"{LEDGER_NAME} is not in the folder", next_step="Name a migration folder."
        )
    with opened_alone(folder, asked.wait_s, tools) as ledger:
        ledger.signer = Signer.of(settings[1])
        ledger.attend(*who)

        def read(look: Snapshot) -> tuple[_Reading, ReadBack]:
            # Begun anew it goes on where it was.
            reading = _Reading(look, folder, asked, settings, tools)
            return reading, reading.perform()

        reading, found = ledger.ask(read)
        sha256 = write_readback(folder, reading.progress.rows(), _facts(ledger, found))
        ledger.note(
            READING_BACK,
            resource=READBACK_NAME,
            success=found.is_good,
            sha256=sha256,
            held=found.held,
            sample=found.is_sample,
            tokens=found.is_of_tokens,
            **found.findings,
        )
        reading.progress.finish()
    return found


def _facts(ledger: Ledger, found: ReadBack) -> dict[str, str]:
    return {
        "ledger": ledger.run_id,
        "held": str(found.held),
        "sample": str(found.is_sample).lower(),
    }


class _Reading:
    """One reading back, from the look at the ledger to the last request."""

    def __init__(
        self,
        look: Snapshot,
        folder: Path,
        asked: ReadbackRequest,
        settings: tuple[Settings, Credentials],
        tools: Tools,
    ) -> None:
        self._look = look
        self._settings, self._credentials = settings
        self._clock, self._random, self._listener = tools.clock, tools.random, tools.listener
        self._is_of_tokens = not look.is_attaching()
        if not self._is_of_tokens and self._settings.attach is None:
            raise SettingsRefused(
                ["attach: cards are on customers, and these settings name no API host"],
                next_step="Name the settings file that the run was started with.",
            )
        size = asked.sample
        if size is None and self._is_of_tokens and not asked.everything:
            size = SAMPLE
        self._size = size
        about = {
            "head": look.publication_history().head,
            "sample": size,
            "mode": str(self._settings.vault.mode),
        }
        self.progress = ReadbackProgress(folder, about)
        self._requests = 0

    def perform(self) -> ReadBack:
        try:
            with self._listener.reading("the vault") as self.progress.counter:
                held = asyncio.run(self._read())
        except BaseException:
            self.progress.close()
            raise
        findings = {finding.value: self.progress.findings[finding] for finding in ReadbackFinding}
        return ReadBack(findings, held, self._size is not None, self._is_of_tokens, self._requests)

    async def _read(self) -> int:
        settings, attach = self._settings, self._settings.attach
        url = settings.vault.url if self._is_of_tokens or attach is None else attach.url
        rate = settings.flow.rate_per_s
        if not self._is_of_tokens and attach is not None:
            rate = attach.rate_per_s
        limit = vault_factory.slots(settings)
        flow_control = FlowControl(
            vault_factory.adaptive_rate(rate, None),
            limit,
            self._clock,
            self._random,
            Flow(),
            asyncio.Event(),
        )
        self._reader = VaultReader(flow_control, self._clock, settings.flow.attempts_max)
        async with vault_factory.transport(settings, url=url) as line:
            if self._is_of_tokens:
                vault = vault_factory.client(settings, self._credentials, line, self._clock)
                return await self._rows(partial(self._token, vault))
            customers = CustomersReadBack(
                self._look,
                vault_factory.customer_client(settings, self._credentials, line, self._clock),
                self._ask,
                self.progress,
                settings.flow.in_flight_max,
            )
            if self._size is not None:
                return await self._rows(customers.card)
            await customers.read_all()
            return sum(len(block) for block in self._look.rows_to_read_back())

    async def _token(self, vault: Vault, card: HeldCard) -> Checked:
        answer = await self._ask(partial(vault.show_token, card.token_id))
        return compare_token(card, answer.token)

    async def _ask(self, call: Callable[[], Awaitable[CustomerAnswer]]) -> CustomerAnswer:
        self._requests += 1
        answer = await self._reader.read(0, call)
        if answer is None:
            raise VaultUnavailable(
                "the vault gave no usable answer; what was read back so far is kept",
                next_step="Run the same command again when the vault is well.",
            )
        return answer

    async def _rows(self, read: Callable[[HeldCard], Awaitable[Checked]]) -> int:
        """Read the rows of a sample, or every token, one request each; give how many there are."""
        chosen: list[int] = []
        held = 0
        for block in self._look.rows_to_read_back():
            for (row,) in block:
                held += 1
                if self._size is None or len(chosen) < self._size:
                    chosen.append(row)
                elif (place := self._random.randrange(held)) < self._size:
                    chosen[place] = row
        chosen = self.progress.choose(chosen)
        step = self._settings.flow.in_flight_max
        for start in range(self.progress.offset, len(chosen), step):
            cards = self._look.cards_of(chosen[start : start + step])
            found = await asyncio.gather(*map(read, cards))
            self.progress.step(start + len(cards), [], found)
        return held
