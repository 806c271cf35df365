"""What a ledger says it published must be in the folder as it was, or run and publish end with 8."""

import contextlib
import os
import shutil
from itertools import product

import pytest

from pipeline import disk
from pipeline.errors import LocalStorageFailed, VerificationFailed
from pipeline.ledger.as_published import trouble_with_files
from pipeline.ledger.last_close import is_as_left, note_how_left
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.publications import LASTING
from pipeline.outputs.publisher import publish
from tests.support.commands import cardferry
from tests.support.folders import (
    SIGNED_NAMES,
    VERSION,
    changed_by_hand,
    digests_of_now,
    found_in,
    hash_anew,
    migrations,
    past_the_rules,
    public_pem,
    published,
    signer,
)
from tests.support.ledgers import StepClock, settled_builder
from tests.support.sampled import sampled, slow


def deleted(path):
    path.unlink()


def one_byte_more(path):
    path.write_bytes(path.read_bytes() + b"x")


def put_back(path):
    shutil.copy(migrations().first / path.name, path)


def standing(folder):
    """Give the bytes of the published files that are there."""
    return {n: (folder / n).read_bytes() for n in SIGNED_NAMES if (folder / n).exists()}


def refused_by_run_and_publish(folder):
    """Give what a run and `publish` say, each refusing with 8."""
    ledger = Ledger(ledger_url(folder), StepClock())
    with pytest.raises(VerificationFailed) as refusal:
        ledger.begin_run("run-3", {}, "5e" * 32)
    ledger.close()
    return refusal.value.message, cardferry("publish", folder, code=8).err


def test_every_published_file_that_is_not_there_as_it_was_is_named(tmp_path):
    """Each of them, taken away, changed or put back from the publication before."""
    folder = published(tmp_path / "migration")
    ledger = Ledger(ledger_url(folder), StepClock(), read_only=True)
    with ledger.look() as look:
        known = look.publication_history()
    ledger.close()
    for name, change in product(SIGNED_NAMES, (deleted, one_byte_more, put_back)):
        kept = (folder / name).read_bytes()
        if change is put_back and not (migrations().first / name).exists():
            continue
        change(folder / name)
        is_there = (folder / name).exists()
        if not is_there or (folder / name).read_bytes() != kept:
            told = trouble_with_files(known, folder)
            assert {name} == set(told)
            assert ("was changed since" if is_there else "is missing") in told[name]
        (folder / name).write_bytes(kept)

    assert {} == trouble_with_files(known, folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        slow("manifest.json", deleted),
        slow("manifest.json", one_byte_more),
        ("manifest.json", put_back),
        ("mapping.parquet", deleted),
        ("manifest.json.sig", one_byte_more),
    ],
)
def test_run_and_publish_write_over_no_evidence(tmp_path, name, change):
    """Both refuse with 8, name the file and the command that restores it, and touch nothing."""
    folder = published(tmp_path / "migration")
    change(folder / name)
    left = standing(folder)

    for told in refused_by_run_and_publish(folder):
        assert name in told
    assert left == standing(folder)


def test_what_was_taken_away_is_restored_byte_for_byte_and_the_trail_says_so(tmp_path):
    """Files and signature come back, verify is content, and the event names what was missing."""
    folder = published(tmp_path / "migration")
    before = {name: (folder / name).read_bytes() for name in SIGNED_NAMES}
    (folder / "manifest.json").unlink()
    one_byte_more(folder / "mapping.parquet")
    cardferry("publish", folder, "--restore")

    assert before == {name: (folder / name).read_bytes() for name in SIGNED_NAMES}
    done = cardferry("verify", folder, "--json")
    assert ["outputs_restored"] == [event["event"] for event in done.json["not_covered"]]


def test_restoring_publishes_nothing_that_was_changed_by_hand(tmp_path):
    """It writes files again, and believes the ledger no more than a run does."""
    folder = published(tmp_path / "migration")
    changed_by_hand(folder)
    (folder / "manifest.json").unlink()

    told = cardferry("publish", folder, "--restore", code=8).err
    assert "changed by another program" in told
    assert not (folder / "manifest.json").exists()


