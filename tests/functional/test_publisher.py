"""The publisher: the same ledger always gives the same bytes, signed or not, whole or not at all."""

import csv
import hashlib
import io
import os
import subprocess
import sys
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from pydantic import SecretStr

from pipeline import disk
from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.publications import MANIFEST_NAME
from pipeline.migration.publish import publish_again as publish_from_ledger
from pipeline.migration.run_request import Tools
from pipeline.outputs.columns import MAPPING
from pipeline.outputs.files import OUTPUT_NAMES
from pipeline.outputs.parquet import write_parquet
from pipeline.outputs.publisher import publish
from pipeline.outputs.signature import Signer
from tests.support.folders import (
    HOSTILE,
    RUNS_IN_SHEETS,
    SIGNED_NAMES,
    VERSION,
    among_others,
    found_in,
    migrations,
    past_the_rules,
    private_pem,
    public_pem,
    publish_as_forger,
    published,
    signer,
    small_migration,
)
from tests.support.ledgers import StepClock, new_builder, settled_builder
from tests.support.programs import require
from tests.support.sampled import sampled, slow


def bytes_of(folder, names=SIGNED_NAMES):
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def publish_again(folder, *, key=None, restore=False):
    publish_from_ledger(
        folder, Tools(StepClock(), Random(1)), key, ("auditor", "desk:1"), restore=restore
    )


def test_publishing_twice_gives_the_same_bytes(tmp_path):
    """An unchanged ledger gives identical files, manifest and signature included."""
    folder = published(tmp_path / "migration")
    before = bytes_of(folder)
    publish_again(folder, key=signer())
    again = bytes_of(folder)
    for name in OUTPUT_NAMES:
        (folder / name).unlink()
    publish_again(folder, key=signer(), restore=True)

    assert before == again == bytes_of(folder)


def a_night(builder, folder, number, meanwhile=lambda: None):
    """Run once more, settle nothing and publish."""
    builder.clock.step(86_400)
    builder.begin(f"run-{number}")
    meanwhile()
    builder.end(0)
    publish(builder.ledger, folder, VERSION, signer())


def test_a_night_without_new_rows_costs_no_look_at_them(tmp_path, monkeypatch):
    """Neither a file of rows nor a figure is made again, and all of it still verifies."""
    folder = tmp_path / "migration"
    builder = settled_builder(folder, 60)
    publish(builder.ledger, folder, VERSION, signer())

    def refuse(*_):
        raise AssertionError("rows were looked at")

    with monkeypatch.context() as patched:
        for name in ("mapped_rows", "failed_rows", "ids_by_ending", "mix", "by_export"):
            patched.setattr(f"pipeline.ledger.snapshot.Snapshot.{name}", refuse)
        a_night(builder, folder, 3)
    made = bytes_of(folder)
    for name in OUTPUT_NAMES:
        (folder / name).unlink()
    publish(builder.ledger, folder, VERSION, signer())
    builder.ledger.close()

    assert made == bytes_of(folder)
    assert found_in(folder, key=public_pem()) == []


@pytest.mark.parametrize("name", ["mapping.parquet", "failures.csv", "report.json"])
def test_a_file_that_was_changed_is_made_again_in_such_a_night(tmp_path, name):
    """What is not what was published is not taken for it, and its figures are not believed."""
    folder = tmp_path / "migration"
    builder = settled_builder(folder, 60)
    publish(builder.ledger, folder, VERSION, signer())
    content = (folder / name).read_bytes()
    a_night(builder, folder, 3, lambda: (folder / name).write_bytes(content.replace(b"1", b"2")))
    builder.ledger.close()

    assert found_in(folder, key=public_pem()) == []


