"""Lists the exit codes with what each means; README and every help text are made from it."""

from __future__ import annotations

from typing import Final

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
