"""The main job through the command line, a real vault on a socket and real sealed exports."""

import csv
import io
import json
import signal
import stat

import pyarrow.parquet as pq
import pytest

from pipeline.ledger.publications import MANIFEST_NAME
from pipeline.outputs.files import OUTPUT_NAMES
from tests.support.cards import check_digit
from tests.support.commands import HEADER, cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.exports import by_age, by_gpg
from tests.support.sandbox import running


@pytest.fixture
def vault(tmp_path):
    """A sandbox in a thread, with a journal."""
    with running(journal=tmp_path / "journal") as sandbox:
        yield sandbox


def test_every_good_row_is_mapped_to_a_token_of_its_own(tmp_path, vault):
    """Each row's mapping entry carries the token that the vault made for this very card."""
    plain = rows_csv(60)
    export = sealed(tmp_path, plain)
    config = settings(tmp_path, vault.base_url)

    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json")

    mapping = pq.read_table(tmp_path / "out" / "mapping.parquet").to_pylist()
    journal = {line["token"]: line["last_digits"] for line in vault.entries()}
    source = {line.split(",")[0]: line.split(",") for line in plain.decode().splitlines()[1:]}
    assert done.json["all_time"]["balance"]["tokenized"] == 60
    assert [f"id-{n}" for n in range(1, 61)] == [row["legacy_id"] for row in mapping]
    assert len({row["token_id"] for row in mapping}) == 60
    for row in mapping:
        given = source[row["legacy_id"]]
        assert given[2][-4:] == row["last_digits"] == journal[row["token_id"]]
        assert (int(given[3]), int(given[4])) == (row["expiration_month"], row["expiration_year"])
        assert given[6] == row["legacy_customer_id"]


def test_failures_are_listed_by_row_code_and_field_in_both_files(tmp_path, vault):
    """The Parquet and the CSV report name the same rows, and the exit code says there are some."""
    bad = [
        "x-1,Ann,12,1,2031,Bangkok,c",
        "x-2,Ann,4242424242424242,13,2031,Bangkok,c",
        '=cmd(),Ann,"4242 4242",1,2031,Bangkok,c',
        "x-4,,4242424242424242,1,2031,Bangkok,c",
        "x-5,too,few",
    ]
    plain = rows_csv(3) + ("\n".join(bad) + "\n").encode()
    export = sealed(tmp_path, plain)

    cardferry(
        "run", export, "-c", settings(tmp_path, vault.base_url), "-o", tmp_path / "out", code=3
    )

    failures = pq.read_table(tmp_path / "out" / "failures.parquet").to_pylist()
    with (tmp_path / "out" / "failures.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    codes = ["number_length", "expiration_invalid", "number_length", "name_missing"]
    assert [*codes, "malformed_row"] == [row["code"] for row in failures]
    assert [4, 5, 6, 7, 8] == [row["source_row"] for row in failures]
    assert [row["code"] for row in failures] == [row["code"] for row in cells]
    assert cells[2]["legacy_id"] == "'=cmd()"
    assert failures[2]["legacy_id"] == "=cmd()"


@pytest.mark.parametrize("seal", ["gpg", "age"])
def test_exports_of_other_programs_are_carried_as_well(tmp_path, vault, seal):
    """Gpg's and age's own exports need no settings but their key."""
    key = "cv25519" if seal == "gpg" else "age"
    content = by_gpg(rows_csv(5)) if seal == "gpg" else by_age(rows_csv(5))
    export = tmp_path / "cards.export"
    export.write_bytes(content)
    config = settings(tmp_path, vault.base_url, key=key)

    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json")

    assert done.json["all_time"]["balance"]["tokenized"] == 5


def test_the_same_command_again_sends_nothing(tmp_path, vault):
    """A settled migration stays as it is, byte for byte in its mapping."""
    arguments = (
        "run",
        sealed(tmp_path, rows_csv(12)),
        "-c",
        settings(tmp_path, vault.base_url),
        "-o",
        tmp_path / "out",
    )
    cardferry(*arguments)
    mapping = (tmp_path / "out" / "mapping.parquet").read_bytes()
    sent = len(vault.entries())

    cardferry(*arguments)

    assert sent == len(vault.entries()) == 12
    again = pq.read_table(tmp_path / "out" / "mapping.parquet")
    assert again.equals(pq.read_table(io.BytesIO(mapping)))


def test_publish_writes_the_same_bytes_from_the_ledger_alone(tmp_path, vault):
    """Every output can be lost and comes back as it was."""
    out = tmp_path / "out"
    cardferry(
        "run",
        sealed(tmp_path, rows_csv(12)),
        "-c",
        settings(tmp_path, vault.base_url),
        "-o",
        out,
    )
    before = {name: (out / name).read_bytes() for name in (*OUTPUT_NAMES, MANIFEST_NAME)}
    for name in before:
        (out / name).unlink()

    cardferry("publish", out, "--restore", afresh=True)

    assert before == {name: (out / name).read_bytes() for name in (*OUTPUT_NAMES, MANIFEST_NAME)}


def test_the_folder_and_its_files_are_private_and_hold_no_card_number(tmp_path, vault):
    """Only the owner can read the migration folder, and a scan of it finds nothing."""
    out = tmp_path / "out"
    cardferry(
        "run",
        sealed(tmp_path, rows_csv(40)),
        "-c",
        settings(tmp_path, vault.base_url),
        "-o",
        out,
        "-vv",
        "--log-file",
        out.with_name("log"),
    )

    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}
    cardferry("scan", out, out.with_name("log"), tmp_path / "journal")
    told = out.with_name("log").read_text()
    assert f"export planned run_id={told.split('run_id=')[1][:25]} export={tmp_path}/" in told


