"""Published migrations for tests: made once a process, handed out as copies."""

import json
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr
from sqlalchemy import delete

from pipeline import hashing
from pipeline.ledger.giving_up import give_up
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.planning import Planning
from pipeline.ledger.sections import versions
from pipeline.ledger.versions import renew_versions
from pipeline.outputs.files import OUTPUT_NAMES
from pipeline.outputs.publisher import publish
from pipeline.outputs.signature import Signer
from pipeline.outputs.verify import Trusted, verify
from tests.support.ledgers import StepClock, new_builder, settled_builder
from tests.support.leftovers import folder_until_the_end

VERSION = "0.1.0"
RUNS_IN_SHEETS = frozenset("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("http://example.org")',
    '"><script>alert(1)</script>',
    "{{ 7*7 }}{% raw %}",
    "</style><b>bold</b>",
    "+1",
    "-1",
    "@SUM(A1)",
    "\ttab",
    "\rreturn",
    "\0nul",
    "\n=newline",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "\u202egnp.exe",
    'a,b"c',
    "' onclick='alert(1)",
    "javascript:alert(1)",
)
"""Legacy ids that a browser, a spreadsheet or a terminal might run."""

SIGNED_NAMES = (
    *OUTPUT_NAMES[:2],
    "superseded.parquet",
    *OUTPUT_NAMES[2:],
    "manifest.json",
    "manifest.json.sig",
)
"""Every file of the migration below, which has a card that another one replaced."""
KEY = Ed25519PrivateKey.from_private_bytes(b"only for tests of the signature!")


def private_pem(passphrase=None, key=KEY):
    """Give a private key as PEM, under a passphrase or not."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def public_pem(key=KEY):
    """Give the public half as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def signer():
    """Give who signs the tests' manifests."""
    return Signer.from_pem(SecretStr(private_pem()))


def signer_of(secret):
    """Give a signer whose private key are these 32 bytes."""
    return Signer.from_pem(SecretStr(private_pem(key=Ed25519PrivateKey.from_private_bytes(secret))))


@dataclass(frozen=True)
class Migrations:
    """A migration of two runs, published and signed after each."""

    first: Path
    second: Path


def settled_and_published(folder, rows):
    """Make a published migration of so many rows, whose ledger is as the run left it."""
    builder = settled_builder(folder, rows)
    publish(builder.ledger, folder, VERSION)
    builder.ledger.close()
    return folder


@cache
def migrations(rows=90):
    """Make the migration; the folder after its first run is kept beside the final one."""
    root = folder_until_the_end("cf-folders-")
    work = root / "work"
    builder = settled_builder(work, rows, top_up=False)
    publish(builder.ledger, work, VERSION, signer())
    shutil.copytree(work, root / "first")
    builder.clock.step(86_400)
    builder.begin("run-2", pid=4812)
    builder.settle(builder.plan("top-up.csv.pgp", 20, changed_every=4))
    planning, cut_short = Planning(builder.ledger), "it was cut short, or changed on its way"
    for name, digest in {
        "refused-of-tuesday.csv.pgp": "ab" * 32,
        "lost.csv.pgp": "cd" * 32,
    }.items():
        planning.turn_away(name, digest, "ExportRefused", cut_short)
    give_up(builder.ledger, "lost.csv.pgp", "cd" * 32, "the sender has no copy of it any more")
    builder.end(3)
    publish(builder.ledger, work, VERSION, signer())
    builder.ledger.close()
    shutil.copytree(work, root / "second")
    return Migrations(root / "first", root / "second")


def published(folder, rows=90):
    """Give a copy of the published and signed migration."""
    shutil.copytree(migrations(rows).second, folder, dirs_exist_ok=True)
    return folder


def small_migration(folder, legacy_ids, *, name="cards.csv.pgp", **facts):
    """Publish a migration of a test's own legacy ids; the first, third, fifth ... is rejected."""
    builder = new_builder(folder, names=legacy_ids)
    builder.begin("run-1", **facts)
    export = builder.plan(name, len(legacy_ids))
    builder.settle(export, reject_every=2)
    builder.end(3)
    figures = publish(builder.ledger, folder, VERSION)
    builder.ledger.close()
    return figures


def among_others(legacy_ids):
    """Put a harmless id after each, so that every one of these is in a row that is rejected."""
    return [given for at, own in enumerate(legacy_ids) for given in (own, f"cus_{at:03d}")]


@contextmanager
def unchecked():
    """Let our own writer take every ledger, as somebody would who took its checks out."""
    with pytest.MonkeyPatch.context() as patch:
        for check in ("require_as_published", "require_one_story"):
            patch.setattr(f"pipeline.ledger.ledger.{check}", lambda *_, **__: None)
        yield


def publish_as_forger(folder, *, key=None):
    """Publish with our own writer, whose checks were taken out."""
    with unchecked():
        ledger = Ledger(ledger_url(folder), StepClock())
        ledger.attend("forger", "elsewhere:1")
        publish(ledger, folder, VERSION, key, anew=True)
        ledger.close()


def digests_of_now(folder):
    """Work out the digests of a ledger's tables, from its rows."""
    ledger = Ledger(ledger_url(folder), StepClock(), read_only=True, apart=True)
    with closing(ledger), ledger.look() as look:
        return {name: told["sha256"] for name, told in look.table_digests().items()}


def hash_anew(folder, change):
    """Let a function change the list of events, and hash the whole chain anew."""
    with without_rules(folder) as ledger:
        bodies = ledger.execute("SELECT body FROM events ORDER BY seq").fetchall()
        told = [json.loads(body) for (body,) in bodies]
        change(told)
        head = hashing.GENESIS
        for seq, event in enumerate(told, 1):
            body = hashing.canonical(event | {"seq": seq})
            head = hashing.link_bytes(head, body)
            row = (seq, body.decode(), head)
            ledger.execute("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", row)


def past_that_fits(folder):
    """Let every publication of a ledger of one run say what its rows are now, under a chain of its own."""
    with unchecked(), closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.attend("forger", "elsewhere:1")
        with ledger.transaction() as connection:
            connection.execute(delete(versions))
            renew_versions(connection, ledger.epoch)
    forged = digests_of_now(folder)

    def name_them(told):
        for event in told:
            if event["event"] == "outputs_published":
                event["detail"]["tables"] = forged

    hash_anew(folder, name_them)


def found_in(folder, *, key=None, head=None):
    """Verify a folder and give its differences."""
    return verify(folder, StepClock(), VERSION, Trusted(key, head)).differences


@contextmanager
def without_rules(folder):
    """Give a connection to a ledger whose triggers are away; at the end of the block they are back."""
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, text in triggers:
            connection.execute(text)


def past_the_rules(folder, statement):
    """Change rows of a ledger that its rules would protect."""
    with without_rules(folder) as connection:
        assert connection.execute(statement).rowcount


def changed_by_hand(folder):
    """Give one customer another's token, past every trigger."""
    past_the_rules(folder, "UPDATE tokens SET token_id = 'tokn_test_x' WHERE row_id = 10000000050")
