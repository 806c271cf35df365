"""A migration folder that came from somebody else is judged, whatever stands in it: no hang, no trace."""

import json
import os
import shutil
from itertools import product

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.outputs import verify
from pipeline.outputs.publisher import publish
from tests.support.commands import cardferry
from tests.support.folders import (
    SIGNED_NAMES,
    VERSION,
    changed_by_hand,
    found_in,
    migrations,
    past_the_rules,
    public_pem,
    published,
)
from tests.support.ledgers import StepClock, new_builder, settled_builder
from tests.support.sampled import sampled

HUGE = 1 << 40


def pipe(path):
    os.mkfifo(path)


def link_to_device(path):
    path.symlink_to("/dev/zero")


def link_to_copy(path):
    shutil.copy(migrations().second / path.name, path.parent / "copy")
    path.symlink_to(path.parent / "copy")


def link_to_itself(path):
    path.symlink_to(path)


def folder_in_its_place(path):
    path.mkdir()


def sparse(path):
    path.write_bytes(b"")
    os.truncate(path, HUGE)


THINGS = (pipe, link_to_device, link_to_copy, link_to_itself, folder_in_its_place, sparse)


@pytest.mark.parametrize(
    ("name", "thing"), sampled(product([*SIGNED_NAMES, "ledger.sqlite"], THINGS), 11)
)
def test_anything_in_the_place_of_a_file_is_a_difference(tmp_path, name, thing):
    """A pipe, device, link, folder or endless file is named at once; nothing waits or is read whole."""
    folder = published(tmp_path / "migration")
    (folder / name).unlink()
    thing(folder / name)

    assert name in {difference.file for difference in found_in(folder, key=public_pem())}


@pytest.mark.parametrize(
    ("ending", "thing"), sampled(product(["-journal", "-wal", "-shm"], [pipe, link_to_device]), 3)
)
def test_what_stands_beside_the_ledger_is_looked_at_first(tmp_path, ending, thing):
    """SQLite would open a journal whatever it is, and wait for ever on a pipe."""
    folder = published(tmp_path / "migration")
    (folder / f"ledger.sqlite{ending}").unlink(missing_ok=True)
    thing(folder / f"ledger.sqlite{ending}")

    assert found_in(folder)[0].file == "ledger.sqlite"


HANGING = (
    ("ledger.sqlite", pipe),
    ("ledger.sqlite", link_to_copy),
    ("ledger.sqlite-journal", pipe),
    ("manifest.json", pipe),
    ("manifest.json.sig", link_to_device),
)


@pytest.mark.parametrize(
    ("command", "name", "thing"),
    sampled([(c, *place) for c in ("verify", "publish", "status") for place in HANGING], 4),
)
def test_no_command_hangs_on_a_pipe_or_a_device(tmp_path, command, name, thing):
    """Every command that opens a folder ends, with a code of the contract and no traceback."""
    folder = published(tmp_path / "migration")
    (folder / name).unlink(missing_ok=True)
    thing(folder / name)
    code = 8 if command == "verify" or name.startswith("ledger") else None
    done = cardferry(command, folder, code=code)

    assert done.code in {0, 5, 8}
    assert "Traceback" not in done.err


def test_whatever_a_judgement_stumbles_over_is_a_difference(tmp_path, monkeypatch):
    """Bytes that raise something nobody thought of are told as the file that cannot be judged."""

    def stumble(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(verify, "content_differences", stumble)
    found = found_in(published(tmp_path / "migration"))

    assert [d.problem for d in found] == ["cannot be judged (ZeroDivisionError)"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_ledger_that_others_may_write_is_refused(tmp_path, mode):
    """What anybody may have changed proves nothing."""
    folder = published(tmp_path / "migration")
    (folder / "ledger.sqlite").chmod(mode)

    assert found_in(folder)[0].file == "ledger.sqlite"
    assert "chmod 600" in cardferry("publish", folder, code=8).err


ODD = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"version": 1}',
    b'{"version": true}',
    *(
        json.dumps({**good, **odd}).encode()
        for good in [json.loads((migrations().second / "manifest.json").read_bytes())]
        for odd in (
            {"files": [None]},
            {"files": [{"name": 1, "size": "x", "sha256": None}]},
            {"files": []},
            {"totals": []},
            {"totals": {}},
            {"totals": {**good["totals"], "rows": 1e300}},
            {"totals": {**good["totals"], "rows": 10**30}},
            {"chain": {"head": 5, "length": "many"}},
            {"chain": {"head": good["chain"]["head"], "length": -1}},
            {"chain": {"head": good["chain"]["head"], "length": 10**40}},
            {"hash_totals": {"read": "no hex"}},
            {"exports": None},
            {"ledger": {"rows": 5}},
            {"mapped": None},
            {"cardferry": {"nested": {}}},
        )
    ),
)