def test_a_night_with_one_new_row_makes_every_file_of_rows_again(tmp_path):
    """A table that changed since the publication is enough."""
    folder = tmp_path / "migration"
    builder = settled_builder(folder, 60)
    publish(builder.ledger, folder, VERSION, signer())
    before = bytes_of(folder)
    builder.clock.step(86_400)
    builder.begin("run-3")
    builder.settle(builder.plan("third.csv", 1, first=1_000))
    builder.end(0)
    publish(builder.ledger, folder, VERSION, signer())
    builder.ledger.close()

    assert before["mapping.parquet"] != bytes_of(folder)["mapping.parquet"]
    assert found_in(folder, key=public_pem()) == []


def test_a_night_without_new_rows_leaves_the_files_of_rows_alone(tmp_path):
    """A run that settles nothing touches no Parquet and no CSV: same bytes, same inode, same date."""
    folder = tmp_path / "migration"
    builder = settled_builder(folder, 60)
    publish(builder.ledger, folder, VERSION, signer())
    names = sorted(path.name for path in folder.iterdir() if path.suffix in {".parquet", ".csv"})
    before = {name: ((folder / name).read_bytes(), (folder / name).stat()) for name in names}
    builder.clock.step(86_400)
    builder.begin("run-3")
    builder.end(0)
    publish(builder.ledger, folder, VERSION, signer())
    builder.ledger.close()

    assert "superseded.parquet" in names
    assert before == {
        name: ((folder / name).read_bytes(), (folder / name).stat()) for name in names
    }
    assert found_in(folder, key=public_pem()) == []


def test_publishing_an_unchanged_ledger_leaves_the_ledger_alone(tmp_path):
    """Nothing is added to the chain of events when nothing new is published."""
    folder = published(tmp_path / "migration")
    before = (folder / LEDGER_NAME).read_bytes()
    publish_again(folder, key=signer())

    assert before == (folder / LEDGER_NAME).read_bytes()


@pytest.mark.parametrize(
    "surroundings",
    [
        slow({"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"}),
        {"LC_ALL": "C.UTF-8", "TZ": "America/St_Johns", "PYTHONHASHSEED": "2", "HOME": ""},
    ],
)
def test_another_locale_time_zone_and_hash_seed_give_the_same_bytes(tmp_path, surroundings):
    """Files written by a fresh process in other surroundings are byte-identical."""
    folder = published(tmp_path / "migration")
    before = bytes_of(folder)
    for name in (*OUTPUT_NAMES, MANIFEST_NAME):
        (folder / name).unlink()
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "mpl"), **surroundings}
    command = [sys.executable, "-m", "pipeline", "publish", str(folder), "--restore"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)

    assert (0, before) == (done.returncode, bytes_of(folder)), done.stderr.decode()


def test_the_signature_is_one_that_openssl_checks(tmp_path):
    """Stock openssl verifies the manifest with the contract's own command."""
    folder = published(tmp_path / "migration")
    key = tmp_path / "key.pub.pem"
    key.write_bytes(public_pem())
    require("openssl")
    command = "openssl pkeyutl -verify -pubin -inkey {} -rawin -in manifest.json -sigfile {}"
    words = command.format(key, "manifest.json.sig").split()
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False)

    assert (0, b"Signature Verified Successfully\n") == (done.returncode, done.stdout)


def test_publishing_without_the_key_keeps_a_signature_that_fits(tmp_path):
    """A signed, unchanged migration stays signed when somebody without the key publishes it."""
    folder = published(tmp_path / "migration")
    before = bytes_of(folder)
    publish_again(folder)

    assert before == bytes_of(folder)
    assert found_in(folder, key=public_pem()) == []


def test_publishing_something_new_without_the_key_removes_the_old_signature(tmp_path):
    """A signature never stands beside a manifest that it was not made for."""
    folder = published(tmp_path / "migration")
    ledger = Ledger(ledger_url(folder), StepClock())
    ledger.attend("auditor", "desk:1")
    ledger.note("something_happened", resource="x")
    publish(ledger, folder, VERSION)
    ledger.close()

    assert not (folder / "manifest.json.sig").exists()
    assert found_in(folder) == []


