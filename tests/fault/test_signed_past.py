"""Who signs goes on only from a past that the same key has signed, or says that nobody vouches for it."""

import json
from contextlib import closing
from random import Random

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.migration.publish import publish_again
from pipeline.migration.run_request import Tools
from pipeline.outputs.publisher import publish
from tests.support.folders import (
    VERSION,
    found_in,
    public_pem,
    publish_as_forger,
    published,
    signer,
    signer_of,
)
from tests.support.ledgers import FACTS, StepClock

OTHER = b"the key of somebody else entirely"[:32]


@pytest.fixture
def folder(tmp_path):
    """A migration of two runs, published and signed after each."""
    return published(tmp_path / "migration")


class Pretender:
    """Signs with a key of its own, under another key's name."""

    def __init__(self):
        self.fingerprint = signer().fingerprint

    def sign(self, message):
        return signer_of(OTHER).sign(message)


def next_run(folder, who, run_id="run-4"):
    """Let the next run begin, stop early and publish that."""
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.signer = who
        ledger.begin_run(run_id, FACTS, FACTS["settings_digest"])
        ledger.end_run(4, {})
        publish(ledger, folder, VERSION, who)


def told(folder):
    """Give why the published trail says that a signature was not checked."""
    events = map(json.loads, (folder / "trail.jsonl").read_bytes().splitlines())
    return [e["detail"]["why"] for e in events if e["event"] == "signature_unchecked"]


def test_a_past_that_the_same_key_signed_is_gone_on_from(folder):
    """Nothing is said of it."""
    next_run(folder, signer())

    assert [] == told(folder)
    assert [] == found_in(folder, key=public_pem())


def test_a_signature_under_our_key_s_name_is_checked_and_not_believed(folder):
    """The ledger may say what it likes of a signature: neither a run nor publishing goes on from it."""
    publish_as_forger(folder, key=Pretender())
    manifest = (folder / "manifest.json").read_bytes()

    with pytest.raises(VerificationFailed, match=r"was not made over manifest\.json"):
        next_run(folder, signer())
    with pytest.raises(VerificationFailed, match=r"was not made over manifest\.json"):
        publish_again(folder, Tools(StepClock(), Random(1)), signer(), ("somchai", "here:1"))
    assert manifest == (folder / "manifest.json").read_bytes()


@pytest.mark.parametrize(("who", "why"), [(None, "not_signed"), (OTHER, "other_key")])
def test_a_past_that_nobody_can_vouch_for_is_named_in_the_trail_that_is_signed(folder, who, why):
    """Published without a key, or with another one: whoever reads the signed trail sees where."""
    next_run(folder, None if who is None else signer_of(who), "run-3")
    next_run(folder, signer())

    assert told(folder)[-1] == why
    assert [] == found_in(folder, key=public_pem())


def test_a_folder_that_is_signed_later_says_so_once(folder):
    """`publish` with a key is no run: the event waits for the next trail, and comes once."""
    next_run(folder, None, "run-3")
    for _ in range(2):
        publish_again(folder, Tools(StepClock(), Random(1)), signer(), ("somchai", "here:1"))
    assert [] == found_in(folder, key=public_pem())
    next_run(folder, signer())

    assert ["not_signed"] == told(folder)


def test_who_signs_nothing_checks_no_signature(folder):
    """Without a key there is nothing to check with; the digests are held against each other anyway."""
    next_run(folder, None, "run-3")
    next_run(folder, None)

    assert [] == told(folder)
