"""Rows that were published and then changed by hand are found, also behind a run that never was.

Whoever may write to a ledger can write a run into it, event by event, for which rows may change. So
what no run changes is held against every publication, not against the last run.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from itertools import product

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.outputs.publisher import publish
from pipeline.outputs.verify import Trusted, verify
from tests.support.commands import cardferry
from tests.support.folders import (
    VERSION,
    digests_of_now,
    found_in,
    hash_anew,
    migrations,
    public_pem,
    publish_as_forger,
    published,
    signer,
    signer_of,
    unchecked,
    without_rules,
)
from tests.support.independent_check import sha256
from tests.support.independent_lasting import lasting_sha256
from tests.support.ledgers import FACTS, StepClock
from tests.support.sampled import sampled

CHANGES = {
    "another token": ["UPDATE tokens SET token_id = 'tokn_test_x' WHERE row_id = 10000000050"],
    "another token, of a later run": [
        "UPDATE tokens SET token_id = 'tokn_test_x', epoch = 3 WHERE row_id = 10000000050"
    ],
    "another token, for a retired one that never was": [
        """INSERT INTO retired_tokens
           SELECT token_id || 'x', row_id, card_id, brand, fingerprint, country, livemode, created_s,
                  epoch, 'attach_token_gone', 1, 3
           FROM tokens WHERE row_id = 10000000050""",
        "UPDATE tokens SET token_id = 'tokn_test_x', epoch = 3 WHERE row_id = 10000000050",
    ],
    "another card": ["UPDATE tokens SET card_id = 'card_test_x' WHERE row_id = 10000000050"],
    "another mode": ["UPDATE tokens SET livemode = 1 WHERE row_id = 10000000050"],
    "another fingerprint": ["UPDATE tokens SET fingerprint = 'x' WHERE row_id = 10000000050"],
    "another id": ["UPDATE rows SET legacy_id = 'cus_x' WHERE id = 10000000050"],
    "each other's ids": [
        """UPDATE rows SET legacy_id = (SELECT legacy_id FROM rows other WHERE other.id =
           CASE rows.id WHEN 10000000050 THEN 10000000051 ELSE 10000000050 END)
           WHERE id IN (10000000050, 10000000051)""",
    ],
    "other digits": ["UPDATE rows SET last_digits = '9999' WHERE id = 10000000050"],
    "another expiration": ["UPDATE rows SET expiration_year = 2049 WHERE id = 10000000050"],
    "other carried columns": ["UPDATE rows SET carry = '[]' WHERE id = 10000000050"],
    "another reason": [
        """UPDATE rows SET code = 'name_missing' WHERE id = (SELECT min(id) FROM rows WHERE state =
           'rejected' AND code NOT IN ('name_missing', 'vault_rejected', 'fraud_check_failed'))"""
    ],
    "a token away": [
        "DELETE FROM tokens WHERE row_id = 10000000050",
        "UPDATE rows SET state = 'skipped', code = 'no_card' WHERE id = 10000000050",
    ],
    "another signer": ["UPDATE exports SET signer = 'mallory' WHERE id = 1"],
    "where a reading begins": ["UPDATE exports SET reading_points = '[\"x\",9,9]' WHERE id = 1"],
    "another operator": ["UPDATE runs SET facts = replace(facts, 'somchai', 'x') WHERE epoch = 1"],
    "the run of an export": ["UPDATE exports SET epoch = 2 WHERE id = 1"],
    "the run of all tokens": ["UPDATE tokens SET epoch = 3"],
    "another answer": ["UPDATE outcomes SET kind = 'declined' WHERE attempt_id = 20"],
    "an answer's moment": ["UPDATE outcomes SET at_ms = at_ms - 1 WHERE attempt_id = 20"],
    "the run of an attempt": ["UPDATE attempts SET epoch = 3 WHERE id = 20"],
    "an attempt away": [
        "DELETE FROM outcomes WHERE attempt_id = (SELECT min(id) FROM attempts WHERE row_id = 20000000001)",
        "DELETE FROM attempts WHERE row_id = 20000000001 AND number = 1",
        "UPDATE attempts SET number = 1 WHERE row_id = 20000000001",
        "UPDATE rows SET attempts = 1 WHERE id = 20000000001",
    ],
    "held, now failed": [
        "UPDATE rows SET state = 'failed', code = 'attempts_exhausted' WHERE id = 10000000003"
    ],
    "a token given up": [
        """INSERT INTO retired_tokens SELECT token_id, row_id, card_id, brand, fingerprint, country,
           livemode, created_s, epoch, 'attach_token_gone', 1, 3 FROM tokens WHERE row_id = 10000000050""",
        "DELETE FROM tokens WHERE row_id = 10000000050",
        "UPDATE rows SET state = 'planned' WHERE id = 10000000050",
    ],
    "the older card for the newer": [
        "UPDATE rows SET superseded_by = NULL, supersedes = 30000000004 WHERE id = 10000000004",
        "UPDATE rows SET superseded_by = 10000000004, supersedes = NULL WHERE id = 30000000004",
    ],
}


@pytest.fixture
def folder(tmp_path):
    """A migration of two runs, published and signed after each."""
    return published(tmp_path / "migration")


def change(folder, statements):
    """Change a ledger past its rules, and make sure that this did something."""
    with without_rules(folder) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        # With the rules away nobody else forgets what is kept of these rows.
        for statement in (*statements, "DELETE FROM sections"):
            assert connection.execute(statement).rowcount


def forge_run(folder, run_id="20261121T083000Z-0badc0de"):
    """Write a whole run into a ledger with our own writer, whose checks were taken out."""
    with unchecked(), closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.begin_run(run_id, FACTS, FACTS["settings_digest"])
        ledger.end_run(0, {})


def next_run(folder):
    """Let the owner's next run begin, and publish with the key."""
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.signer = signer()
        ledger.begin_run("run-4", FACTS, FACTS["settings_digest"])
        ledger.end_run(0, {})
        publish(ledger, folder, VERSION, signer())