def test_the_manifest_names_the_one_before_it():
    """The second publication's manifest carries the digest of the first one's."""
    first = hashlib.sha256((migrations().first / "manifest.json").read_bytes()).hexdigest()

    assert (
        f'"previous_manifest": "{first}"'.encode()
        in (migrations().second / "manifest.json").read_bytes()
    )


def test_the_publication_is_in_the_chain_of_events():
    """The ledger's last event names the manifest, the signature and the key."""
    ledger = Ledger(ledger_url(migrations().second), StepClock(), read_only=True)
    with ledger.look() as look:
        latest = look.publication_history().latest
    ledger.close()
    written = [
        hashlib.sha256((migrations().second / name).read_bytes()).hexdigest()
        for name in ("manifest.json", "manifest.json.sig")
    ]

    assert [*written, signer().fingerprint] == [
        latest.manifest,
        latest.signature,
        latest.signing_key,
    ]


@pytest.mark.parametrize("after", sampled(range(len(SIGNED_NAMES)), 9, 3))
def test_a_crash_between_the_names_is_told_and_mended(tmp_path, monkeypatch, after):
    """Publishing that dies between two renames leaves whole files; verify tells, publish mends."""
    builder = settled_builder(tmp_path / "migration", 60, top_up=False)
    folder = tmp_path / "migration"
    publish(builder.ledger, folder, VERSION, signer())
    builder.begin("run-2")
    builder.settle(builder.plan("top-up.csv.pgp", 20, changed_every=4))
    builder.end(3)
    renamed = []

    real_rename = os.rename

    def rename(*names, **folders):
        if len(renamed) == after:
            raise OSError(5, "power cut")
        renamed.append(names)
        real_rename(*names, **folders)

    monkeypatch.setattr(disk.os, "rename", rename)
    with pytest.raises(LocalStorageFailed):
        publish(builder.ledger, folder, VERSION, signer())
    monkeypatch.undo()
    builder.ledger.close()
    told = {difference.file for difference in found_in(folder)}
    publish_again(folder, key=signer())

    assert told == {"manifest.json", *(set(SIGNED_NAMES[after:]) & told)}
    assert found_in(folder, key=public_pem()) == []


def test_a_key_under_a_passphrase_signs():
    """A passphrase-protected key gives the very same signature."""
    pem = SecretStr(private_pem(b"correct horse"))
    locked = Signer.from_pem(pem, SecretStr("correct horse"))

    assert signer().sign(b"message") == locked.sign(b"message")