def test_check_says_what_a_run_would_do_and_leaves_nothing(tmp_path):
    """`check` needs no vault, writes no file and counts what would be sent."""
    export = sealed(tmp_path, rows_csv(7) + b"x,Ann,12,1,2031,Bangkok,c\n")
    config = settings(tmp_path, "http://127.0.0.1:9")
    before = sorted(tmp_path.iterdir())

    done = cardferry("check", export, "-c", config, "--json", code=3)

    assert (7, 1) == (done.json["to_send"], done.json["failures"]["number_length"])
    assert before == sorted(tmp_path.iterdir())


def test_rows_that_the_vault_refuses_carry_its_code(tmp_path):
    """A refusal by the vault is a failure with the vault's own code, and other rows go on."""
    stem = "400000000000000"
    number = stem + check_digit(stem)
    plain = rows_csv(3) + f"x,FAIL FRAUD CHECK,{number},1,2031,Bangkok,c\n".encode()
    with running() as vault:
        cardferry(
            "run",
            sealed(tmp_path, plain),
            "-c",
            settings(tmp_path, vault.base_url),
            "-o",
            tmp_path / "out",
            code=3,
        )

    (failure,) = pq.read_table(tmp_path / "out" / "failures.parquet").to_pylist()
    assert ("fraud_check_failed", "failed_fraud_check") == (failure["code"], failure["vault_code"])


def test_status_tells_a_finished_migration(tmp_path, vault):
    """`status` counts by state and says how the last run ended."""
    out = tmp_path / "out"
    cardferry(
        "run", sealed(tmp_path, rows_csv(4)), "-c", settings(tmp_path, vault.base_url), "-o", out
    )

    done = cardferry("status", out, "--json")

    assert (4, 0, False) == (
        done.json["states"]["tokenized"],
        done.json["last_run"]["exit_code"],
        done.json["running"],
    )


def test_a_run_killed_in_the_middle_is_finished_by_the_same_command(tmp_path):
    """After SIGKILL the same command ends with every row mapped once."""
    with running(latency_s=0.02, journal=tmp_path / "journal") as vault:
        export = sealed(tmp_path, rows_csv(100))
        config = settings(tmp_path, vault.base_url, "in_flight_max = 4")
        command = ["run", export, "-c", config, "-o", tmp_path / "out"]
        run = zygote().start(*command)
        wait_until(lambda: len(vault.entries()) >= 20)
        run.signal(signal.SIGKILL)
        assert run.wait().killed

        done = cardferry(*command, "--json")

        made = len(vault.entries())
    mapping = pq.read_table(tmp_path / "out" / "mapping.parquet").column("legacy_id").to_pylist()
    assert sorted(set(mapping)) == sorted(mapping)
    assert len(mapping) == done.json["all_time"]["balance"]["tokenized"] == 100
    assert made - 100 <= done.json["all_time"]["unseen_tokens_max"] <= 4


def test_an_export_without_rows_is_a_finished_migration(tmp_path, vault):
    """A header alone ends with 0 and empty files."""
    export = sealed(tmp_path, f"{HEADER}\n".encode())

    done = cardferry(
        "run", export, "-c", settings(tmp_path, vault.base_url), "-o", tmp_path / "out", "--json"
    )

    assert done.json["all_time"]["balance"]["rows"] == 0
    assert pq.read_table(tmp_path / "out" / "mapping.parquet").num_rows == 0


def test_the_reports_balance_adds_up(tmp_path, vault):
    """`report.json` holds a balance of difference zero and equal hash totals."""
    plain = rows_csv(9) + b"x,Ann,12,1,2031,Bangkok,c\n"
    out = tmp_path / "out"
    cardferry(
        "run",
        sealed(tmp_path, plain),
        "-c",
        settings(tmp_path, vault.base_url),
        "-o",
        out,
        code=3,
    )

    report = json.loads((out / "report.json").read_text("utf-8"))

    balance = report["balance"]
    assert (10, 9, 1, 0) == tuple(
        balance[name] for name in ("rows", "tokenized", "rejected", "difference")
    )
    assert report["hash_totals"]["read"] == report["hash_totals"]["ledger"]
