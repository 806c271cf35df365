"""Names what a sandbox is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.sandbox.accounts import Account, pair_keys
from pipeline.sandbox.assumptions import Assumptions
from pipeline.sandbox.brands import BRAND_NAMES
from pipeline.sandbox.description import NEWEST

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT: Final = 8787
DEFAULT_TOKENS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that can be said about a sandbox; the defaults answer at once and never fail.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        accounts: Who may ask.
        rate_per_s: Requests a second for each account and address; None for no limit.
        api_rate_per_s: The same for everything but `/tokens`; None for one limit on both.
        burst: Requests that may come at once; None for a tenth of a second's, at least two.
        tells_wait: Whether a 429 of the limit carries `Retry-After`.
        latency_s: Seconds that every answer takes at least.
        faults: The fault script, see `pipeline.sandbox.faults`.
        api_faults: The script of everything but `/tokens`; None for one script on both.
        late_s: How late the fault `Z` does its work, in seconds.
        journal: A file that gets a line for everything made, attached or deleted.
        db: A SQLite file for the state; None keeps it in memory.
        tokens_max: How many tokens the memory remembers.
        brands: The brands that the accounts may take.
        version: The API version of requests that name none.
        webhook_uri: Where `/account` says that events are sent; nothing is sent there.
        customers: Ids of customers that the first account has from the start.
        assume: What to do where the real vault is unknown.
    """

    host: str = "127.0.0.1"
    port: int = 0
    accounts: tuple[Account, ...] = field(default_factory=lambda: pair_keys((), ()))
    rate_per_s: float | None = None
    api_rate_per_s: float | None = None
    burst: float | None = None
    tells_wait: bool = True
    latency_s: float = 0.0
    faults: str = "."
    api_faults: str | None = None
    late_s: float = 1.0
    journal: Path | None = None
    db: Path | None = None
    tokens_max: int = DEFAULT_TOKENS_MAX
    brands: frozenset[str] = frozenset(BRAND_NAMES)
    version: str = NEWEST
    webhook_uri: str | None = None
    customers: tuple[str, ...] = ()
    assume: Assumptions = field(default_factory=Assumptions)