def head_of(folder):
    """Give the hash of the last event, which the last run printed."""
    ledger = Ledger(ledger_url(folder), StepClock(), read_only=True)
    with closing(ledger), ledger.look() as look:
        return list(look.event_lines())[-1][1]


def verified(folder, head):
    """Verify a folder with its key and a hash that was kept elsewhere."""
    return verify(folder, StepClock(), VERSION, Trusted(public_pem(), head))


ODD_EVENTS = {
    "planned_again": {},
    "row_frozen": {"resource": "x"},
    "attached_again": {"detail": None},
    "outputs_published": {"detail": {"manifest": 1, "files": []}},
    "outputs_unchanged": {"detail": []},
    "export_opened": {"detail": {}},
    "export_given_up": {"detail": 7},
}


@pytest.mark.parametrize("kind", sampled(ODD_EVENTS, 3))
def test_an_event_that_cardferry_never_writes_is_no_bug_of_it(folder, kind):
    """Its chain is whole, and whatever it lacks: the next run and verify say 8."""
    change(folder, ["UPDATE rows SET hint = 'x' WHERE id = 10000000003"])
    told = {
        "event": kind,
        "run_id": "run-2",
        "actor": "",
        "origin": "",
        "resource": "",
        "detail": {},
    }
    hash_anew(folder, lambda events: events.append(told | ODD_EVENTS[kind]))

    with pytest.raises(VerificationFailed):
        next_run(folder)
    assert found_in(folder)
    cardferry("verify", folder, code=8)


def test_what_lasts_can_be_worked_out_without_cardferry(folder):
    """Plain SQL, JSON and SHA-256 come to the digest that the manifest names."""
    named = json.loads((folder / "manifest.json").read_bytes())["ledger"]["lasting"]["sha256"]
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        assert named == lasting_sha256(ledger)


def test_a_run_that_changed_nothing_is_gone_on_from(folder):
    """A forged run alone is the future, which anybody may write; what was signed is as it was."""
    forge_run(folder)
    next_run(folder)

    assert found_in(folder, key=public_pem()) == []


@pytest.mark.parametrize("what", sampled(CHANGES, 3))
def test_a_forged_run_explains_no_change_of_what_was_published(folder, what):
    """Tokens, ids, cards, verdicts, of which every third by default: the next run refuses to sign."""
    change(folder, CHANGES[what])
    forge_run(folder)
    manifest = (folder / "manifest.json").read_bytes()

    with pytest.raises(VerificationFailed, match=r"contradicts|published with event"):
        next_run(folder)
    assert manifest == (folder / "manifest.json").read_bytes()


def test_the_commands_refuse_it_in_words_that_say_what_to_do(folder):
    """Publishing ends with 8 as well, and so does verification."""
    change(folder, CHANGES["another token"])
    forge_run(folder)

    for words in (["publish", folder], ["publish", folder, "--restore"], ["verify", folder]):
        assert "are not those that were published with event" in cardferry(*words, code=8).err


@pytest.mark.parametrize(
    ("what", "key"),
    sampled(
        product(
            ["another token", "another id", "another reason"],
            [None, b"the key of somebody else entirely"[:32]],
        ),
        5,
    ),
)
def test_a_forged_publication_hides_no_change_of_what_was_published_before_it(folder, what, key):
    """The older publications are in the chain as well: no later one makes up for them."""
    change(folder, CHANGES[what])
    forge_run(folder)
    publish_as_forger(folder, key=None if key is None else signer_of(key))

    with pytest.raises(VerificationFailed, match="published with event"):
        next_run(folder)
    assert any("published with event" in d.problem for d in found_in(folder))


def test_a_change_of_what_the_first_publication_named_is_told_by_it(folder):
    """The publication that is named is the first one that the change contradicts."""
    change(folder, CHANGES["another token"])
    first = Ledger(ledger_url(migrations().first), StepClock(), read_only=True)
    with closing(first), first.look() as look:
        seq = look.publication_history().publications[0].seq

    assert any(d.problem.endswith(f"published with event {seq}") for d in found_in(folder))