@pytest.mark.parametrize(
    ("renamed", "is_first"), sampled(product([0, 3, len(SIGNED_NAMES) - 1], [True, False]), 3)
)
def test_a_publication_that_was_cut_short_is_gone_on_from(tmp_path, monkeypatch, renamed, is_first):
    """Old files, new ones or none: before the last has its name, none of that is a manipulation."""
    folder = tmp_path / "migration"
    builder = settled_builder(folder, 60, top_up=False)
    if not is_first:
        publish(builder.ledger, folder, VERSION, signer())
        builder.begin("run-2")
        builder.settle(builder.plan("top-up.csv.pgp", 20, changed_every=4))
        builder.end(3)
    real_rename, names = os.rename, []

    def rename(*of, **folders):
        names.append(of)
        if len(names) > renamed:
            raise OSError(5, "power cut")
        real_rename(*of, **folders)

    with monkeypatch.context() as patched:
        patched.setattr(disk.os, "rename", rename)
        with contextlib.suppress(LocalStorageFailed):
            publish(builder.ledger, folder, VERSION, signer())
    builder.begin("run-3")
    builder.end(0)
    publish(builder.ledger, folder, VERSION, signer())
    builder.ledger.close()

    assert found_in(folder, key=public_pem()) == []


def test_after_a_publication_that_was_cut_short_only_its_files_or_those_before_may_stand(tmp_path):
    """A file that is neither is a change all the same, and so is one of two publications ago."""
    folder = published(tmp_path / "migration")
    ledger = Ledger(ledger_url(folder), StepClock())
    ledger.attend("somchai", "here:1")
    digests = dict.fromkeys(SIGNED_NAMES[:-2], "0" * 64)
    ledger.note("outputs_published", resource="x", manifest="1" * 64, files=digests, tables={})
    for name in SIGNED_NAMES[:-1]:
        if not (migrations().first / name).exists():
            continue
        with ledger.look() as look:
            known = look.publication_history()
        assert trouble_with_files(known, folder) == {}
        kept = (folder / name).read_bytes()
        put_back(folder / name)
        expected = {name} if (folder / name).read_bytes() != kept else set()
        assert set(trouble_with_files(known, folder)) == expected
        (folder / name).write_bytes(kept)
    ledger.close()


def test_of_publications_that_were_overtaken_only_what_lasts_is_kept_in_memory(tmp_path):
    """Thousands of nights publish; of whose files none can stand any more, no names are asked for."""
    folder = published(tmp_path / "migration")
    with (
        contextlib.closing(Ledger(ledger_url(folder), StepClock(), read_only=True)) as ledger,
        ledger.look() as look,
    ):
        *overtaken, last = look.publication_history().publications

    assert overtaken
    assert [(one.files, list(one.tables)) for one in overtaken] == [({}, [LASTING])] * len(
        overtaken
    )
    assert set(last.files) >= {"mapping.parquet", "trail.jsonl"}
    assert len(last.tables) > 1


def test_a_forged_note_of_how_the_ledger_was_left_makes_no_signing_run_believe_it(tmp_path):
    """Whoever changes rows by hand may say that nobody did; the next signature is not put over it."""
    folder = published(tmp_path / "migration")
    for who in (None, signer()):
        with contextlib.closing(Ledger(ledger_url(folder), StepClock())) as ledger:
            ledger.signer = who
            ledger.attend("somchai", "here:1")
        assert is_as_left(folder / "ledger.sqlite", who and who.sign)
    changed_by_hand(folder)
    note_how_left(folder / "ledger.sqlite")
    with contextlib.closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.signer = signer()
        with pytest.raises(VerificationFailed, match="changed by another program"):
            ledger.begin_run("run-3", {}, "5e" * 32)


def event_that_no_run_wrote(told):
    told.append(told[-1] | {"event": "export_known", "detail": {}})


def test_an_event_that_was_put_behind_the_publication_hides_no_change(tmp_path):
    """Rows changed by hand, and a chain that goes on: only a run may have written rows since."""
    folder = published(tmp_path / "migration")
    changed_by_hand(folder)
    hash_anew(folder, event_that_no_run_wrote)

    for told in refused_by_run_and_publish(folder):
        assert "changed by another program" in told


def test_a_trail_that_names_the_forged_tables_is_held_against_the_manifest(tmp_path):
    """The digests in the event were made to fit the change; the signed manifest has the others."""
    folder = published(tmp_path / "migration")
    past_the_rules(folder, "INSERT INTO meta VALUES ('rate_per_s', '0.2')")
    forged = digests_of_now(folder)

    def name_them(told):
        last = [event for event in told if event["event"] == "outputs_published"][-1]
        last["detail"]["tables"] = forged

    hash_anew(folder, name_them)

    for told in refused_by_run_and_publish(folder):
        assert "other digests of the ledger's tables" in told
