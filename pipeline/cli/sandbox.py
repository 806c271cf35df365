"""Runs `cardferry sandbox`: an Omise-compatible vault on this machine, until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.sandbox.accounts import (
    DEFAULT_PUBLIC_KEY,
    DEFAULT_SECRET_KEY,
    KeysRefused,
    pair_keys,
)
from pipeline.sandbox.assumptions import AssumptionRefused, describe, read_assumptions
from pipeline.sandbox.brands import BRAND_NAMES
from pipeline.sandbox.cards import FRAUD_WORDS
from pipeline.sandbox.description import NEWEST, VERSIONS
from pipeline.sandbox.faults import LETTERS, ScriptRefused, read_script
from pipeline.sandbox.options import DEFAULT_PORT, DEFAULT_TOKENS_MAX, Options
from pipeline.sandbox.state import StateRefused
from pipeline.sandbox.versions import markdown

if TYPE_CHECKING:
    from pipeline.sandbox.accounts import Account
    from pipeline.sandbox.assumptions import Assumptions

_LETTER_LINES = "\n".join(f"  {letter}  {meaning}" for letter, meaning in LETTERS.items())
_ASSUMPTION_LINES = "\n".join(
    f"  {name}={values}\n      {meaning}" for name, values, meaning in describe()
)
_EPILOG = f"""\b
Faults: one letter a request, in order of arrival, the last one repeated.
{_LETTER_LINES}
With chances: --faults "seed=1 D=0.05 5=0.1", or --faults @FILE with such words and # comments.

\b
Assumptions where the real vault's behaviour is unknown (the default first):
{_ASSUMPTION_LINES}

\b
Cards the vault refuses on purpose: a cardholder name with the words "{FRAUD_WORDS}" gives
failed_fraud_check, a brand that --brand leaves out gives invalid_card. The published test
cards tokenize; their charges fail with their failure_code.
"""


class _Stopped(click.ClickException):
    """Trouble of this machine, with the next step in a second line."""

    exit_code = 5

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(f"{message}\n{next_step}")


def _read_accounts(
    public_keys: tuple[str, ...], secret_keys: tuple[str, ...]
) -> tuple[Account, ...]:
    try:
        return pair_keys(public_keys, secret_keys)
    except KeysRefused as refused:
        raise click.BadParameter(str(refused), param_hint="--public-key/--secret-key") from None


def _read_assume(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> Assumptions:
    try:
        return read_assumptions(words)
    except AssumptionRefused as refused:
        raise click.BadParameter(str(refused)) from None


def _check_faults(
    _context: click.Context, _option: click.Parameter, script: str | None
) -> str | None:
    try:
        if script is not None:
            read_script(script)
    except ScriptRefused as refused:
        raise click.BadParameter(str(refused)) from None
    return script


def _describe(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if wanted:
        click.echo(markdown())
        context.exit()


def _announce(url: str) -> None:
    click.echo(f"listening on {url}")


def _run(options: Options) -> None:
    from pipeline.sandbox.serve import CannotListen, serve

    try:
        serve(options, _announce)
    except CannotListen as refused:
        raise _Stopped(
            str(refused), "Choose another with --port, or --port 0 for a free one."
        ) from None
    except StateRefused as refused:
        raise _Stopped(
            str(refused), "Stop the other sandbox, or give --db a file you may write to."
        ) from None
    except OSError:
        raise _Stopped(
            "the journal cannot be opened", "Give --journal a file in a folder you may write to."
        ) from None


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    help=f"Key for tokens; repeat it for more accounts.  [default: {DEFAULT_PUBLIC_KEY}]",
)
@click.option(
    "--secret-key",
    "secret_keys",
    multiple=True,
    help=f"Key for customers and charges, paired by order.  [default: {DEFAULT_SECRET_KEY}]",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests a second for each account and address; the others get 429.",
)
@click.option(
    "--api-rate",
    type=click.FloatRange(0, min_open=True),
    help="The same for everything but /tokens.  [default: --rate limits both together]",
)
@click.option(
    "--burst",
    type=click.FloatRange(1),
    help="Requests that may come at once.  [default: a tenth of --rate, at least 2]",
)
@click.option(
    "--retry-after/--no-retry-after",
    default=True,
    show_default=True,
    help="Whether a 429 of --rate says how long to wait.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    help="Milliseconds that every answer takes at least.",
)
@click.option(
    "--faults",
    default=".",
    metavar="SCRIPT",
    callback=_check_faults,
    help="Which requests to answer wrongly, see below.",
)
@click.option(
    "--faults-api",
    "api_faults",
    metavar="SCRIPT",
    callback=_check_faults,
    help="The same for everything but /tokens.  [default: --faults serves both]",
)
@click.option(
    "--late-s",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Seconds until the fault Z does its work.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that gets a JSON line for all that is made or deleted, before it is answered.",
)
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file for the state, which then outlives the process.",
)
@click.option(
    "--tokens-max",
    type=click.IntRange(1),
    default=DEFAULT_TOKENS_MAX,
    show_default=True,
    help="Tokens remembered without --db; older ones are forgotten.",
)
@click.option(
    "--brand",
    "brands",
    type=click.Choice(BRAND_NAMES),
    multiple=True,
    help="Brand that the accounts may take; repeat it.  [default: all]",
)
@click.option(
    "--api-version",
    type=click.Choice(VERSIONS),
    default=NEWEST,
    show_default=True,
    help="Omise-Version of requests that name none.",
)
@click.option("--webhook-uri", help="Where GET /account says that events are sent.")
@click.option(
    "--assume",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_read_assume,
    help="What to do where the real vault is unknown, see below; repeat it.",
)
@click.option(
    "--describe",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_describe,
    help="Print the API's objects, attribute by attribute, and stop.",
)
def sandbox(
    *,
    port: int,
    host: str,
    public_keys: tuple[str, ...],
    secret_keys: tuple[str, ...],
    rate: float | None,
    api_rate: float | None,
    burst: float | None,
    retry_after: bool,
    latency_ms: float,
    faults: str,
    api_faults: str | None,
    late_s: float,
    journal: Path | None,
    db: Path | None,
    tokens_max: int,
    brands: tuple[str, ...],
    api_version: str,
    webhook_uri: str | None,
    assume: Assumptions,
) -> None:
    """Run an Omise-compatible vault on this machine, for rehearsals and tests.

    Official Omise clients talk to it unchanged. Prints `listening on http://H:P` when it is
    ready and stops on SIGINT or SIGTERM. It keeps last four digits, a keyed fingerprint and what
    the API returns, never a card number or a security code. Use it with test numbers only.
    """
    _run(
        Options(
            host=host,
            port=port,
            accounts=_read_accounts(public_keys, secret_keys),
            rate_per_s=rate,
            api_rate_per_s=api_rate,
            burst=burst,
            tells_wait=retry_after,
            latency_s=latency_ms / 1000,
            faults=faults,
            api_faults=api_faults,
            late_s=late_s,
            journal=journal,
            db=db,
            tokens_max=tokens_max,
            brands=frozenset(brands or BRAND_NAMES),
            version=api_version,
            webhook_uri=webhook_uri,
            assume=assume,
        )
    )