NOT_LASTING = {
    "a vault's word": ["UPDATE rows SET vault_code = 'x' WHERE id = 10000000050"],
    "fewer tokens unseen": ["UPDATE rows SET unknowns = unknowns + 1 WHERE id = 10000000050"],
    "another duration": ["UPDATE outcomes SET latency_us = latency_us + 1 WHERE attempt_id = 9"],
}
"""What runs may change, so that only the tables' own digests tell."""


def quiet_night(folder):
    """Let the owner's run bring nothing, so that the ledger only confirms what was published."""
    manifest = (folder / "manifest.json").read_bytes()
    next_run(folder)
    assert manifest == (folder / "manifest.json").read_bytes()


def confirm_as_forger(folder):
    """Write a run and the words that it brought nothing, with digests of the ledger as it is now."""
    forge_run(folder)
    manifest = sha256((folder / "manifest.json").read_bytes())
    with unchecked(), closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.attend("forger", "elsewhere:1")
        lasting = digests_of_now(folder)["lasting"]
        ledger.note("outputs_unchanged", resource="x", manifest=manifest, lasting=lasting)


@pytest.mark.parametrize("what", sampled([*list(CHANGES)[:1], *NOT_LASTING], 3))
def test_rows_that_were_changed_after_a_night_of_nothing_are_found(folder, what):
    """What was published binds as long as no run brought anything: run, publish, verify say 8."""
    quiet_night(folder)
    change(folder, (CHANGES | NOT_LASTING)[what])

    with pytest.raises(
        VerificationFailed, match=r"contradicts|changed by another program|published with event"
    ):
        next_run(folder)
    for words in (["publish", folder], ["publish", folder, "--restore"], ["verify", folder]):
        cardferry(*words, code=8)


@pytest.mark.parametrize(
    "what", sampled([*list(CHANGES)[:1], "another operator", *NOT_LASTING], 2, 1)
)
def test_a_forged_confirmation_explains_no_change(folder, what):
    """It can speak of runs alone: the tables of rows are those of the publication, which is signed."""
    quiet_night(folder)
    change(folder, (CHANGES | NOT_LASTING)[what])
    confirm_as_forger(folder)

    with pytest.raises(
        VerificationFailed, match=r"contradicts|changed by another program|published with event"
    ):
        next_run(folder)
    assert found_in(folder, key=public_pem())


def test_a_night_of_nothing_cannot_be_rewritten(folder):
    """Who ran it and how it ended is vouched for as well, by every later confirmation."""
    quiet_night(folder)
    change(folder, ["UPDATE runs SET facts = replace(facts, 'somchai', 'x') WHERE epoch = 3"])

    with pytest.raises(VerificationFailed, match="published with event"):
        next_run(folder)
    assert any("published with event" in d.problem for d in found_in(folder, key=public_pem()))


@pytest.mark.parametrize("name", sampled(["manifest.json", "manifest.json.sig", "trail.jsonl"], 2))
def test_a_published_file_that_is_missing_after_a_night_of_nothing_is_found(folder, name):
    """The confirmation names no files: those of the publication must be there."""
    quiet_night(folder)
    (folder / name).unlink()

    with pytest.raises(VerificationFailed, match="is missing"):
        next_run(folder)
    assert name in {difference.file for difference in found_in(folder)}


def test_a_publication_that_was_taken_out_of_the_chain_is_missed(folder):
    """A confirmation without its publication confirms nothing, and the files are nobody's."""
    quiet_night(folder)

    def take_out(told):
        last = max(n for n, e in enumerate(told) if e["event"] == "outputs_published")
        del told[last : last + 2]
        told.extend([told[-1] | {"event": "x"}] * 2)

    hash_anew(folder, take_out)

    with pytest.raises(VerificationFailed):
        next_run(folder)
    assert found_in(folder)


def test_a_confirmation_of_another_manifest_confirms_nothing(folder):
    """The run before it stays one that nothing was published for, as after a kill."""
    forge_run(folder)
    with unchecked(), closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.attend("forger", "elsewhere:1")
        ledger.note("outputs_unchanged", resource="x", manifest="0" * 64, lasting="0" * 64)

    assert ["manifest.json"] == [difference.file for difference in found_in(folder)]


def test_a_forged_future_is_listed_for_whoever_kept_the_head(folder):
    """With requests of its own a forged run is like any other; but nobody began it."""
    head = head_of(folder)
    assert verified(folder, head).since_head == []
    forge_run(folder)
    next_run(folder)
    found = verified(folder, head)

    assert (found.differences, found.since_head[0].event) == ([], "run_started")
    told = cardferry("verify", folder, "--expect-head", head).out
    assert "came after the expected hash" in told
    assert f"2 events from {found.since_head[0].seq} to" in told


def test_nights_that_were_cut_off_are_missed_by_whoever_kept_the_head(folder):
    """The manifest is that of before them; the head that the last run printed is not in the chain."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    quiet_night(folder)
    head = head_of(folder)

    assert [] == found_in(folder, key=public_pem(), head=head)
    assert [] == found_in(copy, key=public_pem())
    assert ["chain of events"] == [d.place for d in found_in(copy, head=head)]