@pytest.mark.parametrize(
    ("place", "with_ledger"), sampled(product(range(len(ODD)), [True, False]), 5)
)
def test_an_odd_manifest_is_a_difference_and_never_a_traceback(tmp_path, place, with_ledger):
    """Whatever a manifest holds, its name is told, beside a good ledger and beside none."""
    folder = published(tmp_path / "migration")
    (folder / "manifest.json").write_bytes(ODD[place])
    if not with_ledger:
        (folder / "ledger.sqlite").unlink()
    named = {difference.file for difference in found_in(folder)}

    assert "manifest.json" in named


def test_a_ledger_full_of_what_nobody_writes_is_a_difference(tmp_path):
    """Values of other kinds in the ledger's own tables end in a difference, too."""
    folder = published(tmp_path / "migration")
    past_the_rules(folder, "UPDATE runs SET facts = '[' WHERE epoch = 1")
    past_the_rules(folder, "UPDATE exports SET legacy_id_sum = 'no hex' WHERE id = 1")

    assert {difference.file for difference in found_in(folder)} == {"ledger.sqlite"}


def test_a_whole_folder_put_back_is_found_by_the_hash_alone(tmp_path):
    """An earlier state verifies in itself, signature included; only the later hash tells."""
    manifest = json.loads((migrations().second / "manifest.json").read_bytes())
    head, earlier = manifest["chain"]["head"], migrations().first
    shutil.copytree(earlier, tmp_path / "back")
    earlier_head = json.loads((earlier / "manifest.json").read_bytes())["chain"]["head"]

    assert found_in(tmp_path / "back", key=public_pem()) == []
    assert [d.file for d in found_in(tmp_path / "back", head=head)] == ["ledger.sqlite"]
    assert found_in(published(tmp_path / "now"), head=earlier_head) == []
    cardferry("verify", tmp_path / "back", "--expect-head", head, code=8)
    cardferry("verify", tmp_path / "back", "--expect-head", "x", code=2)


def test_nobody_is_accused_where_nothing_was_ever_signed(tmp_path):
    """With a key and without a signature, verify says that the migration is not signed."""
    builder = settled_builder(tmp_path / "migration", 60)
    publish(builder.ledger, tmp_path / "migration", VERSION)
    builder.ledger.close()
    (told,) = found_in(tmp_path / "migration", key=public_pem())

    assert (told.file, "is not signed" in told.problem) == ("manifest.json.sig", True)


def test_whoever_published_last_without_a_key_is_told_just_that(tmp_path):
    """An older publication was signed, and nobody took the signature of this one away."""
    folder = published(tmp_path / "migration")
    builder = new_builder(folder)
    builder.tokens_made = 10**6
    builder.begin("run-3")
    builder.settle(builder.plan("more.csv.pgp", 2, first=9_000))
    builder.end(0)
    publish(builder.ledger, folder, VERSION)
    builder.ledger.close()
    (told,) = found_in(folder, key=public_pem())

    assert told.file == "manifest.json.sig"
    assert told.problem.endswith("it was published without a signing key")


def test_events_after_the_last_publication_are_shown_as_not_covered(tmp_path):
    """A forged event is told with the process it names, before any later manifest covers it."""
    folder = published(tmp_path / "migration")
    ledger = Ledger(ledger_url(folder), StepClock())
    ledger.attend("mallory", "elsewhere:1")
    ledger.note("outputs_verified", resource="manifest.json", manifest=None)
    ledger.close()
    answer = cardferry("verify", folder, "--json").json

    assert [("outputs_verified", "mallory", "elsewhere:1")] == [
        (event["event"], event["actor"], event["origin"]) for event in answer["not_covered"]
    ]
    assert "not yet covered" in cardferry("verify", folder).out


def kept(_path):
    pass


def deleted(path):
    path.unlink()


def one_byte_changed(path):
    path.write_bytes(path.read_bytes().replace(b'"unseen', b'"unsean', 1))


def put_back(path):
    shutil.copy(migrations().first / path.name, path)


@pytest.mark.parametrize("manifest", sampled([kept, deleted, one_byte_changed, put_back], 3))
def test_no_later_run_publishes_what_was_changed_by_hand(tmp_path, manifest):
    """Rows changed by hand stop run and publish, whatever became of the manifest."""
    folder = published(tmp_path / "migration")
    changed_by_hand(folder)
    manifest(folder / "manifest.json")
    ledger = Ledger(ledger_url(folder), StepClock())
    with pytest.raises(VerificationFailed, match="changed by another program"):
        ledger.begin_run("run-3", {}, "5e" * 32)
    ledger.close()

    assert "changed by another program" in cardferry("publish", folder, code=8).err


def test_a_publication_names_the_digest_of_every_file_and_table(tmp_path):
    """The chain of events itself says what stood in the folder and in the ledger."""
    folder = published(tmp_path / "migration")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    ledger = Ledger(ledger_url(folder), StepClock(), read_only=True)
    with ledger.look() as look:
        latest = look.publication_history().latest
    ledger.close()

    assert {entry["name"]: entry["sha256"] for entry in manifest["files"]} == latest.files
    assert {name: told["sha256"] for name, told in manifest["ledger"].items()} == latest.tables
