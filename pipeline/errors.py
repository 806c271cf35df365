"""Defines the troubles that end a run, each with its exit code and the next thing to do.

Row problems are values (`pipeline.model.Rejection`); these are exceptions. Nothing is both.
A message says what happened, `next_step` what to do about it; neither ever holds a value from
the data, so both may be printed anywhere.

    CardferryError                 1   a bug, if it is ever raised bare
    ├── VaultUnavailable           4   outage, retry budget spent, an answer that cannot be trusted
    ├── LocalStorageFailed         5   disk full, failing sync, unwritable folder
    ├── LocalResourcesExhausted    5   no descriptor, no memory, no port left on this machine
    ├── ExportRefused              6   wrong key, damaged, unsigned, security codes, bad header
    │   ├── ExportDamaged          6   these bytes will never do: cut short, changed or empty
    │   └── KeyUnusable            6   our key is missing, unreadable or locked; no export is to blame
    ├── SettingsRefused            7   every problem of the settings at once
    │   └── VaultRefusedSettings   7   key refused, redirect, wrong mode, certificate refused
    ├── VerificationFailed         8   ledger, trail, manifest or an output does not verify
    ├── CardNumberFound            9   a card number where none may be
    ├── MigrationLocked           11   another run holds this migration
    └── Interrupted      129/130/143   SIGHUP, SIGINT or SIGTERM, after draining
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES: Final = {
    0: "every row of the given exports is settled, none newly rejected, failed or held",
    1: "a bug (types and places are printed, never values)",
    2: "wrong command line",
    3: "finished, but this command rejected, failed or held rows",
    4: "stopped, resumable: rows wait (vault unavailable, outage, or rows left by --limit)",
    5: "local trouble: disk, descriptors, memory, unwritable output; nothing lost, run again",
    6: "export refused: missing, wrong key, damaged, unsigned, security codes, header",
    7: "settings wrong or refused; every problem is listed",
    8: "ledger, trail or manifest does not verify, or the vault does not hold what the mapping says",
    9: "a card number where none may be",
    11: "another run holds this migration",
    129: "stopped by SIGHUP after draining; resumable",
    130: "stopped by SIGINT after draining; resumable",
    143: "stopped by SIGTERM after draining; resumable",
}
"""What each exit code means; README and every help text are made from it."""

SUCCESSES: Final = frozenset({0, 3})
"""Exit codes of a command that settled every row of its exports, well (0) or badly (3)."""


class CardferryError(Exception):
    """A trouble that ends the run.

    Args:
        message: What happened, in one sentence without any value from the data.
        next_step: What the operator can do about it, in one sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class VaultUnavailable(CardferryError):
    """The vault cannot be reached or trusted now; the same command goes on later."""

    exit_code = 4


class LocalStorageFailed(CardferryError):
    """This machine's disk refused; nothing is lost and the same command goes on."""

    exit_code = 5


class LocalResourcesExhausted(CardferryError):
    """This machine gives no more descriptors, memory or ports; nothing is lost.

    Args:
        trouble: What the operating system said.
    """

    exit_code = 5

    def __init__(self, trouble: OSError) -> None:
        number = trouble.errno or 0
        super().__init__(
            f"this machine refused a connection: {os.strerror(number)} "
            f"({errno.errorcode.get(number, number)})",
            next_step="Lower flow.in_flight_max or raise the limit (`ulimit -n`), then run again.",
        )


class ExportRefused(CardferryError):
    """The export cannot be accepted as it is; nothing of it was sent."""

    exit_code = 6

    def naming(self, export: str) -> ExportRefused:
        """Give the same refusal with the export's name in front, if it is not there yet."""
        if self.message.startswith(f"{export}: "):
            return self
        return type(self)(f"{export}: {self.message}", next_step=self.next_step)


class ExportDamaged(ExportRefused):
    """The file is not as it was sent, or was sent so; these bytes will never do."""


class TooManyFailures(ExportRefused):
    """More of its rows fail than `rules.max_failure_rate` allows."""


class KeyUnusable(ExportRefused):
    """The configured key itself cannot be used now; that says nothing against an export."""


class SettingsRefused(CardferryError):
    """The settings are wrong; every problem is listed at once.

    Args:
        problems: One sentence a problem, each naming its setting and never its value.
        next_step: What to do next.
    """

    exit_code = 7

    def __init__(
        self,
        problems: Sequence[str],
        *,
        next_step: str = "Correct it; `cardferry config --example` shows every setting.",
    ) -> None:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"the settings are refused:{lines}", next_step=next_step)
        self.problems = tuple(problems)


class VaultRefusedSettings(SettingsRefused):
    """The vault answered in a way that no row can be blamed for: its key, mode, or identity."""


class VerificationFailed(CardferryError):
    """Something that was written no longer says what it said."""

    exit_code = 8


class CardNumberFound(CardferryError):
    """A card number stands where none may be."""

    exit_code = 9


class MigrationLocked(CardferryError):
    """Another run holds this migration folder."""

    exit_code = 11

    def __init__(
        self,
        message: str = "another run holds this migration",
        *,
        next_step: str = "Wait for it (`--wait-lock 15m` does), or look at it with `cardferry status DIR`.",
    ) -> None:
        super().__init__(message, next_step=next_step)


class Interrupted(CardferryError):
    """A signal asked the run to stop and it did, with everything settled or counted.

    Args:
        signal_number: The signal: SIGHUP (1), SIGINT (2) or SIGTERM (15).
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(
            "stopped by a signal; every answer that came was kept",
            next_step="Run the same command again to go on.",
        )
        self.signal_number = signal_number

    @property
    def exit_status(self) -> int:
        """128 plus the signal's number, as shells expect."""
        return 128 + self.signal_number


def exit_status(error: CardferryError) -> int:
    """Give the exit code that the command line ends with for this trouble."""
    return error.exit_status if isinstance(error, Interrupted) else error.exit_code


WRITTEN_BY_NOBODY: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
)
"""What reading a row of a ledger raises when it holds something that Cardferry never writes."""