@pytest.mark.parametrize(
    ("pem", "passphrase", "told"),
    [
        ("not a key", None, "is no private key in PEM"),
        (private_pem(b"right"), "wrong", "the passphrase is wrong"),
        (private_pem(b"right"), None, "needs audit.signing_passphrase"),
        (private_pem(), "needless", "has no passphrase"),
        (private_pem(key=generate_private_key(SECP256R1())), None, "is not an Ed25519 key"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_a_word_of_it(pem, passphrase, told):
    """A wrong key or passphrase is a refused setting; the message repeats neither."""
    secret = None if passphrase is None else SecretStr(passphrase)
    with pytest.raises(SettingsRefused) as refused:
        Signer.from_pem(SecretStr(pem), secret)

    assert told in str(refused.value)
    assert refused.value.__cause__ is None


def test_no_cell_of_the_csv_runs_in_a_spreadsheet(tmp_path):
    """A legacy id that a spreadsheet would run stands behind an apostrophe."""
    small_migration(tmp_path / "migration", among_others(HOSTILE))
    text = (tmp_path / "migration" / "failures.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))

    assert len(HOSTILE) == len(rows)
    assert [] == [c for row in rows for c in row.values() if c and c[0] in RUNS_IN_SHEETS]


def test_hostile_ids_reach_the_parquet_files_unchanged(tmp_path):
    """What neutralises the csv touches nothing else."""
    small_migration(tmp_path / "migration", among_others(HOSTILE))
    ids = [
        legacy_id
        for name in ("mapping.parquet", "failures.parquet")
        for legacy_id in pq.read_table(tmp_path / "migration" / name)["legacy_id"].to_pylist()
    ]

    assert sorted(among_others(HOSTILE)) == sorted(ids)


def test_the_mapping_has_the_columns_of_the_contract(tmp_path):
    """Names, order and types are the contract's; Parquet keeps seconds as milliseconds."""
    folder = published(tmp_path / "migration")
    schema = pq.read_schema(folder / "mapping.parquet")
    stored = [
        pa.timestamp("ms", "UTC") if t == pa.timestamp("s", "UTC") else t
        for t in MAPPING.schema.types
    ]

    assert (MAPPING.schema.names, stored) == (schema.names, schema.types)


def test_carried_columns_stand_beside_their_own_rows(tmp_path):
    """A column that came with one export is empty for the rows of the others."""
    builder = new_builder(tmp_path / "migration")
    builder.begin("run-1")
    builder.ledger.remember("carry", '["customer", "shop"]')
    carries = {"a.csv": '{"customer":"c-1"}', "b.csv": None, "c.csv": '{"shop":"s","customer":""}'}
    for number, (name, carry) in enumerate(carries.items()):
        builder.settle(builder.plan(name, 3, first=1 + 3 * number, carry=carry))
    builder.end()
    publish(builder.ledger, tmp_path / "migration", VERSION)
    builder.ledger.close()
    mapping = pq.read_table(tmp_path / "migration" / "mapping.parquet").to_pylist()

    wanted = {"a.csv": ("c-1", None), "b.csv": (None, None), "c.csv": ("", "s")}
    assert [wanted[row["source_file"]] for row in mapping] == [
        (row["customer"], row["shop"]) for row in mapping
    ]
    assert 9 == len(mapping)


def test_every_output_is_private():
    """Every published file is readable by its owner only."""
    modes = {
        name: (migrations().second / name).stat().st_mode & 0o777
        for name in (*OUTPUT_NAMES, "manifest.json", "manifest.json.sig")
    }

    assert set(modes.values()) == {0o600}


def test_row_groups_do_not_show_where_blocks_were_cut():
    """The same rows in blocks of another size give the same Parquet bytes."""
    schema = pa.schema([("text", pa.string()), ("number", pa.int64())])
    rows = [(f"row {n}", n) for n in range(60_000)]
    written = []
    for size in (1, 777, 60_000):
        target = io.BytesIO()
        cut = (rows[at : at + size] for at in range(0, 60_000, size))
        write_parquet(target, schema, (list(zip(*block, strict=True)) for block in cut), {})
        written.append(target.getvalue())

    assert written[0] == written[1] == written[2]


def test_a_value_that_does_not_fit_is_not_repeated():
    """Arrow's own message shows the value; ours does not."""
    schema = pa.schema([("number", pa.int8())])
    with pytest.raises(TypeError) as raised:
        write_parquet(io.BytesIO(), schema, [[("4242",)]], {})

    assert "4242" not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("attempts", [32_767, 32_768, 2**31 - 1])
def test_a_number_of_attempts_beyond_two_bytes_is_written_everywhere(tmp_path, attempts):
    """A row that was throttled all night stops no output: mapping, failures and their CSV hold it."""
    folder = published(tmp_path / "migration")
    past_the_rules(folder, f"UPDATE rows SET attempts = {attempts}")  # noqa: S608 - a test's own.
    publish_as_forger(folder)
    with (folder / "failures.csv").open(encoding="utf-8", newline="") as file:
        in_csv = [row["attempts"] for row in csv.DictReader(file)]

    for name in ("mapping.parquet", "failures.parquet"):
        column = pq.read_table(folder / name)["attempts"]
        assert pa.int32() == column.type
        assert attempts in column.to_pylist()
    assert str(attempts) in in_csv
